# SPDX-License-Identifier: MIT
"""USB devices of the host: the host is a guest of ours, whose USB disk and keyboard a machine inside it gets, by libusb."""
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time

import pytest

import guest_drivers
from conftest import BUILD, PATIENT, ROOT, SLOWER, VZ

sys.path.append(f"{ROOT}/tests/cli")
from machines import make_folder  # noqa: E402

MIB = 1 << 20
LIMIT_S = 600 * SLOWER
HOST_DRIVERS = ("xhci_pci", "usb_storage", "sd_mod", "usbhid", "hid_generic", "virtio_pci", "vmw_vsock_virtio_transport")
GUEST_DRIVERS = ("xhci_pci", "usb_storage", "sd_mod", "usbhid", "hid_generic", "evdev")
HOST_INIT = """
mount -t tmpfs tmp /tmp; mkdir -p /dev/pts /dev/shm /var/tmp /run; mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
ip link set lo up 2>/dev/null
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
/sbin/vz-agent --background
while :; do sleep 1000; done
"""
GUEST_INIT = """
keyboard() {
    until [ -e /dev/input/event0 ]; do sleep 0.2; done
    cat /dev/input/event0 >/tmp/events &
    echo "keyboard $(cat /sys/class/input/event0/device/name)"
    seen=0
    while :; do
        n=$(($(wc -c </tmp/events) / 24))
        [ $n = $seen ] || od -An -v -tu2 -w24 /tmp/events | head -n $n | tail -n $((n - seen)) | awk '$9 == 1 {print "key", $10, $11}'
        seen=$n
        sleep 0.3
    done
}
keyboard &
n=0
while :; do
    until [ -b /dev/sda ]; do sleep 0.2; done
    n=$((n + 1))
    echo "disk $n $(cat /sys/block/sda/size) $(md5sum </dev/sda)"
    yes "written $n" | dd of=/dev/sda bs=4k count=64 iflag=fullblock conv=fsync 2>/dev/null && echo "wrote $n"
    while dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null && [ -b /dev/sda ]; do sleep 0.1; done
    echo "gone $n"
    while [ -b /dev/sda ]; do sleep 0.2; done
done
"""


def linked(path):
    """The shared libraries of a program or library."""
    out = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return re.findall(r"(?:=> )?(/\S+) \(0x", out)


def libusb():
    out = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, check=True, text=True).stdout
    found = re.search(r"^\s*libusb-1\.0\.so\.0 \(.*x86-64\) => (\S+)", out, re.M)
    return found and found[1]


class Host:
    """A machine whose guest has vz, and a machine in a folder."""

    def __init__(self, home, kernel, initrd):
        self.folder = home / "g.vz"
        make_folder(self.folder, "--kernel", kernel, "--initrd", initrd, "--memory", "1536M", "--cmdline",
                    f"console=ttyS0 quiet {PATIENT}", "--vsock", "cid=3", "--keyboard", "--usb")
        self.vz("start", "g")
        self.vz("wait", "g", "--for", "boot", "--timeout", "10m")

    def vz(self, *argv, status=0):
        r = subprocess.run([VZ, *map(str, argv)], capture_output=True, text=True, timeout=LIMIT_S)
        assert r.returncode == status, (argv, r, self.log())
        return r

    def log(self):
        return (self.folder / "console.log").read_text(errors="replace")[-3000:]

    def run(self, script, status=0):
        return self.vz("exec", "g", "--", "sh", "-c", f"export VZ_HOME=/home HOME=/root; {script}", status=status).stdout

    def inner(self, *argv, status=0):
        """vz in the guest: its standard error too."""
        return self.run(f"{VZ} {' '.join(argv)} 2>&1", status)

    def inner_log(self):
        return self.run("cat /home/inner.vz/console.log").replace("\r", "")

    def until(self, pattern):
        """Until the inner guest has said so."""
        end = time.monotonic() + LIMIT_S / 2
        while True:
            found = re.search(pattern, self.inner_log())
            if found:
                return found
            assert time.monotonic() < end, (pattern, self.inner_log()[-3000:], self.run("dmesg | tail -n 40"))
            time.sleep(0.5)

    def written(self):
        """How many disks the inner guest has written."""
        return self.inner_log().count("wrote ")

    def until_here(self, script):
        self.run(f"for i in $(seq 300); do {script} && exit 0; sleep 0.2; done; dmesg | tail -n 30 >&2; exit 1")

    def plug(self, path):
        """A stick in the guest, which is the host of the machine inside: its port there."""
        self.vz("attach", "g", "usb-disk", path)
        self.until_here("[ -b /dev/sda ]")
        disks = [d for d in json.loads(self.inner("usb", "list", "--json")) if "Disk" in d["name"]]
        assert len(disks) == 1, disks
        return disks[0]["device"]

    def unplug(self):
        config = json.loads((self.folder / "config.json").read_text())
        self.vz("detach", "g", config["storageDevices"][-1]["uuid"])


