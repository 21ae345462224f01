# SPDX-License-Identifier: MIT
"""Devices changed while the machine runs, as Linux's drivers see it: one guest, many changes."""
import contextlib
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import guest_drivers

from conftest import BUILD, SLOWER

DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk", "virtio_balloon", "virtio_console", *guest_drivers.NETWORK,
           *guest_drivers.SOCKETS)
LOAD = guest_drivers.load(DRIVERS)
LIMIT_S = 300 * SLOWER
DISK = 32 << 20

SCRIPT = LOAD + """
cat >/lease <<'END'
#!/bin/sh
[ -z "$ip" ] || { ip addr flush dev eth0; ip addr add $ip/24 dev eth0; ip route add default via $router; }
END
chmod +x /lease; mkdir /t; mount -t tmpfs -o size=90% tmpfs /t
ip link set lo up; ip link set eth0 up
vsocktool echo 6000 &
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
until read -t 1 line; do echo ready; done
while read line; do eval "$line"; echo "= $?"; done
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [guest_drivers.program(folder, "tests/virtio/vsocktool.c"),
            *guest_drivers.files(folder, DRIVERS)]


def until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Machine:
    """tests/boot/runtimevm, and the shell of the guest in it, which is there "with" it. Guest memory is strict
    (src/mem/mem.h): who writes it without having asked ends the machine, and each pause takes back what was asked for."""

    def __init__(self, kernel, initrd, folder, **environment):
        path = str(folder / "com1")
        self.folder, self.events, self.answers = folder, [], []
        self.watchdog = threading.Timer(0, None)
        with open(folder / "disk", "wb") as f:
            f.truncate(DISK)
        self.p = subprocess.Popen([f"{BUILD}/tests/boot/runtimevm", kernel, initrd, path, folder],
                                  env={**os.environ, "VZ_STRICT_MEMORY": "1", **environment},
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.watch()
        threading.Thread(target=self.listen, daemon=True).start()
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(LIMIT_S)
        assert until(lambda: self.s.connect_ex(path) == 0)
        self.lines = self.s.makefile("r", errors="replace")

    def __enter__(self):
        try:
            assert any(line.startswith("ready") for line in self.lines)
            self.s.sendall(b"go\n")
            self.guest("true")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.watchdog.cancel()
        self.p.kill()
        self.p.wait()

    def watch(self):
        """From now on it may take LIMIT_S until this is called again, or the end."""
        self.watchdog.cancel()
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()

    def listen(self):
        for line in self.p.stdout:
            (self.events if line.startswith("event ") else self.answers).append(line.strip())

    def command(self, text):
        """The answer's lines; the last is "ok" or "error ..."."""
        before = len(self.answers)
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        assert until(lambda: self.answers[before:] and re.match("ok|error", self.answers[-1]))
        return self.answers[before:]

    def must(self, text):
        answer = self.command(text)
        assert answer[-1] == "ok", (text, answer)
        return answer[0]

    def guest(self, text):
        """Run a line in the guest: (status, output)."""
        self.s.sendall(text.encode() + b"\n")
        out = ""
        for line in self.lines:
            if found := re.match(r"= (\d+)\s*$", line):
                return int(found.group(1)), out
            out += "" if line.startswith("ready") else line.replace("\r", "")
        raise AssertionError("the guest is gone: " + out)

    def saw(self, event):
        return until(lambda: f"event {event}" in self.events)

    def resident(self):
        with open(f"/proc/{self.p.pid}/status") as f:
            return sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", f.read())) >> 10

    def text(self, name):
        return (self.folder / name).read_text(errors="replace").replace("\r", "")


@pytest.fixture(scope="module")
def m(kernels, initramfs, files, tmp_path_factory):
    with Machine(kernels["cloud"], initramfs(SCRIPT, *files), tmp_path_factory.mktemp("machine")) as m:
        yield m


def fill(m):
    assert m.guest("dd if=/dev/zero of=/t/file bs=1M count=150 2>/dev/null; rm /t/file")[0] == 0


def test_the_balloon_takes_and_gives(m):
    fill(m)
    full = m.resident()
    assert full > 150
    m.must("target 160")
    assert until(lambda: m.must("memory") == "memory 160"), m.answers[-2:]
    assert m.resident() < full - 80, (full, m.resident())
    m.must("target 384")
    assert until(lambda: m.must("memory") == "memory 384"), m.answers[-2:]
    fill(m)
    assert m.resident() > full - 60, (full, m.resident())


