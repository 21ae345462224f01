# SPDX-License-Identifier: MIT
"""Linux's own drivers on the USB controller: disks, a CD-ROM, keyboards and pointing devices."""
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

import boots
import guest_drivers
from conftest import ROOT, SLOWER

sys.path.insert(0, f"{ROOT}/tests/lib")
from nbd_server import nbdkit  # noqa: E402

MIB = 1 << 20
HERE = os.path.dirname(__file__)
LIMIT_S = 900 * SLOWER
STEPS = "seq check rand:200 check flush:20 check"


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """modules(NAME...): files for an initramfs, and a script that loads them, what they need first."""
    return guest_drivers.Needs(tmp_path_factory.mktemp("modules"))


@pytest.fixture(scope="session")
def diskcheck(tmp_path_factory):
    program = tmp_path_factory.mktemp("bin") / "diskcheck"
    subprocess.run(["gcc", "-O2", "-static", f"{HERE}/diskcheck.c", "-o", program], check=True)
    return program


@pytest.fixture(scope="session")
def diskload(tmp_path_factory):
    return guest_drivers.program(tmp_path_factory.mktemp("bin"), "tests/boot/diskload.c")


@pytest.fixture(scope="session")
def usbreset(tmp_path_factory):
    return guest_drivers.program(tmp_path_factory.mktemp("bin"), "tests/virtio/usbreset.c")


@pytest.fixture
def guest(kernels, initramfs, modules, diskcheck, diskload, usbreset, monkeypatch):
    """guest(SCRIPT, OPTION...) runs it to its end, in memory that no device writes without asking."""
    monkeypatch.setenv("VZ_STRICT_MEMORY", "1")

    def run(script, *options, drivers=("xhci_pci", "usb_storage", "sd_mod", "sr_mod"), parameters={}, cpus=2, more=(),
            complaints="xhci.*(warn|error|not respond|died)|usb.*(error|reset)"):
        files, load = modules(*drivers)
        for name, value in parameters.items():
            load = load.replace(f"/{name}.ko", f"/{name}.ko {value}")
        initrd = initramfs(load + script + f"\ndmesg | grep -E '{complaints}'\n"
                           "poweroff -f\n", *files, (diskcheck, "bin/diskcheck"), diskload, usbreset, *more)
        r = boots.run(kernels["amd64"], initrd, "--cpus", cpus, *options, limit_s=LIMIT_S)
        assert r.status == 0 and not boots.trouble(r.out), r
        return r.out

    return run


@pytest.fixture
def image(tmp_path):
    def make(size=16 * MIB, name="disk.img"):
        path = tmp_path / name
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    return make


def wait_for(*devices):
    return "".join(f"for i in $(seq 600); do [ -b /dev/{d} ] && break; sleep 0.1; done\n" for d in devices)


def test_what_the_guest_wrote_is_in_the_image(guest, image, diskcheck):
    path = image()
    out = guest(wait_for("sda") + f"cat /sys/block/sda/size /sys/bus/usb/devices/2-1/speed\ndiskcheck /dev/sda 7 {STEPS}",
                "--usb-disk", path)
    assert "all is well" in out and "5000" in out and "32768" in out, out
    assert "reset" not in out and "error" not in out, out
    r = subprocess.run([diskcheck, "--verify", path, "7", *STEPS.split()], text=True, stdout=subprocess.PIPE)
    assert "all is well" in r.stdout


def test_a_cdrom_is_only_read(guest, image):
    path = image(8 * MIB, "disc.iso")
    path.write_bytes(b"this is on the disc\n".ljust(8 * MIB, b"x"))
    out = guest(wait_for("sr0", "sda") + "head -n 1 /dev/sr0; cat /sys/block/sr0/size; cat /sys/block/sda/ro /sys/block/sda/size\n"
                "echo x >/dev/sr0 && echo WRITTEN",
                "--cdrom", path, "--usb-disk", f"{image()},ro")
    assert "this is on the disc" in out and "16384" in out and "WRITTEN" not in out, out
    assert "1\n32768" in out, out
    assert path.read_bytes().startswith(b"this is on the disc")


UAS = ("xhci_pci", "uas", "sd_mod", "sr_mod")


def test_uas_has_many_commands_at_a_time(guest, image, diskcheck):
    """Steps one after the other on the first disk, and then on the second one up to a queue's depth at once."""
    path, other = image(), image(name="other.img")
    out = guest(wait_for("sda", "sdb") + "readlink /sys/bus/usb/devices/2-1:1.0/driver; cat /sys/block/sda/device/queue_depth\n"
                f"diskcheck /dev/sda 7 {STEPS}\ndiskload depth /dev/sdb 5 400 1 3 14 32 || echo BAD\n",
                "--usb-disk", f"{path},uas", "--usb-disk", f"{other},uas", drivers=UAS)
    assert "all is well" in out and "drivers/uas" in out and re.search(r"^14\s*$", out, re.M) and "BAD" not in out, out
    assert "reset" not in out and "error" not in out, out
    r = subprocess.run([diskcheck, "--verify", path, "7", *STEPS.split()], text=True, stdout=subprocess.PIPE)
    assert "all is well" in r.stdout


