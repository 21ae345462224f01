# SPDX-License-Identifier: MIT
"""The devices that options of `vz run` make, used by Linux's own drivers with data through them."""
import hashlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest

import boots
import guest_drivers
from conftest import SLOWER, VZ

DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk", *guest_drivers.NETWORK, "virtio-rng",
           "virtio_console")
LOAD = guest_drivers.load(DRIVERS)
MIB = 1 << 20


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return guest_drivers.files(tmp_path_factory.mktemp("modules"), DRIVERS)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_disks_by_path_and_by_descriptor(kernels, initramfs, modules, tmp_path):
    config, first, disk = tmp_path / "config", tmp_path / "first.img", tmp_path / "disk.img"
    data = os.urandom(4 * MIB)
    first.write_bytes(b"by descriptor".ljust(MIB, b"\0"))
    disk.write_bytes(data + bytes(4 * MIB))
    script = LOAD + ("head -c 13 /dev/vda; echo written | dd of=/dev/vda bs=512 seek=1 2>/dev/null\n"
                     "head -c 4194304 /dev/vdb | sha256sum\n"
                     "dd if=/dev/vdb of=/dev/vdb bs=1M count=4 seek=4 conv=notrunc 2>/dev/null\n"
                     "sync; cat /sys/block/vdb/size /sys/block/vdb/serial; poweroff -f\n")
    with open(first, "r+b") as f:
        config.write_text(json.dumps({"storageDevices": [{"type": "virtioBlock", "attachment": {
            "type": "blockDevice", "descriptor": f.fileno()}}]}))
        r = boots.run(kernels["cloud"], initramfs(script, *modules), "--config", config,
                      "--serial", "stdio", "--disk", f"{disk},id=vz-test", pass_fds=[f.fileno()])
    assert r.status == 0, r.out + r.err
    assert hashlib.sha256(data).hexdigest() in r.out
    assert "16384" in r.out and "vz-test" in r.out and "by descriptor" in r.out
    assert disk.read_bytes() == data + data
    assert first.read_bytes()[512:520] == b"written\n"


def test_a_reset_with_devices_in_use(kernels, initramfs, modules, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(MIB))
    script = LOAD + ("[ \"$(head -c 4 /dev/vda)\" != seen ] || { echo again; poweroff -f; }\n"
                     "echo seen | dd of=/dev/vda conv=notrunc 2>/dev/null; sync\n"
                     "dd if=/dev/vda of=/dev/null bs=4k 2>/dev/null & reboot -f\n")
    r = boots.run(kernels["cloud"], initramfs(script, *modules), "--disk", disk, "--net", "nat",
                  "--rng", "--cpus", 2)
    assert r.status == 0 and r.out.count("again") == 1, r.out + r.err


def test_a_disk_is_not_shared_with_a_writer(kernels, initramfs, modules, tmp_path):
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(MIB))
    initrd = initramfs(LOAD + "poweroff -f\n", *modules)
    r = boots.run(kernels["cloud"], initrd, "--disk", disk, "--disk", disk)
    assert r.status == 2 and str(disk) in r.err, r.err


def test_entropy(kernels, initramfs, modules):
    script = LOAD + ("cat /sys/class/misc/hw_random/rng_current\n"
                     "dd if=/dev/hwrng bs=512 count=8 2>/dev/null | wc -c; poweroff -f\n")
    r = boots.run(kernels["cloud"], initramfs(script, *modules), "--rng")
    assert r.status == 0 and "virtio_rng" in r.out and "4096" in r.out, r.out + r.err


def test_a_console(kernels, initramfs, modules, tmp_path):
    out = tmp_path / "console"
    script = LOAD + "seq 1 20000 >/dev/hvc0; sleep 1; poweroff -f\n"
    r = boots.run(kernels["cloud"], initramfs(script, *modules), "--console", f"file:{out}")
    assert r.status == 0, r.out + r.err
    assert out.read_bytes().replace(b"\r", b"") == b"".join(b"%d\n" % n for n in range(1, 20001))