def test_a_console_leads_elsewhere_and_has_a_window(m):
    m.must("window 100 30")
    assert until(lambda: m.guest("stty -F /dev/hvc0 size") == (0, "30 100\n"))
    m.guest("echo one >/dev/hvc0")
    assert until(lambda: "one\n" in m.text("hvc0"))
    m.must(f"port hvc0 {m.folder}/second")
    m.guest("echo two >/dev/hvc0")
    assert until(lambda: "two\n" in m.text("second")) and "two" not in m.text("hvc0")
    assert m.command("port hvc0 /nonexistent/x")[-1].startswith("error ")
    m.guest("echo three >/dev/hvc0")
    assert until(lambda: "three\n" in m.text("second"))


def test_a_port_tells_who_uses_it(m):
    status, name = m.guest("grep -l channel /sys/class/virtio-ports/*/name | cut -d/ -f5")
    assert status == 0, name
    m.guest(f"exec 5>/dev/{name.strip()}")
    assert m.saw("opened 0 0")
    m.guest("echo one >&5")
    assert until(lambda: m.text("channel") == "one\n")
    m.must(f"port channel {m.folder}/another")
    m.guest("echo two >&5")
    assert until(lambda: m.text("another") == "two\n") and m.text("channel") == "one\n"
    m.guest("exec 5>&-")
    assert m.saw("closed 0 0")


def test_a_network_is_replaced_and_lost(m):
    carrier = "cat /sys/class/net/eth0/carrier"
    dhcp = "udhcpc -i eth0 -n -q -t 20 -s /lease >/dev/null 2>&1"
    assert m.guest(dhcp)[0] == 0
    assert m.saw("address 0 10.0.2.15") and m.must("address") == "address 10.0.2.15"
    m.must("net none")
    assert until(lambda: m.guest(carrier)[1] == "0\n")
    m.must("net pair")
    assert until(lambda: m.guest(carrier)[1] == "1\n")
    m.must("hangup")
    assert m.saw("lost 0") and until(lambda: m.guest(carrier)[1] == "0\n")
    m.must("net nat")
    assert until(lambda: m.guest(carrier)[1] == "1\n")
    assert m.guest(dhcp)[0] == 0 and m.must("address") == "address 10.0.2.15"


def test_the_hosts_loopback_is_for_who_asks(m):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(8)
        port = s.getsockname()[1]

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    c, _ = s.accept()
                    with c:
                        c.sendall(b"secret\n")

        threading.Thread(target=serve, daemon=True).start()
        ask = f"echo | nc -w 5 10.0.2.2 {port}"
        assert "secret" not in m.guest(ask)[1]
        m.must("net nat-host")
        assert until(lambda: m.guest("udhcpc -i eth0 -n -q -t 20 -s /lease >/dev/null 2>&1")[0] == 0)
        assert "secret" in m.guest(ask)[1]


def test_sockets_by_the_api(m):
    m.must("talk 6000")
    assert m.command("talk 6001")[-1].startswith("error the guest refuses")
    m.guest("vsocktool connect 1001 1 1")
    assert m.saw("connection 1001")
    assert m.guest("vsocktool connect 1001 1 1")[0] != 0  # refused by the callback
    m.guest("vsocktool connect 1000 1 1")
    assert m.saw("connection 1000")


def test_all_of_it_while_paused(m):
    m.must("pause")
    m.must("net none")
    m.must(f"port hvc0 {m.folder}/paused")
    m.must("window 80 24")
    m.must("target 200")
    m.must("resume")
    assert until(lambda: m.guest("cat /sys/class/net/eth0/carrier")[1] == "0\n")
    assert until(lambda: m.guest("stty -F /dev/hvc0 size") == (0, "24 80\n"))
    m.guest("echo four >/dev/hvc0")
    assert until(lambda: "four\n" in m.text("paused"))
    assert until(lambda: m.must("memory") == "memory 200")


def test_a_disk_goes_on_after_each_pause(m):
    """Requests are under way whenever it is paused."""
    size = DISK >> 20
    m.guest(f"dd if=/dev/urandom of=/t/noise bs=1M count={size} 2>/dev/null")
    m.guest("(while [ ! -f /t/stop ]; do dd if=/t/noise of=/dev/vda bs=64k oflag=direct; "
            "dd if=/dev/vda of=/t/back bs=64k iflag=direct; done >/t/log 2>&1; echo over >/t/over) &")
    for _ in range(20):
        m.must("pause")
        m.must("resume")
        assert m.guest("usleep 50000")[0] == 0
    m.guest("touch /t/stop")
    assert until(lambda: m.guest("cat /t/over 2>/dev/null")[1] == "over\n")
    assert m.guest("cmp /t/noise /t/back; cmp /t/noise /dev/vda; grep -v records /t/log | "
                   "grep -v copied") == (1, "")