@pytest.fixture(scope="module")
def g(kernels, initramfs, tmp_path_factory):
    library = libusb()
    if not library:
        pytest.skip("there is no libusb-1.0")
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("modules")
    os.environ["VZ_HOME"] = str(home)
    needs = guest_drivers.Needs(folder)
    files, load = needs(*GUEST_DRIVERS)
    inner_initrd = initramfs(load + GUEST_INIT, *files)
    inner = tmp_path_factory.mktemp("inner") / "inner.vz"
    make_folder(inner, "--kernel", "vmlinuz", "--initrd", "initrd", "--memory", "256M", "--accel", "soft", "--cmdline",
                f"console=ttyS0 quiet {PATIENT}", "--usb")
    files, load = needs(*HOST_DRIVERS)
    programs = {VZ, library, *linked(VZ), *linked(library)}
    initrd = initramfs(load + HOST_INIT, *files, *((p, p.lstrip("/")) for p in sorted(programs)),
                       (f"{BUILD}/agent/vz-agent", "sbin/vz-agent"), (kernels["amd64"], "home/inner.vz/vmlinuz"),
                       (inner_initrd, "home/inner.vz/initrd"), (inner / "config.json", "home/inner.vz/config.json"))
    try:
        g = Host(home, kernels["amd64"], initrd)
        g.inner("start", "inner")
        yield g
        log = (g.folder / "console.log").read_text(errors="replace")
        assert not re.search(r"BUG|Oops|Call Trace|lockup|stall", log), log
    finally:
        subprocess.run([VZ, "stop", "--now", "g"])
        del os.environ["VZ_HOME"]


@pytest.fixture
def stick(tmp_path):
    path = tmp_path / "stick.img"
    path.write_bytes(random.Random(7).randbytes(4 * MIB))
    return path


def attached(g):
    return json.loads(g.run("cat /home/inner.vz/config.json")).get("usbDevices", [])


def test_a_disk_is_read_and_written_and_given_back(g, stick):
    content = hashlib.md5(stick.read_bytes()).hexdigest()
    port = g.plug(stick)
    table = g.inner("usb", "list")
    assert re.search(rf"^{re.escape(port)} +1d6b:0104 +5000  vz vz USB Disk$", table, re.M), table
    g.inner("attach", "inner", "usb", f"host={port}")
    found = g.until(r"disk \d+ (\d+) (\w+)")
    assert found[1] == str(4 * MIB // 512) and found[2] == content, found[0]
    g.until("wrote 1")
    assert stick.read_bytes().startswith(b"written 1\nwritten 1\n")
    g.until_here("[ ! -b /dev/sda ]")  # it is the guest's
    g.inner("detach", "inner", attached(g)[0]["uuid"])
    g.until("gone 1")
    g.until_here("[ -b /dev/sda ]")  # it has its driver again
    assert g.run("head -c 20 /dev/sda") == "written 1\nwritten 1\n"
    assert not attached(g)
    g.unplug()


def test_a_disk_that_is_pulled_out_is_gone_from_the_guest(g, stick):
    port, n = g.plug(stick), g.written() + 1
    g.inner("attach", "inner", "usb", f"host={port}")
    g.until(f"wrote {n}")
    g.unplug()
    g.until(f"gone {n}")
    g.until_here("grep -q 'gone from the host' /home/inner.vz/*.log")
    assert len(attached(g)) == 1 and g.plug(stick) == port
    assert "say which by its port" in g.inner("attach", "inner", "usb", "host=1d6b:0104", status=1)  # the keyboard's, too
    g.inner("attach", "inner", "usb", f"host={port}")
    g.until(f"wrote {n + 1}")
    g.inner("detach", "inner", attached(g)[-1]["uuid"])
    g.until(f"gone {n + 1}")
    g.unplug()


def test_a_keyboard_s_keys_arrive(g):
    """Interrupt transfers, which wait until somebody types."""
    keyboard = next(d for d in json.loads(g.inner("usb", "list", "--json")) if "Keyboard" in d["name"])
    g.inner("attach", "inner", "usb", f"host={keyboard['device']}")
    g.until("keyboard vz vz USB Keyboard")
    for _ in range(100):  # Linux drops what comes in the first moments
        g.vz("send-keys", "g", "x")
        if re.search("key 45 0", g.inner_log()):
            break
        time.sleep(0.5)
    g.vz("send-keys", "g", "--literal", "asdfg")
    keys = "".join(f"key {code} {down}\n" for code in range(30, 35) for down in (1, 0))
    g.until(keys)
    g.inner("detach", "inner", attached(g)[-1]["uuid"])


def test_what_cannot_be_had_is_said(g):
    assert "no such USB device" in g.inner("attach", "inner", "usb", "host=9-9", status=1)
    assert "is no USB device: expected its port" in g.inner("attach", "inner", "usb", "host=stick", status=1)
    assert not attached(g)


def test_a_machine_with_one_is_not_saved(g, stick):
    port, n = g.plug(stick), g.written() + 1
    g.inner("attach", "inner", "usb", f"host={port}")
    g.until(f"wrote {n}")
    assert "detach it first" in g.inner("save", "inner", status=1)
    g.inner("stop", "--now", "inner")
    g.until_here("[ -b /dev/sda ]")  # given back at the end, too
    g.run("dd if=/dev/zero of=/dev/sda bs=4k count=1 conv=fsync 2>/dev/null")
    g.inner("start", "inner")  # its configuration has it
    for _ in range(600):
        if stick.read_bytes().startswith(b"written 1\n"):
            break
        time.sleep(0.5)
    assert stick.read_bytes().startswith(b"written 1\n"), g.inner_log()
    g.inner("stop", "--now", "inner")
    g.unplug()