def test_nat_and_a_forward(kernels, initramfs, modules):
    """An address by DHCP, and a web page of the guest read through a forwarded port."""
    port = free_port()
    lease = "[ -z \"$ip\" ] || { ip addr add $ip/24 dev eth0; ip route add default via $router; }"
    script = LOAD + (f"printf '#!/bin/sh\\n%s\\n' '{lease}' >/lease; chmod +x /lease\n"
                     "ip link set lo up; ip link set eth0 up\n"
                     "udhcpc -i eth0 -n -q -s /lease; ip addr show eth0; ping -c 1 10.0.2.2\n"
                     "mkdir /www; seq 1 50000 >/www/page; httpd -p 80 -h /www; echo serving\n"
                     "sleep 1000\n")
    initrd = initramfs(script, *modules)
    argv = [VZ, "run", "--kernel", kernels["cloud"], "--initrd", str(initrd), "--cmdline",
            "console=ttyS0 quiet", "--net", "nat", "--forward", f"tcp:127.0.0.1:{port}:80"]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(300 * SLOWER, p.kill)
    watchdog.start()
    out, page = "", b""
    try:
        for line in p.stdout:
            out += line
            if line.startswith("serving"):
                page = fetch(port)
                break
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()
    assert "10.0.2.15" in out and "1 packets received" in out, out
    assert page.endswith(b"".join(b"%d\n" % n for n in range(1, 50001))), page[:200]


def fetch(port):
    for _ in range(20):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
                s.sendall(b"GET /page HTTP/1.0\r\n\r\n")
                got = b""
                while True:
                    part = s.recv(65536)
                    if not part:
                        return got
                    got += part
        except OSError:
            time.sleep(0.5)
    return b""


def test_a_terminal_on_hvc0(kernels, initramfs, modules):
    """The console's window follows the terminal's; Ctrl-A i and --stats tell the guest's address."""
    script = LOAD + ("ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.77/24 dev eth0\n"
                     "exec </dev/hvc0 >/dev/hvc0 2>&1\nping -c 1 10.0.2.2 >/dev/null; echo ready\n"
                     "until [ \"$(stty size)\" = '31 97' ]; do sleep 1; done; echo matched\n"
                     "read x; until [ \"$(stty size)\" = '32 98' ]; do sleep 1; done; echo again\n"
                     "read x; poweroff -f\n")
    with boots.spawn(kernels["cloud"], initramfs(script, *modules), "--console", "stdio", "--net",
                     "nat", "--stats", cmdline="quiet") as child:
        child.setwinsize(31, 97)
        child.expect("ready")
        child.expect("matched")
        child.send("\r")
        child.setwinsize(32, 98)
        child.expect("again")
        child.send("\x01i")
        child.expect(r"network card 0: the guest is 10\.0\.2\.77")
        child.send("\r")
        child.expect(r"net\.guest_ipv4 +10\.0\.2\.77")
        child.wait()
        assert child.exitstatus == 0


def test_a_paste_arrives_whole_and_keys_are_heard_behind_it(kernels, initramfs, modules):
    """216 KB pasted at once, into a guest that does not read yet."""
    text = "".join(f"{i:05} {'abcdefghijklmnopqrstuvwxyz' * 2}\n" for i in range(3660))
    script = LOAD + ("exec </dev/hvc0 >/dev/hvc0 2>&1\nstty raw -echo; echo ready\nsleep 3\n"
                     f"head -c {len(text)} | sha256sum; poweroff -f\n")
    with boots.spawn(kernels["cloud"], initramfs(script, *modules), "--console", "stdio", "--net",
                     "nat,mac=02:00:00:00:00:01", "--forward", f"tcp:{free_port()}:22",
                     cmdline="quiet") as child:
        child.expect("ready")
        child.send(text)
        child.send("\x01i")
        child.expect("no address yet")
        child.expect("leads to port 22 of the guest")
        child.expect(hashlib.sha256(text.encode()).hexdigest())
        child.wait()
        assert child.exitstatus == 0


def test_nobody_reads_any_more(kernels, initramfs, modules):
    argv = [VZ, "run", "--kernel", kernels["cloud"], "--initrd",
            str(initramfs("echo here; sleep 100000\n")), "--cmdline", "console=ttyS0 quiet"]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(300 * SLOWER, p.kill)
    watchdog.start()
    try:
        assert any(line.startswith("here") for line in p.stdout)
        p.stdout.close()
        err = p.stderr.read()
        assert p.wait() == 1 and err.count("\n") == 1 and "standard output" in err, err
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()
