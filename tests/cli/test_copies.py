# SPDX-License-Identifier: MIT
"""Copies of one machine: a command in a clean one (warm), forks, snapshots."""
import json
import os
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, VZ

DISK = ("crc16", "mbcache", "jbd2", "ext4", "virtio_blk")
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
