# SPDX-License-Identifier: MIT
"""A machine whose guest has files mapped through the window of a share, saved and restored."""
import os
import struct
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, VZ
from machines import boot, make_folder

DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.SOCKETS, "fuse", "virtiofs")
PAGE, PAGES = 4096, 600
INIT = """
mount -t tmpfs tmp /tmp; mkdir -p /dev/pts /var/lib; mount -t devpts pts /dev/pts
mount -t virtiofs work /mnt
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
/sbin/vz-agent --background
while :; do sleep 1000; done
"""


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    for name in ("counted", "gone"):
        (folder / name).write_bytes(b"".join(struct.pack("<I", n).ljust(PAGE, b"\0") for n in range(PAGES)))
    return folder


@pytest.fixture(scope="module")
def g(kernels, initramfs, tmp_path_factory, share):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    modules = guest_drivers.files(tmp_path_factory.mktemp("modules"), DRIVERS)
    mapped = guest_drivers.program(tmp_path_factory.mktemp("programs"), "tests/boot/programs/mapped.c")
    agent = (f"{BUILD}/agent/vz-agent", "sbin/vz-agent")
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *modules, agent, mapped)
    make_folder(home / "g.vz", "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M",
                "--cmdline", "console=ttyS0 quiet", "--vsock", "cid=3", "--share", f"work={share},dax=16M")
    boot(home / "g.vz")
    yield "g"
    subprocess.run([VZ, "stop", "--now", "g"])
    del os.environ["VZ_HOME"]


def counted(share):
    """How often the guest went through the file, and where it found something else than it wrote."""
    with open(share / "counted", "rb") as f:
        return struct.unpack("<4I", f.read(16))[2:]


def goes_on(share):
    before = counted(share)[0]
    deadline = time.monotonic() + 300
    while counted(share)[0] < before + 5:
        assert time.monotonic() < deadline, counted(share)
        time.sleep(0.1)
    assert counted(share)[1] == 0


def test_mappings_outlive_a_save(vz, g, share):
    r = vz("exec", g, "--", "sh", "-c",
           "for f in counted gone; do mapped count /mnt/$f >/dev/null 2>&1 & done")
    assert r.status == 0, r
    goes_on(share)
    for _ in range(3):
        r = vz("save", g)
        assert r.status == 0, r
        (share / "gone").unlink(missing_ok=True)
        (share / "gone").write_bytes(b"another file")
        at_rest = counted(share)
        time.sleep(0.3)
        assert counted(share) == at_rest
        r = vz("restore", g)
        assert r.status == 0, r
        goes_on(share)
    r = vz("exec", g, "--", "sh", "-c", "echo lives")
    assert (r.status, r.out) == (0, "lives\n"), r
    assert (share / "gone").read_bytes() == b"another file"
