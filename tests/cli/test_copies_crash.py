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
    for n in range(3):
        killed(random.uniform(0, 0.2), "fork", "one", "--count", "2", "--name", f"f{n}-%d")
    runs(vz, "one")
    names = vz("list", "--names").out.split()
    for name in names:
        runs(vz, name)
    assert vz("fork", "one", "--name", "last").status == 0  # it sweeps, as all that makes machines does
    assert [f for f in os.listdir(home) if f.startswith(".")] == []
    runs(vz, "last")
    assert vz("stop", "--now", *names, "last").status == 0


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
    before = sorted(os.listdir(one))
    r = vz("snapshot", "one", "t")
    assert r.status == 1 and "disks have been changed since it was started" in r.err, r
    assert file.read_text() == text and tags(vz) == ["s"] and sorted(os.listdir(one)) == before
    runs(vz, "one")