def test_a_uas_disk_is_read_only_and_a_drive_a_drive(guest, image):
    disc, path = image(8 * MIB, "disc.iso"), image()
    disc.write_bytes(b"this is on the disc\n".ljust(8 * MIB, b"x"))
    out = guest(wait_for("sr0", "sda") + "head -n 1 /dev/sr0; cat /sys/block/sda/ro /sys/block/sda/size\n"
                "md5sum </dev/sr0; echo x >/dev/sda && echo WRITTEN",
                "--cdrom", f"{disc},uas", "--usb-disk", f"{path},ro,uas", drivers=UAS)
    assert "this is on the disc" in out and "1\n32768" in out and hashlib.md5(disc.read_bytes()).hexdigest() in out and "WRITTEN" not in out, out
    assert path.read_bytes() == bytes(16 * MIB)


def test_a_uas_disk_is_a_stick_to_those_without_uas(guest, image, diskcheck):
    out = guest(wait_for("sda") + f"readlink /sys/bus/usb/devices/2-1:1.0/driver; diskcheck /dev/sda 7 {STEPS}",
                "--usb-disk", f"{image()},uas", parameters={"usb_storage": "quirks=1d6b:0104:u"})
    assert "all is well" in out and "drivers/usb-storage" in out, out


def test_uas_is_reset_under_load(guest, image):
    """Ports, slots and streams are made anew each time; what was under way is sent again."""
    out = guest(wait_for("sda") + "(diskload depth /dev/sda 5 2000 14; echo load $?) & sleep 1\n"
                "usbreset /dev/bus/usb/002/002 20; echo reset $?; wait\nreadlink /sys/bus/usb/devices/2-1:1.0/driver",
                "--usb-disk", f"{image()},uas", drivers=UAS, complaints="usb.*error|xhci.*(warn|error|not respond|died)")
    assert "load 0" in out and "reset 0" in out and "drivers/uas" in out, out
    assert "error" not in out and "respond" not in out, out


FIO = "/usr/bin/fio"


@pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes minutes: VZ_LONG=1 (diskcheck and diskload do the same in small)")
@pytest.mark.skipif(not os.path.exists(FIO), reason="fio is not installed")
@pytest.mark.parametrize("depth", (1, 32))
def test_fio_finds_what_it_wrote(guest, image, depth):
    """By both transports at once; each block is read again and compared."""
    job = (f"{FIO} --output-format=json --ioengine=libaio --direct=1 --rw=randrw --bssplit=512/10:4k/50:16k/30:128k/10 --size=16M "
           f"--iodepth={depth} --verify=crc32c --verify_fatal=1 --name=sda --filename=/dev/sda --name=sdb --filename=/dev/sdb")
    out = guest(wait_for("sda", "sdb") + "for d in 2-1 2-2; do readlink /sys/bus/usb/devices/$d:1.0/driver; done\n"
                f"mkdir -p /tmp; cd /tmp; {job} >told; echo fio: $?; cat told\n",
                "--usb-disk", f"{image()},uas", "--usb-disk", image(name="other.img"), "--memory", "512M",
                drivers=(*UAS, "usb_storage"), more=guest_drivers.with_libraries(FIO))
    assert "drivers/uas" in out and "drivers/usb-storage" in out and re.search(r"^fio: 0\s*$", out, re.M), out
    told = json.loads(out[out.index("\n{"):out.rindex("\n}") + 2])
    assert [j["jobname"] for j in told["jobs"]] == ["sda", "sdb"]
    for j in told["jobs"]:
        assert j["error"] == 0 and j["read"]["total_ios"] and j["write"]["total_ios"], j["jobname"]


# A server that never answers for the disk's second half.
HANGS = ("eval", "get_size=echo 16M", "pread=[ $4 -lt 8388608 ] || sleep 900; head -c $3 /dev/zero", "thread_model=echo parallel")


def test_a_disk_that_hangs_takes_no_other_along(guest, image, diskcheck, tmp_path):
    """Linux gives a command up, takes its transfers back, and resets the device; a controller that did not let it would be
    given up with all that is plugged into it."""
    with nbdkit(tmp_path / "nbd", *HANGS) as server:
        out = guest(wait_for("sda", "sdb") + "echo 2 >/sys/block/sda/device/timeout\n"
                    "dd if=/dev/sda of=/dev/null bs=4k count=1 skip=3000 iflag=direct & \n"
                    "for i in $(seq 600); do dmesg | grep -q 'usb 2-1: reset' && break; sleep 0.1; done\n"
                    f"dmesg | grep -c 'usb 2-1: reset'; diskcheck /dev/sdb 7 {STEPS}\n",
                    "--usb-disk", server.uri, "--usb-disk", image(), complaints="HC died|not respond")
    assert "all is well" in out and "usb 2-2" not in out, out
    assert "HC died" not in out and "not respond" not in out, out


def test_keyboards_and_pointing_devices_are_found(guest):
    out = guest("for i in $(seq 100); do [ $(ls -d /sys/class/input/event* | wc -l) -ge 8 ] && break; sleep 0.1; done\n"
                "cat /sys/class/input/event*/device/name; cat /sys/bus/hid/devices/*/uevent | grep DRIVER\n"
                "grep . /sys/class/input/input*/properties /sys/class/input/input*/capabilities/abs",
                "--keyboard", "--mac-keyboard", "--pointer", "--mouse", "--trackpad",
                drivers=("xhci_pci", "usbhid", "hid_generic", "hid_apple", "hid_multitouch", "evdev"))
    for name in ("vz vz USB Keyboard", "vz vz Mac Keyboard", "vz vz USB Tablet", "vz vz USB Mouse", "vz vz Trackpad Touchpad"):
        assert name in out, out
    assert "DRIVER=apple" in out and "DRIVER=hid-multitouch" in out, out
    assert "properties:5" in out, out  # a pointer, and a pad that is pressed
