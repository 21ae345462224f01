# SPDX-License-Identifier: MIT
"""USB disks and CD-ROM drives that come and go while Linux runs."""
import json
import os
import random
import re
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, PATIENT, SLOWER, VZ
from machines import Control, make_folder

MIB = 1 << 20
LIMIT_S = 300 * SLOWER
UNTIL_S = 90 * SLOWER
CYCLES = 100
DRIVERS = ("xhci_pci", "usb_storage", "uas", "sd_mod", "sr_mod", "crc32c_generic", "ext4", "isofs", "usbhid",
           "hid_generic", "virtio_pci", "vmw_vsock_virtio_transport")
INIT = """
mount -t tmpfs tmp /tmp; mkdir -p /dev/pts /var/lib /a /b; mount -t devpts pts /dev/pts
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
/sbin/vz-agent --background
while :; do setsid -c sh -i </dev/tty1 >/dev/tty1 2>&1; done
"""


class Guest:
    """A machine in a folder, with a disk on USB from the start, and its agent."""

    def __init__(self, home, kernel, initrd):
        self.name, self.folder = "g", home / "g.vz"
        make_folder(self.folder, "--kernel", kernel, "--initrd", initrd, "--memory", "384M", "--cmdline",
                    f"console=ttyS0 quiet {PATIENT}", "--vsock", "cid=3", "--usb-disk", f"{self.folder}/first.img,uas",
                    "--keyboard")
        self.first = self.image("first.img")
        self.start()

    def start(self):
        self.vz("start", self.name)
        self.vz("wait", self.name, "--for", "boot", "--timeout", "10m")
        self.control = Control(self.folder)
        self.control.socket.settimeout(LIMIT_S)

    def vz(self, *argv, status=0):
        r = subprocess.run([VZ, *map(str, argv)], capture_output=True, text=True, timeout=LIMIT_S)
        assert r.returncode == status, (argv, r, (self.folder / "console.log").read_text(errors="replace")[-3000:])
        return r

    def run(self, script, status=0):
        return self.vz("exec", self.name, "--", "sh", "-c", script, status=status).stdout

    def image(self, name, size=8 * MIB):
        path = self.folder / name
        with open(path, "wb") as f:
            f.truncate(size)
        return str(path)

    def call(self, method, **params):
        answer = self.control.call(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def devices(self):
        return self.call("usb-devices")["devices"]

    def until(self, script):
        """Until that succeeds in the guest."""
        self.run(f"for i in $(seq {UNTIL_S * 5}); do {script} && exit 0; sleep 0.2; done; "
                 "dmesg | tail -n 30 >&2; exit 1")

    def until_disk(self, size):
        """The name of the one that has so many bytes."""
        find = f"grep -lx {size // 512} /sys/block/sd*/size"
        self.until(f"{find} >/dev/null 2>&1")
        return self.run(find).split("/")[3]


@pytest.fixture(scope="module")
def g(kernels, initramfs, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    folder = tmp_path_factory.mktemp("modules")
    files, load = guest_drivers.Needs(folder)(*DRIVERS)
    initrd = initramfs(load + INIT, *files, guest_drivers.program(folder, "tests/virtio/eject.c"),
                       guest_drivers.program(folder, "tests/boot/diskload.c"),
                       (f"{BUILD}/agent/vz-agent", "sbin/vz-agent"))
    try:
        g = Guest(home, kernels["amd64"], initrd)
        yield g
        log = (g.folder / "console.log").read_text(errors="replace")
        assert not re.search(r"BUG|Oops|Call Trace|lockup|stall", log), log
    finally:
        subprocess.run([VZ, "stop", "--now", "g"])
        del os.environ["VZ_HOME"]


def ext4(path):
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)


def test_a_disk_comes_and_goes(g):
    path = g.image("stick.img", 3 * MIB)
    r = g.vz("attach", g.name, "usb-disk", path)
    assert not r.stderr, r
    name = g.until_disk(3 * MIB)
    config = json.loads((g.folder / "config.json").read_text())["storageDevices"]
    device = [d for d in g.devices() if d["attached"]]
    assert len(device) == 1 and device[0]["uuid"] == config[1]["uuid"], (device, config)
    g.run(f"echo hello | dd of=/dev/{name} conv=fsync 2>/dev/null")
    assert (g.folder / "stick.img").read_bytes().startswith(b"hello\n")
    again = g.control.call("attach-usb", device={**config[1], "attachment": {"type": "diskImage", "path": path}})
    assert again["error"]["code"] == 30002, again
    g.vz("detach", g.name, device[0]["uuid"])
    g.until(f"[ ! -e /sys/block/{name} ]")
    assert len(g.devices()) == 1 and len(json.loads((g.folder / "config.json").read_text())["storageDevices"]) == 1
    assert g.control.call("detach-usb", uuid=device[0]["uuid"])["error"]["code"] == 30004
    g.vz("attach", g.name, "usb-disk", path)
    g.until_disk(3 * MIB)
    g.call("detach-usb", uuid=g.devices()[-1]["uuid"])  # as another program would: config.json follows
    assert len(g.devices()) == 1 and len(json.loads((g.folder / "config.json").read_text())["storageDevices"]) == 1
    g.run("dmesg | grep -E 'xhci.*(not respond|died|error)' && exit 1; exit 0")


def test_what_cannot_be_attached_is_not_kept(g):
    before = (g.folder / "config.json").read_text()
    r = g.vz("attach", g.name, "usb-disk", g.first + ",ro", status=1)
    assert "in use" in r.stderr, r
    assert json.loads((g.folder / "config.json").read_text()) == json.loads(before)
    assert len(g.devices()) == 1


def test_a_hundred_cycles_under_io(g):
    """At any speed, by either transport: the guest may not have noticed one before the next comes; the last one works."""
    path = g.image("other.img", 5 * MIB)
    g.run("(while [ ! -e /tmp/stop ]; do dd if=/dev/zero of=/dev/sda bs=64k oflag=direct 2>/dev/null; "
          "dd if=/dev/sda of=/dev/null bs=4k iflag=direct 2>/dev/null; done; echo over >/tmp/over) >/dev/null 2>&1 &")
    g.run("(while [ ! -e /tmp/stop ]; do for d in /dev/sd[b-z]; do [ -b $d ] && dd if=$d of=/dev/null bs=64k "
          "2>/dev/null; done; usleep 1000; done) >/dev/null 2>&1 &")
    uuid = "12345678-9abc-4def-8012-3456789abcde"
    device = {"type": "usbMassStorage", "uuid": uuid, "attachment": {"type": "diskImage", "path": path}}
    for _ in range(CYCLES):
        device["uas"] = random.choice((False, True))
        g.call("attach-usb", device=device)
        time.sleep(random.choice((0, 0.005, 0.05, 0.3)))
        g.call("detach-usb", uuid=uuid)
        time.sleep(random.choice((0, 0.005, 0.05)))
    g.call("attach-usb", device=device)
    name = g.until_disk(5 * MIB)
    g.run("touch /tmp/stop")
    g.until("[ -e /tmp/over ]")
    g.run(f"dd if=/dev/{name} of=/dev/null bs=1M 2>/dev/null && [ -b /dev/sda ]")
    g.run("dmesg | grep -E 'xhci.*(not respond|died|HC error)|sda.*error' && exit 1; exit 0")
    g.call("detach-usb", uuid=uuid)
    g.until(f"[ ! -e /sys/block/{name} ]")


def test_a_mounted_disk_is_pulled_out(g):
    """Whoever uses it gets errors, and nobody hangs."""
    path = g.image("mounted.img", 16 * MIB)
    ext4(path)
    g.vz("attach", g.name, "usb-disk", path)
    name = g.until_disk(16 * MIB)
    g.run(f"mount -t ext4 /dev/{name} /a && echo text >/a/file && sync")
    g.run("(i=0; while dd if=/dev/urandom of=/a/data bs=64k count=64 conv=fsync 2>/tmp/dd; do i=$((i + 1)); done; "
          "echo $i >/tmp/ended) >/dev/null 2>&1 &")
    time.sleep(1)
    uuid = next(d["uuid"] for d in g.devices() if d["attached"])
    g.vz("detach", g.name, uuid)
    g.until("[ -e /tmp/ended ]")
    assert re.search(r"error|read-only", g.run("cat /tmp/dd"), re.I)
    g.run("umount /a || umount -l /a")
    g.until(f"[ ! -e /sys/block/{name} ]")
    time.sleep(1)
    assert not g.run("grep -l '^State:.D' /proc/[0-9]*/status 2>/dev/null; exit 0").strip()


def disc(g, name, text):
    path = g.folder / name
    with open(path, "wb") as f:
        f.write(text.encode().ljust(2048, b".") * 200)
    return str(path)


def test_discs_are_changed_and_ejected(g):
    one, two = disc(g, "one.iso", "one"), disc(g, "two.iso", "two")
    g.vz("attach", g.name, "cdrom", one)
    g.until("[ -b /dev/sr0 ] && [ \"$(head -c 3 /dev/sr0)\" = one ]")
    g.vz("insert", g.name, two)
    g.until("[ \"$(head -c 3 /dev/sr0)\" = two ]")
    config = json.loads((g.folder / "config.json").read_text())["storageDevices"][-1]
    assert config["attachment"]["path"].endswith("two.iso"), config
    g.run("exec 5</dev/sr0; sleep 1000 <&5 >/dev/null 2>&1 & echo $! >/tmp/holder")  # Linux keeps the drive closed
    r = g.vz("eject", g.name, status=1)
    assert "keeps its CD-ROM drive closed" in r.stderr, r
    g.run("kill $(cat /tmp/holder)")
    g.until("head -c 3 /dev/sr0 | grep -q two; sleep 0.5")
    g.vz("eject", g.name)
    g.until("! head -c 3 /dev/sr0 2>/dev/null | grep -q .")
    assert [d["disc"] for d in g.devices() if d["kind"] == "cdrom"] == [False]
    config = json.loads((g.folder / "config.json").read_text())["storageDevices"][-1]
    assert config["attachment"] == {"type": "empty"}, config
    g.vz("insert", g.name, config["uuid"], one)
    g.until("[ \"$(head -c 3 /dev/sr0)\" = one ]")
    g.run("eject /dev/sr0")  # the guest's own
    assert [d["disc"] for d in g.devices() if d["kind"] == "cdrom"] == [False]
    g.vz("insert", g.name, two)
    g.until("[ \"$(head -c 3 /dev/sr0)\" = two ]")
    g.vz("detach", g.name, config["uuid"])
    g.until("[ ! -e /sys/block/sr0 ]")


def test_keys_are_typed(g):
    """Into a shell on the guest's first console."""
    text = "".join(chr(c) for c in range(0x20, 0x7f) if chr(c) not in "'")
    g.vz("send-keys", g.name, f"echo '{text}' >/tmp/typed", "enter")
    g.until("[ -s /tmp/typed ]")
    assert g.run("cat /tmp/typed") == text + "\n"
    g.vz("send-keys", g.name, "--delay", "50ms", "sleep 1001", "enter")
    g.until("grep -q 100[1] /proc/[0-9]*/cmdline")
    g.vz("send-keys", g.name, "ctrl-c", "x", "backspace", "echo A >/tmp/stopped", "enter")
    g.until("[ -s /tmp/stopped ]")
    g.vz("send-keys", g.name, "--literal", "echo", " ", "enter", " >/tmp/literal", "\n")
    g.until("grep -x enter /tmp/literal")
    r = g.vz("send-keys", g.name, "naïve", status=1)
    assert "American keyboard" in r.stderr, r
    r = g.vz("send-keys", g.name, "--keyboard", "7", "enter", status=1)
    assert "no keyboard 7" in r.stderr, r
    assert g.control.call("send-keys", key="ctrl-nokey")["error"]["code"] == 2


def test_what_was_attached_is_there_after_save_and_restore(g):
    path = g.image("kept.img", 16 * MIB)
    ext4(path)
    spare = g.image("spare.img", 6 * MIB)
    g.vz("attach", g.name, "usb-disk", spare)
    gone = g.until_disk(6 * MIB)
    g.vz("attach", g.name, "usb-disk", f"{path},uas")
    name = g.until_disk(16 * MIB)
    g.vz("detach", g.name, next(d["uuid"] for d in g.devices() if d["disk"] == 1))  # so a lower port is free
    g.until(f"[ ! -e /sys/block/{gone} ]")
    g.run(f"mount -t ext4 /dev/{name} /b && echo before >/b/file && sync")
    before = [d for d in g.devices() if d["attached"]]
    g.vz("save", g.name)
    g.start()
    after = g.devices()
    assert [(d["uuid"], d["port"]) for d in after[1:]] == [(d["uuid"], d["port"]) for d in before], (before, after)
    g.run("cat /b/file && echo after >>/b/file && sync && echo 3 >/proc/sys/vm/drop_caches && cat /b/file")
    g.run(f"umount /b && [ -b /dev/{name} ]; dmesg | grep -E '{name}.*error' && exit 1; exit 0")
    g.vz("detach", g.name, after[1]["uuid"])
    g.until(f"[ ! -e /sys/block/{name} ]")


def test_a_save_comes_in_the_middle_of_many_commands(g):
    """Of a disk by UAS, whose guest compares what it reads with what it wrote."""
    g.vz("attach", g.name, "usb-disk", g.image("busy.img", 24 * MIB) + ",uas")
    name = g.until_disk(24 * MIB)
    g.run(f"dmesg -c >/dev/null; rm -f /tmp/halt /tmp/rounds; (while [ ! -e /tmp/halt ] && dd if=/dev/zero of=/dev/{name} bs=1M count=24 oflag=direct 2>/dev/null && "
          f"diskload depth /dev/{name} 5 300 14; do echo >>/tmp/rounds; done; echo over >>/tmp/over) >/tmp/load 2>&1 &")
    for _ in range(3):
        rounds = int(g.run("wc -l <>/tmp/rounds"))
        g.until(f"[ $(wc -l </tmp/rounds) -gt {rounds} ]")
        time.sleep(random.random() / 2)
        g.vz("save", g.name)
        g.start()
    g.run("rm /tmp/over; touch /tmp/halt")
    g.until("[ -e /tmp/over ]")
    g.run(f"cat /tmp/load; ! grep -v 'all is well' /tmp/load | grep . && ! dmesg | grep -E '{name}.*error|uas_eh|xhci.*(not respond|died)'")
    g.vz("detach", g.name, g.devices()[-1]["uuid"])
    g.until(f"[ ! -e /sys/block/{name} ]")


def test_what_the_machine_began_with_leaves_the_configuration_too(g):
    """A disk without a UUID of its own; and its controller stays described, as the guest has it still."""
    g.call("detach-usb", uuid=g.devices()[0]["uuid"])
    config = json.loads((g.folder / "config.json").read_text())
    assert not g.devices() and not config.get("storageDevices"), config
    g.vz("save", g.name)
    g.start()
    assert not g.devices()


def test_a_disk_on_a_server_comes_and_goes(g, monkeypatch):
    """The machine goes on while it connects; where nobody answers it says so. In a sandbox it has no way there."""
    socket = f"{g.folder}/nbd.sock"
    r = g.vz("attach", g.name, "usb-disk", f"nbd+unix:///?socket={socket}", status=1)
    assert "the machine's sandbox is closed, and has no way to NBD servers" in r.stderr, r
    g.vz("stop", g.name, "--now")
    monkeypatch.setenv("VZ_SANDBOX", "off")
    g.start()
    before, config_file = g.devices(), g.folder / "config.json"
    server = subprocess.Popen(["nbdkit", "-f", "-U", socket, "memory", "7M"])
    try:
        while not os.path.exists(socket):
            time.sleep(0.05)
        g.vz("attach", g.name, "usb-disk", f"nbd+unix:///?socket={socket}")
        name = g.until_disk(7 * MIB)
        g.run(f"echo text | dd of=/dev/{name} conv=fsync 2>/dev/null; head -c 4 /dev/{name} | grep text")
        g.vz("detach", g.name, g.devices()[-1]["uuid"])
        g.until(f"[ ! -e /sys/block/{name} ]")
        g.vz("attach", g.name, "cdrom", "empty")
        g.vz("insert", g.name, f"nbd+unix:///?socket={socket}")
        g.until("[ \"$(head -c 4 /dev/sr0)\" = text ]")
        config = json.loads(config_file.read_text())["storageDevices"][-1]
        assert config["attachment"]["uri"] == f"nbd+unix:///?socket={socket}", config
        g.vz("eject", g.name)
        g.until("! head -c 4 /dev/sr0 2>/dev/null | grep -q .")
        r = g.vz("insert", g.name, f"nbd+unix:///?socket={socket}.other", status=1)
        assert "No such file" in r.stderr and not g.devices()[-1]["disc"], r
        g.vz("detach", g.name, g.devices()[-1]["uuid"])
        server.terminate()
        server.wait(20)  # for connections, of which there is none
    finally:
        server.kill()
        server.wait()
    r = g.vz("attach", g.name, "usb-disk", f"nbd+unix:///?socket={socket}.other", status=1)
    assert "No such file" in r.stderr, r
    assert g.devices() == before and len(json.loads(config_file.read_text()).get("storageDevices", [])) == len(before)
