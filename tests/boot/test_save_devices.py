# SPDX-License-Identifier: MIT
"""Linux saved and restored again and again with every device that a machine can have, each at work: nothing that was written is lost, and no
device stands still. What its drivers have to say is in the kernel's log, and that is nothing."""
import os
import random
import re

import pytest

import guest_drivers

from boots import trouble
from test_runtime import SCRIPT, until
from test_save import Saved

CYCLES = int(os.environ.get("VZ_CYCLES", 8))  # of an hour: VZ_CYCLES=300
MIB = 1 << 20
DISKS = ("vda", "nvme0n1", "nvme0n2", "nvme1n1", "sda", "sdb")  # sda: by bulk transfers; sdb: by UAS

VERIFY = """
n=0
dd if=/dev/urandom of=/noise.$1 bs=1M count=1 2>/dev/null
while [ ! -e /stop ]; do
    n=$((n + 1)); at=$((n % 64))
    { echo $1 $n; cat /noise.$1; } | dd of=/block.$1 bs=64k count=1 iflag=fullblock 2>/dev/null
    dd if=/block.$1 of=/dev/$1 bs=64k seek=$at conv=notrunc,fsync 2>/dev/null || echo "$1: write failed" >>/wrong
    echo 1 >/proc/sys/vm/drop_caches
    dd if=/dev/$1 of=/again.$1 bs=64k skip=$at count=1 2>/dev/null
    cmp /block.$1 /again.$1 >>/wrong 2>&1
    echo $n >/count.$1
done
: >/ended.$1
"""
# What is read is what is there, by each device that gives something; and a picture is drawn.
USE = """
n=0
while [ ! -e /stop ]; do
    n=$((n + 1))
    case $1 in
    sr0) dd if=/dev/sr0 of=/got.$1 bs=64k count=3 2>/dev/null; cmp /got.$1 /sent >>/wrong 2>&1 ;;
    files|window) cmp /$1/sent /sent >>/wrong 2>&1 ;;
    hwrng) dd if=/dev/hwrng of=/got.$1 bs=512 count=1 2>/dev/null || echo "no random numbers" >>/wrong ;;
    fb0) dd if=/dev/urandom of=/dev/fb0 bs=64k count=4 2>/dev/null || echo "no picture" >>/wrong ;;
    esac
    echo 3 >/proc/sys/vm/drop_caches
    echo $n >/count.$1
done
: >/ended.$1
"""
USED = ("sr0", "files", "window", "hwrng", "fb0")
DRIVERS = ("virtio_pci", "virtio_blk", "nvme", "xhci_pci", "usb_storage", "uas", "sd_mod", "sr_mod", "usbhid", "hid_generic", "hid_apple",
           "hid_multitouch", "evdev", "virtio_gpu", "virtiofs", "virtio_rng", "virtio_console", "virtio_net", "virtio_balloon",
           "vmw_vsock_virtio_transport")
SENT = random.Random(2).randbytes(192 << 10)


class Everything(Saved):
    def counts(self):
        return self.numbers([f"/count.{name}" for name in (*DISKS, *USED)])


def devices(folder):
    shared = folder / "shared"
    shared.mkdir()
    (shared / "sent").write_bytes(SENT)
    (folder / "disc.iso").write_bytes(SENT.ljust(4 * MIB, b"\0"))
    images = []
    for name in ("first", "second", "third", "stick", "fast"):
        images.append(folder / name)
        with open(images[-1], "wb") as f:
            f.truncate(32 * MIB)
    first, second, third, stick, fast = images
    return "\n".join((f"nvme {first},id=one", f"nvme-namespace {second},controller=one", f"nvme {third},id=two", f"usb-disk {stick}",
                      f"usb-disk {fast},uas", f"cdrom {folder}/disc.iso", "keyboard", "mac-keyboard", "pointer", "mouse", "trackpad",
                      "display 640x480", "sound output=none,input=none", "clipboard", "rng", f"share files={shared},ro",
                      f"share window={shared},ro,dax=64M", "fw-cfg opt/test=yes"))


@pytest.fixture(scope="module")
def m(kernels, initramfs, tmp_path_factory):
    folder, machine = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("machine")
    (folder / "verify").write_text(VERIFY)
    (folder / "use").write_text(USE)
    (folder / "sent").write_bytes(SENT)
    drivers, load = guest_drivers.Needs(folder)(*DRIVERS)
    files = [guest_drivers.program(folder, "tests/virtio/vsocktool.c"), *[(folder / name, name) for name in ("verify", "use", "sent")], *drivers]
    script = load + "\n".join(line for line in SCRIPT.split("\n") if "insmod" not in line)
    with Everything(kernels["amd64"], initramfs(script, *files), machine, RUNTIMEVM_CPUS="2", RUNTIMEVM_DEVICES=devices(machine),
                    XDG_DATA_HOME=str(tmp_path_factory.mktemp("keys"))) as m:
        yield m


def test_every_device_goes_on_through_many_saves(m):
    assert until(lambda: m.guest("ls " + " ".join(f"/dev/{name}" for name in (*DISKS, "sr0", "fb0", "hwrng")))[0] == 0), m.guest("dmesg")[1]
    assert m.guest("mkdir /files /window; mount -t virtiofs files /files && mount -t virtiofs -o dax=always window /window")[0] == 0
    assert int(m.guest("ls /dev/input | grep -c event")[1]) >= 5
    m.guest(f": >/wrong; for name in {' '.join(DISKS)}; do sh /verify $name & done; for name in {' '.join(USED)}; do sh /use $name & done")
    assert until(lambda: m.guest("cat " + " ".join(f"/count.{name}" for name in (*DISKS, *USED)) + " >/dev/null")[0] == 0)
    for n in range(CYCLES):
        m.cycle(("", "secret", "-")[n % 3])
        m.moves(f"cycle {n}")
        assert until(lambda: m.command("talk 6000")[-1] == "ok")
    m.guest(": >/stop")
    assert until(lambda: m.guest("ls " + " ".join(f"/ended.{name}" for name in (*DISKS, *USED)))[0] == 0)
    assert m.guest("cat /wrong") == (0, "")
    log = m.guest("dmesg")[1]
    assert not trouble(log)
    assert not re.search(r"nvme.*(timeout|abort|reset)|usb.*(reset|disconnect)|xhci.*(died|not respond)|I/O error", log), log
