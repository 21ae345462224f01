# SPDX-License-Identifier: MIT
"""A guest on a disk that an NBD server has, which goes away and comes back."""
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

import boots
from conftest import ROOT, VZ
from test_disk import LOAD, diskcheck, modules, verify  # noqa: F401 (fixtures)

MIB = 1 << 20
STEPS = "seq rand:300 check flush:40 discard zero check"
pytestmark = pytest.mark.skipif(not shutil.which("qemu-nbd"), reason="no qemu-nbd")


class Server:
    def __init__(self, socket, *words):
        self.socket, self.words = socket, words
        self.start()

    def start(self):
        self.process = subprocess.Popen([str(w) for w in self.words])
        while not self.socket.exists():
            assert self.process.poll() is None
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def server(tmp_path):
    image, socket = tmp_path / "disk.img", tmp_path / "socket"
    image.write_bytes(b"")
    os.truncate(image, 16 * MIB)
    s = Server(socket, "qemu-nbd", "-k", socket, "-t", "-f", "raw", "--discard=unmap", "-x", "disk", image)
    s.image, s.uri = image, f"nbd+unix:///disk?socket={socket}"
    yield s
    s.kill()


def test_a_guest_does_not_notice(kernels, initramfs, modules, diskcheck, server):
    stop = threading.Event()

    def harass():
        while not stop.wait(0.5):
            server.kill()
            time.sleep(0.2)
            server.start()

    initrd = initramfs(LOAD + f"diskcheck /dev/vda 7 {STEPS}\n"
                       "poweroff -f\n", *modules, (diskcheck, "bin/diskcheck"))
    t = threading.Thread(target=harass)
    t.start()
    try:
        r = boots.run(kernels["cloud"], initrd, "--disk", server.uri, "--stats")
    finally:
        stop.set()
        t.join()
    assert r.status == 0 and "all is well" in r.out, r
    assert "storageDevices[0]: is connected again" in r.err, r
    server.kill()
    assert "all is well" in verify(diskcheck, server.image, 7, STEPS)


def test_a_guest_is_told_when_it_takes_too_long(kernels, initramfs, modules, server):
    initrd = initramfs(LOAD + "dd if=/dev/vda bs=4k count=1 2>/dev/null | wc -c; echo ready; sleep 2\n"
                       "dd if=/dev/vda of=/dev/null bs=4k skip=9 count=1 iflag=direct && echo fine; echo ended\n"
                       "poweroff -f\n", *modules)

    def kill_when_ready(line):
        if "ready" in line:
            server.kill()

    p = subprocess.Popen([boots.VZ, "run", "--kernel", kernels["cloud"], "--initrd", initrd, "--cmdline",
                          "console=ttyS0 quiet", "--disk", f"{server.uri},timeout=2"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out = []
    for line in p.stdout:
        out.append(line)
        kill_when_ready(line)
    err = p.communicate()[1]
    assert p.returncode == 0 and "ended\n" in out and "fine\n" not in out, "".join(out) + err
    assert "storageDevices[0]: " in err, err


@pytest.mark.parametrize("disk, said, status", [
    ("nbd+unix:///x?socket=/nowhere/socket", "/nowhere/socket", 1),
    ("nbd://h/x?colour=red", "expected after '?'", 2), ("nbd://", "no host", 2)])
def test_addresses_that_lead_nowhere_are_named(vz, tiny_kernel, disk, said, status):
    r = vz("run", "--kernel", tiny_kernel(b"\xf4"), "--disk", disk)
    assert r.status == status and said in r.err and r.err.count("\n") == 1, r


def test_who_starts_a_machine_need_not_wait_for_its_server(server, kernels):
    server.process.send_signal(signal.SIGSTOP)
    p = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--disk", f"nbd+unix:///?socket={server.socket}"],
                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    assert p.poll() is None
    began = time.monotonic()
    p.terminate()
    said = p.communicate(timeout=60)[1]
    assert p.returncode == -signal.SIGTERM and "stopped" in said, said
    assert time.monotonic() - began < 15, "the server's time-out is 30 s"
    server.process.send_signal(signal.SIGCONT)
