# SPDX-License-Identifier: MIT
"""What host and guest share besides disks and networks: sockets (--vsock) and memory (--balloon)."""
import contextlib
import os
import re
import socket
import subprocess
import threading
import time

import pytest

import guest_drivers

from conftest import SLOWER, VZ

DRIVERS = (*guest_drivers.VIRTIO, "virtio_balloon", *guest_drivers.SOCKETS)
LOAD = guest_drivers.load(DRIVERS)
LIMIT_S = 300 * SLOWER
MIB = 1 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the initramfs needs besides: the drivers, and a program that talks over AF_VSOCK."""
    folder = tmp_path_factory.mktemp("files")
    return [guest_drivers.program(folder, "tests/virtio/vsocktool.c"),
            *guest_drivers.files(folder, DRIVERS)]


class Guest:
    """A running vz: its output line by line, its input, its process."""

    def __init__(self, argv):
        self.p = subprocess.Popen([VZ, "run", *map(str, argv)], stdin=subprocess.PIPE, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace")
        self.out = ""
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()

    def wait_for(self, word):
        for line in self.p.stdout:
            self.out += line
            if line.startswith(word):
                return line
        raise AssertionError(f"no line {word!r}: {self.out[-3000:]}{self.p.stderr.read()}")

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def end(self):
        """Let the guest's script go on, to its end."""
        self.say("")
        self.out += self.p.stdout.read()
        return self.p.wait()

    def resident(self):
        """MiB of guest memory the process holds."""
        with open(f"/proc/{self.p.pid}/status") as f:
            return sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", f.read())) >> 10


@contextlib.contextmanager
def running(*argv):
    g = Guest(argv)
    try:
        yield g
    finally:
        g.watchdog.cancel()
        g.p.kill()
        g.p.wait()


def until(condition, limit_s=LIMIT_S):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Echo:
    """A Unix socket that sends back what it is sent, and ends when its peer does."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(str(path))
        self.s.listen(128)
        self.count = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.s.accept()
            self.count += 1
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    @staticmethod
    def serve(c):
        with c:
            while data := c.recv(65536):
                c.sendall(data)


def exchange(path, data):
    """Send data, half-close, return what came back."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT_S)
        s.connect(str(path))

        def send():
            with contextlib.suppress(OSError):  # turned away; the answer tells
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        while part := s.recv(65536):
            got += part
        sender.join()
        return got


def test_sockets_both_ways(kernels, initramfs, files, tmp_path):
    """Ports of the host and of the guest through Unix sockets, many connections at once."""
    script = LOAD + ("vsocktool echo 6000 &\n"
                     "vsocktool connect 5000 50 20000 && vsocktool connect 5000 1 2000000\n"
                     "echo \"guest: status $?\"\n"
                     "vsocktool connect 5001 1 1 || echo refused\n"
                     "echo serving; read x; poweroff -f\n")
    echo = Echo(tmp_path / "host")
    guest_path = tmp_path / "guest"
    with running("--kernel", kernels["cloud"], "--initrd", initramfs(script, *files), "--cmdline",
                 "console=ttyS0 quiet", "--vsock", f"listen=5000:unix:{tmp_path}/host",
                 "--vsock", f"cid=77,connect=6000:unix:{guest_path},"
                 f"connect=6001:unix:{guest_path}-none,listen=5001:unix:{tmp_path}/none") as g:
        g.wait_for("serving")
        assert "guest: status 0" in g.out and "refused" in g.out, g.out
        assert echo.count == 51
        data = [os.urandom(30000 + i) for i in range(20)]
        got = [None] * len(data)

        def one(i):
            got[i] = exchange(guest_path, data[i])

        threads = [threading.Thread(target=one, args=(i,)) for i in range(len(data))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == data
        big = os.urandom(2 * MIB)
        assert exchange(guest_path, big) == big
        assert exchange(f"{guest_path}-none", b"") == b""  # nobody there
        assert g.end() == 0, g.out
    assert not guest_path.exists()


def test_messages_and_strangers(kernels, initramfs, files, tmp_path):
    """SOCK_SEQPACKET keeps the ends of messages; a stream does not reach who takes messages; and an
    address that is nobody's is reset at once, where Linux would wait for two seconds."""
    script = LOAD + ("vsocktool messages 5000; echo \"guest: status $?\"\n"
                     "vsocktool connect 5000 1 1 || echo refused\n"
                     "time vsocktool stranger 9\n"
                     "echo serving; read x; poweroff -f\n")

    def serve(listener):
        with listener:
            c, _ = listener.accept()
            with c:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
                kept = []  # all of them first, so that some have to wait
                while data := c.recv(1 << 20):
                    kept.append(data)
                    if len(kept) == 10:
                        for k in kept:
                            c.sendall(k)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "host"))
        listener.listen()
        threading.Thread(target=serve, args=(listener.dup(),), daemon=True).start()
        with running("--kernel", kernels["cloud"], "--initrd", initramfs(script, *files),
                     "--cmdline", "console=ttyS0 quiet", "--vsock",
                     f"listen=5000:unix:{tmp_path}/host") as g:
            g.wait_for("serving")
            assert "guest: status 0" in g.out and "refused" in g.out, g.out
            assert "stranger: Connection reset by peer" in g.out, g.out
            assert g.end() == 0, g.out


def test_free_memory_returns_by_itself(kernels, initramfs, files):
    """Free page reporting: what a guest has used and freed leaves the process."""
    script = LOAD + ("mkdir /t; mount -t tmpfs -o size=400M tmpfs /t\n"
                     "dd if=/dev/zero of=/t/file bs=1M count=200 2>/dev/null\n"
                     "ls -l /t; echo filled; read x\n"
                     "rm /t/file; echo emptied; read x; poweroff -f\n")
    with running("--kernel", kernels["cloud"], "--initrd", initramfs(script, *files), "--cmdline",
                 "console=ttyS0 quiet", "--memory", "512M", "--balloon") as g:
        g.wait_for("filled")
        full = g.resident()
        assert full > 200, g.out
        g.say("")
        g.wait_for("emptied")
        assert until(lambda: g.resident() < full - 150), (full, g.resident())
        assert g.end() == 0, g.out
