# SPDX-License-Identifier: MIT
"""Copies of one machine: a command in a clean one (warm), forks, snapshots."""
import json
import os
import socket
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, VZ

DISK = ("crc16", "mbcache", "jbd2", "ext4", "virtio_blk", "fuse", "virtiofs")
INIT = """
mkdir -p /dev/pts /var/lib /home; mount -t devpts pts /dev/pts; mount -t tmpfs tmp /tmp
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
echo old >/etc/hostname; echo 0123 >/etc/machine-id; hostname old
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
mount -t ext4 /dev/vda /mnt
echo started >>/mnt/starts; date +%s >/started
/sbin/vz-agent --background
echo agent-is-up
while :; do sleep 1000; done
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    keep = os.environ.get("VZ_HOME")
    os.environ["VZ_HOME"] = str(home)
    os.environ["XDG_DATA_HOME"] = str(home)
    yield home
    for name in subprocess.run([VZ, "list", "--names"], stdout=subprocess.PIPE).stdout.decode().split():
        subprocess.run([VZ, "stop", "--now", name], stderr=subprocess.DEVNULL)
    del os.environ["VZ_HOME"], os.environ["XDG_DATA_HOME"]
    if keep:
        os.environ["VZ_HOME"] = keep


@pytest.fixture(scope="module")
def config(home, kernels, initramfs, tmp_path_factory):
    names = guest_drivers.VIRTIO + guest_drivers.NETWORK + DISK + guest_drivers.SOCKETS
    modules = guest_drivers.files(tmp_path_factory.mktemp("modules"), names)
    initrd = initramfs(guest_drivers.load(names) + INIT, *modules,
                       (f"{BUILD}/agent/vz-agent", "sbin/vz-agent"))
    return subprocess.run(
        [VZ, "run", "--print-config", "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M",
         "--cmdline", "console=ttyS0 quiet", "--disk", "disk.img", "--net", "nat", "--vsock", "cid=3"],
        check=True, stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def make(home, config):
    def make(name):
        folder = home / f"{name}.vz"
        folder.mkdir()
        with open(folder / "disk.img", "wb") as f:
            f.truncate(32 << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", folder / "disk.img"], check=True)
        (folder / "config.json").write_bytes(config)
        return folder

    return make


# ---- One command in a clean machine -----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def clean(make):
    return make("clean")


def run(vz, *command, options=(), stdin=b""):
    return vz("run", "--from", "clean", "--ephemeral", *options, "--", *command, stdin=stdin)


def warm_files(folder):
    return sorted(f.name for f in folder.iterdir() if f.name.startswith("warm"))


def test_a_command_in_a_clean_machine_starts_it_once(vz, clean):
    before = (clean / "disk.img").read_bytes()
    r = run(vz, "sh", "-c", "cat /started; cat /mnt/starts; echo mine >>/mnt/starts; touch /mine; exit 7")
    assert r.status == 7, r
    started = r.out.split()[0]
    files = warm_files(clean)
    assert len(files) == 3 and "warm.json" in files, files
    for n in range(2):  # the same start, and nothing of the run before
        r = run(vz, "sh", "-c", "cat /started /mnt/starts; ls /mine; echo mine >>/mnt/starts; touch /mine")
        assert (r.status, r.out.split()) == (0, [started, "started"]) and "No such file" in r.err, r
    assert warm_files(clean) == files
    assert (clean / "disk.img").read_bytes() == before


def test_a_clean_machine_has_input_environment_and_status(vz, clean):
    r = run(vz, "sh", "-c", "cat; echo $A; echo err >&2; pwd; kill -9 $$", stdin=b"in\n", options=("--env", "A=b", "--cwd",
                                                                                           "/tmp"))
    assert (r.status, r.out, r.err) == (137, "in\nb\n/tmp\n", "err\n"), r
    assert run(vz, "no-such-program").status == 127
    r = run(vz, "sleep", "1000", options=("--timeout", "1s"))
    assert r.status == 124, r


def test_clean_machines_differ_in_random_numbers_and_know_the_time(vz, clean):
    seen = set()
    for _ in range(3):
        # The kernel has been told of another generation, also where it has no driver for that.
        r = run(vz, "sh", "-c", "date +%s; cat /proc/sys/kernel/random/uuid /sys/firmware/acpi/interrupts/gpe00; "
                "cat /sys/bus/acpi/devices/VZPC0001:00/modalias")
        assert r.status == 0 and r.out.endswith(":VM_GEN_COUNTER:VMGENCTR:\n"), r
        now, uuid, events = r.out.split()[:3]
        assert abs(int(now) - time.time()) < 60 and events == "1"
        seen.add(uuid)
    assert len(seen) == 3


def test_a_warm_state_goes_with_its_disk_and_configuration(vz, clean):
    old = warm_files(clean)
    os.utime(clean / "disk.img")
    r = run(vz, "cat", "/mnt/starts")
    new = warm_files(clean)
    assert (r.status, r.out) == (0, "started\n") and len(new) == 3 and set(old) & set(new) == {"warm.json"}
    state = next(clean / f for f in new if f.endswith(".state"))
    state.write_bytes(b"VZSTATE\n" + bytes(8192))  # damaged: it boots, and the next one makes another
    assert run(vz, "true").status == 0
    assert warm_files(clean) == []
    assert run(vz, "true", options=("--fresh",)).status == 0
    assert warm_files(clean) == []


def test_a_clean_machine_with_a_directory_goes_on_from_a_warm_state(vz, clean, tmp_path):
    """Each run brings its own; states of different configurations lie side by side."""
    assert run(vz, "true").status == 0
    alone = set(warm_files(clean))
    for n in range(3):
        folder = tmp_path / f"shared{n}"
        folder.mkdir()
        (folder / "file").write_text(f"number {n}\n")
        r = run(vz, "sh", "-c", "cat /started /src/file; ls /src; echo done >/src/out", options=("--share", f"src={folder},mount=/src"))
        assert r.status == 0 and r.out.split()[1:] == ["number", str(n), "file"], r
        assert (folder / "out").read_text() == "done\n"
        if not n:
            started, files = r.out.split()[0], set(warm_files(clean))
        assert r.out.split()[0] == started and set(warm_files(clean)) == files
    assert alone < files and len(files) == len(alone) + 2
    assert run(vz, "true").status == 0 and set(warm_files(clean)) == files
    r = run(vz, "sh", "-c", "touch /src/x || echo read-only", options=("--share", f"src={folder},ro,mount=/src"))
    assert "read-only" in r.out and not (folder / "x").exists(), r
    os.utime(clean / "disk.img")  # which makes all of them useless
    assert run(vz, "true").status == 0 and len(warm_files(clean)) == 3


def test_a_run_is_kept_as_a_machine(vz, clean, home):
    r = vz("run", "--from", "clean", "--keep", "kept", "--no-stdin", "--", "sh", "-c", "cat; echo mine >/mnt/mine; hostname; exit 3",
           stdin=b"not for it\n")
    assert (r.status, r.out) == (3, "kept\n"), r
    assert state(vz, "kept") == "stopped" and state(vz, "clean") == "stopped"
    r = vz("run", "--from", "kept", "--ephemeral", "--fresh", "--stdin", "--", "sh", "-c", "cat /mnt/mine; cat", stdin=b"input\n")
    assert (r.status, r.out) == (0, "mine\ninput\n"), r
    assert "No such" in run(vz, "cat", "/mnt/mine").err
    r = vz("run", "--from", "clean", "--keep", "kept", "--", "true")
    assert r.status == 1 and "is there already" in r.err, r
    assert vz("run", "--from", "clean", "--keep", "other", "--ephemeral", "--", "true").status == 2
    assert vz("run", "--kernel", "/dev/null", "--keep", "other").status == 2
    assert not (home / "other.vz").exists() and not [f for f in os.listdir(home) if f.startswith(".")]
    assert vz("delete", "kept").status == 0
    r = vz("run", "--from", "clean", "--keep", "other", "--disk", "/nonexistent", "--", "true")  # which does not run
    assert r.status == 1 and not (home / "other.vz").exists(), r


def test_a_run_that_is_killed_is_kept(vz, clean, home):
    p = subprocess.Popen([VZ, "run", "--from", "clean", "--keep", "kept", "--", "sh", "-c",
                          "echo mine >/mnt/mine; sync; echo written; cat"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "written\n"
    assert "kept" in vz("list", "--names").out.split()  # from the beginning on, so nobody else takes the name
    p.kill()
    p.communicate()
    assert state(vz, "kept") == "stopped"
    r = vz("run", "--from", "kept", "--ephemeral", "--fresh", "--", "cat", "/mnt/mine")
    assert (r.status, r.out) == (0, "mine\n"), r
    assert vz("delete", "kept").status == 0


# ---- Snapshots and forks ----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def m(make):
    folder = make("m")
    subprocess.run([VZ, "start", "m"], check=True)
    r = subprocess.run([VZ, "wait", "m", "--for", "boot", "--timeout", "10m"], stderr=subprocess.PIPE)
    assert r.returncode == 0, (r.stderr, (folder / "console.log").read_text())
    return folder


def guest(vz, name, command):
    r = vz("exec", name, "--", "sh", "-c", command)
    assert r.status == 0, (name, command, r)
    return r.out


def state(vz, name):
    return json.loads(vz("inspect", name).out)["state"]


def test_a_running_machine_comes_back_to_a_snapshot(vz, m):
    guest(vz, "m", "echo one >/mnt/file; echo one >/memory; sleep 1000 & echo $! >/pid")
    assert vz("snapshot", "m", "one").status == 0
    assert state(vz, "m") == "running"
    guest(vz, "m", "echo two >/mnt/file; sync; echo two >/memory; kill $(cat /pid)")
    assert vz("snapshot", "m", "two").status == 0
    r = vz("snapshot", "m", "two")
    assert r.status == 1 and "already" in r.err, r
    assert vz("rewind", "m", "one").status == 0
    assert guest(vz, "m", "cat /mnt/file /memory; kill -0 $(cat /pid) && echo lives; echo three >/mnt/file") == "one\none\nlives\n"
    guest(vz, "m", "sync; echo 3 >/proc/sys/vm/drop_caches; grep three /mnt/file")
    r = vz("snapshot", "m")
    third = r.out.strip()
    tree = {s["tag"]: s["parent"] for s in json.loads(vz("snapshots", "m", "--json").out)}
    assert tree == {"one": None, "two": "one", third: "one"}
    r = vz("snapshots", "m")
    assert [line.split()[0] for line in r.out.splitlines()] == ["one", "two", "*"], r
    assert vz("rewind", "m", "two").status == 0
    assert guest(vz, "m", "cat /mnt/file /memory; kill -0 $(cat /pid) 2>/dev/null || echo gone") == "two\ntwo\ngone\n"
    r = vz("rewind", "m", "four")
    assert r.status == 1 and "no snapshot 'four'" in r.err and state(vz, "m") == "running", r


def test_a_snapshot_that_is_removed_leaves_the_others(vz, m):
    before = {f.name for f in m.iterdir()}
    (m / "snap-77.state").write_bytes(b"of a crash")
    (m / "snap-mine.state").write_bytes(b"of somebody's")
    assert vz("snapshot", "m", "one", "--delete").status == 0
    assert not (m / "snap-77.state").exists()
    (m / "snap-mine.state").unlink()
    tags = json.loads(vz("snapshots", "m", "--json").out)
    assert {s["parent"] for s in tags} == {None} and "one" not in {s["tag"] for s in tags}
    for tag in [s["tag"] for s in tags if s["tag"] != "two"]:
        assert vz("snapshot", "m", tag, "--delete").status == 0
    gone = before - {f.name for f in m.iterdir()}
    assert len([f for f in gone if f.startswith("snap-")]) == 2 and any(f.startswith("disk-") for f in gone), gone
    assert vz("rewind", "m").status == 0
    assert guest(vz, "m", "cat /mnt/file") == "two\n"


def test_a_machine_that_cannot_go_back_runs_on(vz, m):
    file = m / next(s["state"] for s in json.loads((m / "snapshots.json").read_text())["snapshots"] if s["tag"] == "two")
    file.rename(m / "elsewhere")
    before = {f.name for f in m.iterdir()}
    guest(vz, "m", "echo still >/still")
    r = vz("rewind", "m", "two")
    assert r.status == 1 and "is not there" in r.err, r
    assert guest(vz, "m", "cat /still") == "still\n"
    assert {f.name for f in m.iterdir()} == before
    (m / "elsewhere").rename(file)


def test_forks_are_machines_of_their_own(vz, m):
    guest(vz, "m", "echo mother >/mnt/file; echo mother >/memory; echo before >/mnt/mark")
    r = vz("fork", "m", "--count", "3", "--name", "f%d-x")
    assert (r.status, r.out.split()) == (0, ["f1-x", "f2-x", "f3-x"]), r
    assert r.err == "" and state(vz, "m") == "running"
    assert not list(m.glob("snap-*.state")) or len(list(m.glob("snap-*.state"))) == len(json.loads(vz("snapshots", "m", "--json").out))
    seen = set()
    for name in r.out.split():
        out = guest(vz, name, "cat /mnt/file /memory; echo $(hostname) >/mnt/file; hostname; cat /etc/machine-id "
                    "/proc/sys/kernel/random/uuid")
        assert out.split()[:3] == ["mother", "mother", name], out
        seen.update(out.split()[3:])
        guest(vz, name, "sync; echo 3 >/proc/sys/vm/drop_caches")
    assert len(seen) == 6
    assert {guest(vz, n, "cat /mnt/file").strip() for n in ("m", "f1-x", "f2-x", "f3-x")} == {"mother", "f1-x", "f2-x", "f3-x"}
    ids = {json.loads(vz("inspect", n).out)["configuration"]["platform"]["machineIdentifier"] for n in ("m", "f1-x", "f2-x")}
    assert len(ids) == 3
    macs = []
    for name in ("m", "f1-x", "f2-x", "f3-x"):
        told = json.loads(vz("inspect", name).out)
        assert guest(vz, name, "cat /sys/class/net/eth0/address; ping -c 1 -w 20 10.0.2.2 >/dev/null").strip() == told["networks"][0]["mac"]
        assert told["networks"][0]["mac"] == told["configuration"]["networkDevices"][0]["mac"]
        macs.append(told["networks"][0]["mac"])
    assert len(set(macs)) == 4
    assert vz("delete", "--force", "f2-x", "f3-x").status == 0
    assert not [f for f in os.listdir(m.parent) if f.startswith(".")]
    # A fork is like any other machine: it is saved, forked and started.
    assert vz("save", "f1-x").status == 0
    r = vz("fork", "f1-x", "--count", "2", "--wait")
    assert (r.status, r.out.split()) == (0, ["f1-x-1", "f1-x-2"]), r
    assert state(vz, "f1-x") == "saved"
    for n in (1, 2):  # they are others, and on stable storage
        files = os.listdir(m.parent / f"f1-x-{n}.vz")
        assert not {"identity.json", "copy.state", ".unsynced"} & set(files), files
    disks = sorted(f for f in os.listdir(m.parent / "f1-x.vz") if f.startswith("disk"))
    r = vz("fork", "f1-x", "--name", "later", "--no-start")
    assert r.status == 0 and state(vz, "later") == "saved", r
    assert sorted(f for f in os.listdir(m.parent / "f1-x.vz") if f.startswith("disk")) == disks  # however often
    assert vz("start", "f1-x").status == 0 and vz("start", "later").status == 0
    assert guest(vz, "later", "cat /mnt/file; hostname").split() == ["f1-x", "later"]
    assert vz("delete", "--force", "later").status == 0
    for name in ("f1-x", "f1-x-1", "f1-x-2"):
        assert guest(vz, name, "cat /mnt/file; hostname").split() == ["f1-x", name]
    assert vz("delete", "--force", "f1-x", "f1-x-1", "f1-x-2").status == 0


def test_forks_leave_the_ports_of_the_host(vz, m):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert vz("forward", "m", f"{port}:80").status == 0 and vz("save", "m").status == 0
    r = vz("fork", "m", "--count", "2", "--name", "p%d")  # of one that is saved, and of one that runs
    assert (r.status, r.out.split()) == (0, ["p1", "p2"]) and "the forwards of m stay with it" in r.err, r
    assert vz("start", "m").status == 0
    r = vz("fork", "m", "--name", "p3")
    assert (r.status, r.out.split()) == (0, ["p3"]) and "the forwards of m stay with it" in r.err, r
    assert str(port) in vz("forward", "m").out
    for name in ("p1", "p2", "p3"):
        assert vz("forward", name).out == "" and guest(vz, name, "hostname") == f"{name}\n"
    assert vz("forward", "p1", f"{port}:80").status == 1
    assert vz("delete", "--force", "p1", "p2", "p3").status == 0
    assert vz("forward", "m", "--remove", f"{port}:80").status == 0


def test_what_cannot_be_forked_is_told(vz, m, make):
    make("off")
    r = vz("fork", "off")
    assert r.status == 1 and "does not run, and is not saved" in r.err, r
    assert vz("snapshot", "off", "s").status == 0  # its disks alone
    with open(m.parent / "off.vz" / "disk-1.qcow2", "ab"):
        pass
    assert vz("rewind", "off", "s").status == 0 and state(vz, "off") == "stopped"
    r = vz("fork", "m", "--name", "off")
    assert r.status == 1 and "is there already" in r.err, r
    assert vz("fork", "m", "--count", "0").status == 1
    assert state(vz, "m") == "running"
