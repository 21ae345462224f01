# SPDX-License-Identifier: MIT
"""Snapshots, rewinds and forks that are killed in the middle, or find no room: afterwards every machine is there as it was or as it was to
be, and starts."""
import json
import os
import random
import resource
import signal
import subprocess
import time

import pytest

from conftest import VZ
from machines import home, info, machine  # noqa: F401

# xor %eax, %eax; mov $0x3f8, %dx; 1: inc %eax; out %al, %dx; mov $0x100000, %ecx; 2: dec %ecx; jnz 2b; jmp 1b
COUNTING = bytes.fromhex("31c0" "66baf803" "ffc0" "ee" "b900001000" "ffc9" "75fc" "ebf2")
ROUNDS = 5


@pytest.fixture
def one(machine, vz):  # noqa: F811
    folder = machine("one", "--disk", "disk.img", "--serial", "stdio", code=COUNTING)
    with open(folder / "disk.img", "wb") as f:
        f.truncate(4 << 20)
    assert vz("start", "one").status == 0
    return folder


def killed(seconds, *command):
    """Run it, and kill it after so long."""
    p = subprocess.Popen([VZ, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(seconds)
    p.kill()
    p.communicate()


def runs(vz, name):
    """It does, or starts; and its guest goes on. A process that was just started by one that was killed may still be turning it off."""
    log = info(vz, name)["path"] + "/console.log"
    size, end = None, time.monotonic() + 60
    while size is None or os.stat(log).st_size == size:
        state = info(vz, name)["state"]
        assert time.monotonic() < end, (name, state)
        if state == "running" and size is None:
            size = os.stat(log).st_size
        elif state in ("stopped", "saved"):
            size, r = None, vz("start", name)
            assert r.status == 0 or "the machine runs" in r.err, (name, r)
        time.sleep(0.01)


def tags(vz):
    return [s["tag"] for s in json.loads(vz("snapshots", "one", "--json").out)]


def test_a_machine_that_dies_in_a_snapshot_starts(vz, one):
    random.seed(1)
    for n in range(ROUNDS):
        p = subprocess.Popen([VZ, "snapshot", "one", f"s{n}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(random.uniform(0, 0.06))
        os.kill(info(vz, "one")["pid"], signal.SIGKILL)
        p.communicate(timeout=60)
        while info(vz, "one")["state"] == "running":
            time.sleep(0.01)
        runs(vz, "one")
        for tag in tags(vz)[-1:]:  # one that is there is whole
            assert vz("rewind", "one", tag).status == 0
            runs(vz, "one")


def patiently(vz, *command):
    """A snapshot whose command has gone may still be made."""
    end = time.monotonic() + 60
    while "try again" in (r := vz(*command)).err and time.monotonic() < end:
        time.sleep(0.02)
    return r


@pytest.mark.parametrize("whom", ["command", "machine"])
def test_sigterm_in_a_snapshot_leaves_nothing_half(vz, one, whom):
    """The command goes, and the snapshot is made or not; the machine's process is saved, or shuts down, when it is made."""
    random.seed(4)
    for n in range(ROUNDS):
        p = subprocess.Popen([VZ, "snapshot", "one", f"s{n}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(random.uniform(0, 0.06))
        os.kill(p.pid if whom == "command" else info(vz, "one")["pid"], signal.SIGTERM)
        p.communicate(timeout=60)
        if whom == "machine":
            assert vz("wait", "one", "--for", "stop", "--timeout", "60s").status == 0
            assert info(vz, "one")["state"] in ("saved", "stopped")
        runs(vz, "one")
        listed = json.loads(vz("snapshots", "one", "--json").out)
        assert not [f for f in os.listdir(one) if f.startswith(".vz-save")]
        if listed:
            assert patiently(vz, "rewind", "one", listed[-1]["tag"]).status == 0
            runs(vz, "one")
    assert patiently(vz, "snapshot", "one", "last").status == 0  # it sweeps
    states = {s["state"] for s in json.loads((one / "snapshots.json").read_text())["snapshots"]}
    assert {f for f in os.listdir(one) if f.startswith("snap-")} - states == set() or whom == "command"


def test_a_rewind_that_dies_leaves_a_machine(vz, one):
    random.seed(2)
    assert vz("snapshot", "one", "s").status == 0
    for _ in range(ROUNDS):
        killed(random.uniform(0, 0.08), "rewind", "one", "s")
        runs(vz, "one")
    assert vz("rewind", "one", "s").status == 0 and tags(vz) == ["s"]
    runs(vz, "one")


def test_a_fork_that_dies_leaves_whole_machines_or_none(vz, one, home):  # noqa: F811
    random.seed(3)
    for n in range(6):
        killed(random.uniform(0, 0.2), "fork", "one", "--count", "2", "--name", f"f{n}-%d")
    runs(vz, "one")
    names = vz("list", "--names").out.split()
    for name in names:
        runs(vz, name)
        # It goes on from that moment, whoever started it: what begins anew counts from 1.
        assert name == "one" or (home / f"{name}.vz" / "console.log").read_bytes()[:2] != b"\x01\x02", name
    assert vz("fork", "one", "--name", "last").status == 0  # it sweeps, as all that makes machines does
    assert [f for f in os.listdir(home) if f.startswith(".")] == []
    runs(vz, "last")
    assert vz("stop", "--now", *names, "last").status == 0


def test_what_a_loss_of_power_left_of_a_fork(vz, one, home):  # noqa: F811
    """A mark of another boot, and a file whose data did not get to the disk."""
    assert vz("fork", "one", "--count", "2").status == 0 and vz("stop", "--now", "one-1", "one-2").status == 0
    for name in ("one-1", "one-2"):
        assert not (home / f"{name}.vz" / ".unsynced").is_symlink()
        (home / f"{name}.vz" / ".unsynced").symlink_to("another-boot")
    (home / "one-1.vz" / "config.json").write_text("")
    r = vz("start", "one-1")
    assert r.status == 1 and "when this host lost its power" in r.err and "vz delete" in r.err, r
    (home / "one-2.vz" / "notes.json").touch()  # a file of a person's, which was never more than that
    assert vz("start", "one-2").status == 0  # all of that one is there
    end = time.monotonic() + 60
    while (home / "one-2.vz" / ".unsynced").is_symlink():
        assert time.monotonic() < end
        time.sleep(0.01)
    # Nobody but a person throws away what may be all that is left of something.
    assert vz("fork", "one", "--name", "next").status == 0
    told = {m["name"]: m["state"] for m in json.loads(vz("list", "--json").out)}
    assert told == {"next": "running", "one": "running", "one-1": "broken", "one-2": "running"}
    assert vz("delete", "one-1").status == 0 and not (home / "one-1.vz").exists()


def test_a_loss_of_power_has_a_fork_that_began_boot(vz, one, home):  # noqa: F811
    """Its state is there again, but it had gone on from that, and its disks are others since."""
    assert vz("save", "one").status == 0 and vz("fork", "one", "--no-start").status == 0
    folder = home / "one-1.vz"
    assert info(vz, "one-1")["state"] == "saved"
    (folder / ".unsynced").symlink_to("another-boot")
    assert info(vz, "one-1")["state"] == "stopped"
    assert vz("start", "one-1").status == 0
    runs(vz, "one-1")
    assert (folder / "console.log").read_bytes()[:2] == b"\x01\x02"
    end = time.monotonic() + 60
    while (folder / ".unsynced").is_symlink():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not (folder / "copy.state").exists()


def test_a_start_that_is_interrupted_loses_no_state(vz, one):
    """What was saved is saved still, or runs."""
    random.seed(8)
    for _ in range(2 * ROUNDS):
        assert vz("save", "one").status == 0
        p = subprocess.Popen([VZ, "start", "one"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(random.uniform(0, 0.08))
        p.send_signal(random.choice((signal.SIGKILL, signal.SIGINT)))
        p.communicate()
        end = time.monotonic() + 60
        while (state := info(vz, "one")["state"]) not in ("saved", "running", "stopped"):
            assert time.monotonic() < end, state
            time.sleep(0.01)
        assert state != "stopped"
        runs(vz, "one")


# ---- Many layers --------------------------------------------------------------------------------

def depth(folder):
    """Of the layers of its disk."""
    name, count = json.loads((folder / "config.json").read_text())["storageDevices"][0]["attachment"]["path"], 0
    while name:
        r = subprocess.run([VZ, "disk", "info", "--json", folder / name], stdout=subprocess.PIPE, text=True, check=True)
        name, count = json.loads(r.stdout).get("backing"), count + 1
    return count


def flattened(folder):
    end = time.monotonic() + 120
    while depth(folder) > 24 or (folder / ".flat.new").exists():
        assert time.monotonic() < end, depth(folder)
        time.sleep(0.05)


def content(folder, tmp_path, name):
    raw = tmp_path / "content.raw"
    subprocess.run([VZ, "disk", "convert", folder / name, raw], check=True)
    data = raw.read_bytes()
    raw.unlink()
    return data


def test_layers_become_one_behind_the_users_back(vz, one, tmp_path):
    """A running machine whose snapshots nobody counts: no limit is met, each moment can be come back to, and the disk is what it was."""
    data = random.Random(5).randbytes(1 << 20)
    assert vz("stop", "--now", "one").status == 0
    with open(one / "disk.img", "r+b") as f:
        f.write(data)
    assert vz("start", "one").status == 0
    for n in range(27):
        r = vz("snapshot", "one", f"s{n}")
        assert (r.status, r.err) == (0, ""), r
    flattened(one)
    assert depth(one) <= 24
    for tag in "s0", "s20", "s26":
        assert vz("rewind", "one", tag).status == 0
        runs(vz, "one")
    assert vz("snapshot", "one", "more").status == 0
    assert vz("stop", "--now", "one").status == 0
    name = json.loads((one / "config.json").read_text())["storageDevices"][0]["attachment"]["path"]
    assert content(one, tmp_path, name) == data + bytes(3 << 20)
    # What only the many layers needed goes with them.
    for tag in tags(vz):
        assert vz("snapshot", "one", tag, "--delete").status == 0
    assert len(list(one.glob("disk*"))) <= 24


def test_machines_with_layers_start_by_relative_paths(vz, machine, home):  # noqa: F811
    """Whoever looks at the first one's layers does not stay in its folder."""
    for name in "one", "two":
        folder = machine(name, "--disk", "disk.img", "--serial", "stdio", code=COUNTING)
        with open(folder / "disk.img", "wb") as f:
            f.truncate(1 << 20)
        assert vz("snapshot", name, "s").status == 0
    r = subprocess.run([VZ, "start", "./one.vz", "./two.vz"], cwd=folder.parent, capture_output=True, text=True)
    assert r.returncode == 0, r
    assert vz("stop", "--now", "one", "two").status == 0


def test_a_disk_that_is_full_of_layers_is_flattened_at_once(vz, one):
    """As when whoever was to do it was killed each time."""
    assert vz("stop", "--now", "one").status == 0
    config = json.loads((one / "config.json").read_text())
    attachment, below = config["storageDevices"][0]["attachment"], "disk.img"
    for n in range(1, 60):
        assert vz("disk", "create", "--backing", below, "--backing-format", "raw" if n == 1 else "qcow2", one / f"disk-{n}.qcow2").status == 0
        below = f"disk-{n}.qcow2"
    attachment.update(path=below, format="qcow2")
    (one / "config.json").write_text(json.dumps(config))
    assert vz("start", "one").status == 0
    r = vz("snapshot", "one", "s")
    assert r.status == 0 and "60 layers" in r.err and depth(one) == 3, (r, depth(one))
    runs(vz, "one")
    assert vz("rewind", "one", "s").status == 0
    runs(vz, "one")


def test_flattening_that_is_killed_is_done_another_time(vz, one, tmp_path):
    data = random.Random(6).randbytes(4 << 20)
    assert vz("stop", "--now", "one").status == 0
    (one / "disk.img").write_bytes(data)
    random.seed(7)
    for n in range(32):
        assert vz("snapshot", "one", f"s{n}").status == 0
        if n < 22:
            continue
        time.sleep(random.uniform(0, 0.03))
        for process in os.listdir("/proc"):
            try:
                with open(f"/proc/{process}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if words[1:3] == [b"snapshot", b"one"] and os.path.samefile(f"/proc/{process}/exe", VZ):
                    os.kill(int(process), signal.SIGKILL)
            except (OSError, ValueError):
                pass
        name = json.loads((one / "config.json").read_text())["storageDevices"][0]["attachment"]["path"]
        assert content(one, tmp_path, name) == data
    assert vz("snapshot", "one", "last").status == 0
    flattened(one)
    assert content(one, tmp_path, "disk-1.qcow2") == data and vz("rewind", "one", "s0").status == 0
    assert vz("start", "one").status == 0
    runs(vz, "one")


def test_what_a_killed_flattening_left_goes_at_the_next_start(vz, one):
    """It was killed when the one image had its name, and before what it stands for was gone."""
    for n in range(23):
        assert vz("snapshot", "one", f"s{n}").status == 0
    aside = one.parent / "aside"
    aside.mkdir()
    for image in one.glob("disk*"):
        os.link(image, aside / image.name)
    assert vz("snapshot", "one", "last").status == 0
    flattened(one)
    for tag in tags(vz):
        assert vz("snapshot", "one", tag, "--delete").status == 0
    assert vz("stop", "--now", "one").status == 0
    end = time.monotonic() + 60
    while (one / ".flat.gone").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    kept = {image.name for image in one.glob("disk*")}
    left = {image.name for image in aside.iterdir()} - kept
    assert left
    for name in left:
        os.link(aside / name, one / name)
    (one / ".flat.gone").write_text(json.dumps([{"type": "diskImage", "path": name} for name in sorted({*left, *kept})]))
    assert vz("start", "one").status == 0
    while (one / ".flat.gone").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert {image.name for image in one.glob("disk*")} == kept
    runs(vz, "one")


def test_no_room_for_a_snapshot(vz, machine, home):  # noqa: F811
    """The machine's process may write files of 2 MiB: the state is longer."""
    folder = machine("one", "--serial", "stdio", code=COUNTING)
    subprocess.run([VZ, "start", "one"], check=True, preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    resource.prlimit(info(vz, "one")["pid"], resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
    r = vz("snapshot", "one", "s")
    assert r.status == 1 and "File too large" in r.err, r
    assert tags(vz) == [] and [f for f in os.listdir(folder) if f.startswith(("snap-", ".vz"))] == []
    runs(vz, "one")
    r = vz("fork", "one")
    assert r.status == 1 and "File too large" in r.err and vz("list", "--names").out == "one\n", r
    runs(vz, "one")


# What is done where the file system is full, and after it the same where there is room again: one of them fails, and says why.
FULL = """
    mount -t tmpfs -o size=64m tmpfs {mount} || exit 77
    export VZ_HOME={mount}/home XDG_DATA_HOME={mount}/data
    trap 'for name in $({vz} list --names); do {vz} stop --now $name; done' EXIT
    cp -r {source} {mount}/home; mkdir -p {mount}/data
    {vz} start one || exit 10
    {vz} snapshot one kept || exit 11
    fill() {{ dd if=/dev/zero of={mount}/fill bs=64k; dd if=/dev/zero of={mount}/rest bs=4k; }} 2>/dev/null
    running() {{ {vz} inspect one | grep -q '"state": "running"'; }}
    fill
    for command in 'snapshot one more' 'fork one' 'save one' 'save one --to {mount}/state'; do
        {vz} $command && exit 20
        running || exit 21
    done
    {vz} stop --now one || exit 27
    for command in 'snapshot one more' 'clone one thin' 'clone --full one whole' 'create new --kernel home/one.vz/kernel --disk 1M'; do
        {vz} $command && exit 28
    done
    {vz} start one || exit 29
    {vz} rewind one kept
    {vz} inspect one >/dev/null || exit 22
    [ "$({vz} list --names)" = one ] || exit 23
    [ "$({vz} snapshots one --json | grep -c tag)" = 1 ] || exit 24
    [ -z "$(ls -A {mount}/home/one.vz | grep -E '^[.]vz-save|^snap-[2-9]')" ] || exit 25
    [ -z "$(ls -A {mount}/home | grep -v '^one.vz$')" ] || exit 26
    rm {mount}/fill {mount}/rest
    running || {vz} start one || exit 30
    for command in 'rewind one kept' 'snapshot one more' 'fork one --name two' 'save one' 'clone one thin' 'start one' 'stop --now two'; do
        {vz} $command || exit 31
    done
    fill
    {vz} snapshot one more --delete || exit 40
    {vz} stop --now one && {vz} delete thin two one || exit 41
    [ -z "$(ls -A {mount}/home)" ] || exit 42
"""


def test_copies_of_a_machine_on_a_full_disk(vz, one, tmp_path):
    """On a file system of its own: nothing is half there, the machine goes on, and where there is room again, all works."""
    assert vz("stop", "--now", "one").status == 0
    mount = tmp_path / "full"
    mount.mkdir()
    script = FULL.format(mount=mount, source=one.parent, vz=VZ)
    r = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script], capture_output=True, text=True, timeout=500)
    if r.returncode == 77 or "unshare" in r.stderr:
        pytest.skip("no mount namespaces here")
    assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)
    assert r.stderr.count("No space left on device") >= 4, r.stderr


@pytest.mark.parametrize("seed", range(2))
def test_clones_and_deleted_snapshots_that_die_leave_machines(vz, one, home, seed):  # noqa: F811
    """Killed in the middle: each machine that is there starts, and each snapshot that is there can be come back to."""
    rng = random.Random(seed)
    assert vz("snapshot", "one", "base").status == 0 and vz("stop", "--now", "one").status == 0
    for n in range(ROUNDS):
        killed(rng.uniform(0, 0.05), "clone", "one", f"c{n}")
        assert vz("snapshot", "one", f"s{n}").status == 0
        killed(rng.uniform(0, 0.05), "snapshot", "one", f"s{n}", "--delete")
        killed(rng.uniform(0, 0.05), "delete", "c0")
        names = vz("list", "--names").out.split()
        assert "one" in names
        for name in names:
            runs(vz, name)
            assert vz("stop", "--now", name).status == 0
        for tag in tags(vz):
            assert vz("rewind", "one", tag).status == 0
            runs(vz, "one")
            assert vz("stop", "--now", "one").status == 0
    assert vz("clone", "one", "last").status == 0  # it sweeps
    assert [f for f in os.listdir(home) if f.startswith(".")] == []


def test_a_layer_that_is_only_read_keeps_what_is_below_it(vz, machine, home):  # noqa: F811
    folder = machine("one", "--disk", "disk.img")
    with open(folder / "disk.img", "wb") as f:
        f.truncate(1 << 20)
    assert vz("snapshot", "one", "s").status == 0
    config = json.loads((folder / "config.json").read_text())
    attachment = config["storageDevices"][0]["attachment"]
    assert attachment["path"] == "disk-1.qcow2"
    attachment["readOnly"] = True
    (folder / "config.json").write_text(json.dumps(config))
    assert vz("snapshot", "one", "s", "--delete").status == 0 and vz("snapshots", "one", "--json").out == "[]\n"
    assert (folder / "disk.img").exists() and vz("disk", "info", folder / "disk-1.qcow2").status == 0
    # What nothing leads to any more goes, as ever.
    attachment["path"], attachment["format"] = "disk.img", "raw"
    attachment["readOnly"] = False
    (folder / "config.json").write_text(json.dumps(config))
    assert vz("snapshot", "one", "s").status == 0 and vz("rewind", "one", "s").status == 0
    assert (folder / "disk.img").exists() and len(list(folder.glob("disk-*.qcow2"))) == 2


def test_a_detached_layer_keeps_what_is_below_it(vz, machine, home):  # noqa: F811
    folder = machine("one", "--disk", "disk.img")
    with open(folder / "disk.img", "wb") as f:
        f.truncate(1 << 20)
    assert vz("snapshot", "one", "s").status == 0
    config = json.loads((folder / "config.json").read_text())
    config["storageDevices"] = []
    (folder / "config.json").write_text(json.dumps(config))
    assert vz("snapshot", "one", "s", "--delete").status == 0
    assert (folder / "disk.img").exists() and vz("disk", "info", folder / "disk-1.qcow2").status == 0


def test_layers_that_a_crash_left_are_swept(vz, one, home):  # noqa: F811
    """Those that were begun and never named; what somebody else made, or wrote, is left alone."""
    for n in (7, 8, 9):
        assert vz("disk", "create", "--backing", "disk.img", "--backing-format", "raw", one / f"disk-{n}.qcow2").status == 0
        if n != 8:
            (one / f".disk-{n}.qcow2.begun").touch()
    with open(one / "disk-9.qcow2", "r+b") as f:  # something is in it
        f.seek(0, 2)
        f.write(b"x" * 65536)
    (one / ".disk-10.qcow2.begun").touch()  # not even made
    assert vz("snapshot", "one", "s").status == 0
    files = set(os.listdir(one))
    assert "disk-7.qcow2" not in files and {"disk-8.qcow2", "disk-9.qcow2"} <= files, files
    assert not [f for f in files if f.endswith(".begun") or f.startswith(".fresh")], files
    runs(vz, "one")
    assert vz("save", "one").status == 0 and json.loads(vz("fork", "one", "--json").out) == ["one-1"]
    assert not [f for f in os.listdir(one) if f.endswith(".begun")]


def test_a_snapshot_is_of_what_the_machine_runs_with(vz, one):
    """And not of what config.json has been changed to since."""
    file = one / "config.json"
    config = json.loads(file.read_text())
    config["cpus" if "cpus" in config else "cpuCount"] = 2
    file.write_text(json.dumps(config))
    assert vz("snapshot", "one", "s").status == 0
    now = json.loads(file.read_text())
    assert now["storageDevices"][0]["attachment"]["path"] == "disk-1.qcow2"
    assert vz("rewind", "one", "s").status == 0  # which restores, with one CPU
    runs(vz, "one")
    config = json.loads(file.read_text())
    with open(one / "other.img", "wb") as f:  # as long as the first one
        f.truncate(4 << 20)
    config["storageDevices"][0]["attachment"].update(path="other.img", format="raw")
    text = json.dumps(config)
    file.write_text(text)
    before = sorted(f for f in os.listdir(one) if not f.endswith(".new"))
    r = vz("snapshot", "one", "t")
    assert r.status == 1 and "disks have been changed since it was started" in r.err, r
    assert file.read_text() == text and tags(vz) == ["s"] and sorted(f for f in os.listdir(one) if not f.endswith(".new")) == before
    runs(vz, "one")
