# SPDX-License-Identifier: MIT
"""Disks of machines in the background: made longer, limited and counted while they run."""
import json
import os
import subprocess

import pytest

from machines import Control, home, info, machine  # noqa: F401 (fixtures)


@pytest.fixture
def disks(machine, tmp_path):
    """A machine with a raw disk and a qcow2 one."""
    raw, qcow2 = tmp_path / "raw.img", tmp_path / "disk.qcow2"
    raw.write_bytes(bytes(1 << 20))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "2M"], check=True)
    folder = machine("one", "--disk", f"{raw},limit-bytes=8M,limit-operations=500,limit-burst=50", "--nvme", str(qcow2))
    return folder, raw, qcow2


def now(folder):
    c = Control(folder)
    answer = c.call("info")["result"]["disks"]
    c.close()
    return answer


def members(folder, disk):
    d = json.loads((folder / "config.json").read_text())["storageDevices"][disk]
    return d.get("limitBytes", 0), d.get("limitOperations", 0), d.get("limitBurst", 100)


def test_limits_of_a_running_machine(vz, disks):
    folder, _, _ = disks
    assert vz("start", "one").status == 0
    none = {"bytes": 0, "operations": 0, "burst": 100}
    assert now(folder) == [{"size": 1 << 20, "limits": {"bytes": 8 << 20, "operations": 500, "burst": 50}},
                           {"size": 2 << 20, "limits": none}]
    r = vz("set", "one", "disk.0.limit-operations=0", "disk.1.limit-bytes=16M", "disk.1.limit-burst=1000")
    assert (r.status, r.err) == (0, ""), r
    assert [d["limits"] for d in now(folder)] == [{"bytes": 8 << 20, "operations": 0, "burst": 50},
                                                  {"bytes": 16 << 20, "operations": 0, "burst": 1000}]
    assert [members(folder, 0), members(folder, 1)] == [(8 << 20, 0, 50), (16 << 20, 0, 1000)]  # and at the next start
    for bad in ("disk.2.limit-bytes=1M", "disk.0.limit-bytes=fast", "disk.0.limit-operations=-1", "disk.0.nothing=1",
                "disk.0.limit-burst=0", "disk.0.limit-burst=9999999", "disk.0=1"):
        r = vz("set", "one", bad)
        assert r.status == 1 and "one: " in r.err, r
    assert members(folder, 0) == (8 << 20, 0, 50)
    c = Control(folder)
    assert c.call("limit-disk", disk=0, bytes=0)["result"] == {}
    assert c.call("info")["result"]["disks"][0]["limits"] == {"bytes": 0, "operations": 0, "burst": 50}
    assert c.call("limit-disk", bytes=1)["error"]["code"] == 2
    assert c.call("limit-disk", disk=0, burst=0)["error"]["code"] == 2
    assert c.call("limit-disk", disk=7)["error"]["code"] == 30004


def test_sizes(vz, disks):
    folder, raw, qcow2 = disks
    assert vz("set", "one", "disk.0.size=2M").status == 0  # off
    assert os.path.getsize(raw) == 2 << 20
    assert vz("start", "one").status == 0
    r = vz("set", "one", "disk.0.size=4M", "disk.1.size=1G")
    assert (r.status, r.err) == (0, ""), r
    assert [d["size"] for d in now(folder)] == [4 << 20, 1 << 30]
    assert os.path.getsize(raw) == 4 << 20
    r = vz("set", "one", "disk.0.size=1M")
    assert r.status == 1 and "lose its end" in r.err, r
    c = Control(folder)
    assert c.call("resize-disk", disk=1, size=2 << 30)["result"] == {}
    assert c.call("resize-disk", disk=1)["error"]["code"] == 2
    assert c.call("resize-disk", disk=1, size=3)["error"]["code"] == 2
    assert c.call("resize-disk", disk=9, size=4096)["error"]["code"] == 30004
    # Another disk stands at its place in the configuration now.
    assert vz("detach", "one", "storageDevices[0]").status == 0
    r = vz("set", "one", "disk.0.size=3G")
    assert r.status == 1 and "another one" in r.err, r
    assert vz("stop", "--now", "one").status == 0
    out = json.loads(subprocess.run(["qemu-img", "info", "--output=json", qcow2], check=True, stdout=subprocess.PIPE).stdout)
    assert out["virtual-size"] == 2 << 30
    subprocess.run(["qemu-img", "check", "-q", qcow2], check=True)


def test_an_image_that_is_only_read_keeps_its_size(vz, machine, tmp_path):
    """Others may share it; what an ephemeral disk has of its own is gone while the machine is off."""
    raw = tmp_path / "raw.img"
    raw.write_bytes(bytes(1 << 20))
    machine("one", "--disk", f"{raw},ro", "--disk", f"{raw},ephemeral")
    for i in (0, 1):
        r = vz("set", "one", f"disk.{i}.size=2M")
        assert r.status == 1 and "only read" in r.err, r
    assert os.path.getsize(raw) == 1 << 20
    assert vz("start", "one").status == 0
    r = vz("set", "one", "disk.0.size=2M")
    assert r.status == 1 and "read-only" in r.err, r
    assert vz("set", "one", "disk.1.size=2M").status == 0
    assert os.path.getsize(raw) == 1 << 20


def test_counters(vz, disks):
    folder, _, _ = disks
    assert vz("start", "one").status == 0
    counters = json.loads(vz("stats", "one", "--json").out)["counters"]
    assert counters["disk0.reads"] == 0 and counters["disk1.errors"] == 0
    assert "disk0.read_ns" not in counters and "disk2.reads" not in counters
