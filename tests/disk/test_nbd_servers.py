# SPDX-License-Identifier: MIT
"""Disks on NBD servers that die and come back, as requests of many at once see it; and TLS."""
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import LONG, SLOWER
from test_qcow2 import RIG, rig

MIB = 1 << 20
pytestmark = pytest.mark.skipif(not shutil.which("nbdkit"), reason="no nbdkit")


class Server:
    """A server on a socket, which can be killed and started again."""

    def __init__(self, folder, *words):
        self.socket, self.words = folder / "socket", [str(w).replace("SOCKET", str(folder / "socket")) for w in words]
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self.socket.exists():
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)


@pytest.fixture
def serve(tmp_path):
    servers = []

    def make(*words):
        servers.append(Server(tmp_path, *words))
        return servers[-1]

    yield make
    for s in servers:
        s.kill()


def image(tmp_path, size=8 * MIB):
    path = tmp_path / "disk.img"
    path.write_bytes(b"")
    os.truncate(path, size)
    return path


SERVERS = {
    "qemu-nbd": ["qemu-nbd", "-k", "SOCKET", "-t", "-e", "8", "-f", "raw", "--discard=unmap", "IMAGE"],
    "nbdkit": ["nbdkit", "-f", "-U", "SOCKET", "file", "IMAGE"],
    # What it has not flushed is lost when it dies.
    "forgetful": ["nbdkit", "-f", "-U", "SOCKET", "--filter=cache", "file", "IMAGE", "cache=writeback"],
    # One connection only, and neither FUA nor zeroes.
    "poor": ["nbdkit", "-f", "-U", "SOCKET", "--filter=multi-conn", "--filter=fua", "--filter=nozero", "file", "IMAGE",
             "multi-conn-mode=disable"],
}


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_is_killed_loses_nothing(serve, tmp_path, kind):
    disk, raw = image(tmp_path), tmp_path / "model"
    server = serve(*[w.replace("IMAGE", str(disk)) for w in SERVERS[kind]])
    kills, runs, chance = 0, 0, random.Random(5)
    while kills < 50 * LONG:
        runs += 1
        p = subprocess.Popen([RIG, "random", server.uri, raw, str(runs), "6000"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, env={"PATH": "/usr/bin:/bin"})
        first = p.stdout.readline()
        of_run = 0
        # A busy host may take longer to come back than a server that is killed all the time lives.
        while first == "open\n" and p.poll() is None and of_run < 30:
            of_run += 1
            time.sleep(chance.uniform(0.02, 0.3 + of_run / 30))
            if p.poll() is not None:
                break
            server.kill()
            kills += 1
            time.sleep(chance.uniform(0, 0.1))
            server.start()
        out = first + p.communicate(timeout=600 * SLOWER)[0]
        assert p.returncode == 0, f"run {runs}, {kills} kills: {out}"
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()
    server.socket.unlink(missing_ok=True)
    server.start()  # what it has written down is what counts
    rig("read", server.uri, tmp_path / "content")
    assert (tmp_path / "content").read_bytes() == raw.read_bytes()


class Dropper:
    """Stands between a client and its server, and drops each connection in the middle of something."""

    def __init__(self, folder, server, chance, least, most):
        self.server, self.chance, self.range, self.drops = server, chance, (least, most), 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "dropper"))
        self.listener.listen(16)
        self.uri = f"nbd+unix:///?socket={folder}/dropper"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = self.connect()
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pass_on, args=(a, b, self.chance.randrange(*self.range)), daemon=True).start()

    def connect(self):
        """nbdkit may fail an assertion when it writes to a connection that is gone: a server that dies, then."""
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(str(self.server.socket))
                return s
            except OSError:
                self.server.kill()
                self.server.start()

    def pass_on(self, a, b, limit):
        try:
            while limit > 0 and (data := a.recv(min(limit, 65536))):
                b.sendall(data)
                limit -= len(data)
            self.drops += not limit
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("flushes", ["some", "none"])
def test_connections_that_break_sooner_than_all_can_be_written_again(serve, tmp_path, flushes):
    """What is kept unflushed (16 MiB) is more than any connection carries, and still there is an end."""
    disk, raw = image(tmp_path, 24 * MIB), tmp_path / "model"
    server = serve("nbdkit", "-f", "-U", "SOCKET", "--filter=cache", "file", str(disk), "cache=writeback")
    dropper = Dropper(tmp_path, server, random.Random(7), 2 * MIB, 5 * MIB)
    for seed in range(LONG):
        rig("random", dropper.uri, raw, seed, 1200, FLUSHES=flushes)
    dropper.close()
    assert dropper.drops >= 5 * LONG
    server.kill()  # what is in its file, not in its memory
    assert disk.read_bytes() == raw.read_bytes()


TROUBLE = {
    "EIO": ["--filter=error", "error=EIO", "error-rate=5%"],
    "ENOSPC": ["--filter=error", "error=ENOSPC", "error-pwrite-rate=20%", "error-zero-rate=20%"],
    "EPERM": ["--filter=error", "error=EPERM", "error-pwrite-rate=10%", "error-trim-rate=50%"],
    "slow": ["--filter=delay", "rdelay=3ms", "wdelay=5ms", "delay-zero=20ms", "delay-trim=20ms"],
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_servers_in_trouble(serve, tmp_path, kind):
    """A request that fails says so, and one that does not has done what it should."""
    disk, raw = image(tmp_path), tmp_path / "model"
    filters, options = [w for w in TROUBLE[kind] if w[0] == "-"], [w for w in TROUBLE[kind] if w[0] != "-"]
    server = serve("nbdkit", "-f", "-U", "SOCKET", *filters, "file", str(disk), *options)
    for seed in range(LONG):
        said = rig("random", server.uri, raw, seed, 1500, ERRORS="retry")
        assert (int(said.split(" errors")[0].split()[-1]) > 0) == (kind[0] == "E"), said
    assert disk.read_bytes() == raw.read_bytes()


def test_without_its_library_it_says_what_is_missing(tmp_path):
    (tmp_path / "libnbd.so.0").write_text("no library")
    said = rig("read", "nbd+unix:///?socket=/nowhere", tmp_path / "x", ok=False, LD_LIBRARY_PATH=str(tmp_path))
    assert "need libnbd (Debian: libnbd0): " in said and "libnbd.so.0" in said, said


def test_tls_by_a_key(serve, tmp_path):
    keys = tmp_path / "keys.psk"
    keys.write_text("alice:0123456789abcdef0123456789abcdef\n")
    bad = tmp_path / "bad.psk"
    bad.write_text("alice:1123456789abcdef0123456789abcdef\n")
    server = serve("nbdkit", "-f", "-U", "SOCKET", "--tls=require", f"--tls-psk={keys}", "memory", "4M")
    uri = f"nbds+unix://alice@/?socket={server.socket}&tls-psk-file="
    rig("random", uri + str(keys), tmp_path / "model", 1, 500)
    assert "open" in rig("random", uri + str(bad), tmp_path / "model", 1, 500, ok=False)
    assert "open" in rig("random", server.uri, tmp_path / "model", 1, 500, ok=False)  # it wants TLS


def run(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder, name):
    """A CA and a server's certificate for name."""
    folder.mkdir()
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out",
        folder / "ca-cert.pem", "-subj", "/CN=test CA", "-days", "2")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "server-key.pem", "-out",
        folder / "server.csr", "-subj", f"/CN={name}")
    (folder / "ext").write_text(f"subjectAltName=DNS:{name}\n")
    run("openssl", "x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca-cert.pem", "-CAkey",
        folder / "ca.key", "-CAcreateserial", "-out", folder / "server-cert.pem", "-days", "2", "-extfile",
        folder / "ext")
    return folder


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_tls_by_certificates_is_for_one_name(tmp_path):
    good, other = certificates(tmp_path / "good", "localhost"), certificates(tmp_path / "other", "elsewhere")
    for pki, name_is_right in ((good, True), (other, False)):
        port = free_port()
        p = subprocess.Popen(["nbdkit", "-f", "-p", str(port), "--tls=require", f"--tls-certificates={pki}",
                              "memory", "1M"])
        try:
            uri = f"nbds://localhost:{port}/?tls-certificates={pki}"
            end = time.monotonic() + 30
            while subprocess.run([RIG, "read", uri + "&tls-verify-peer=false", tmp_path / "x"], stderr=subprocess.DEVNULL,
                                 env={"PATH": "/usr/bin:/bin"}).returncode:
                assert time.monotonic() < end
                time.sleep(0.1)
            rig("read", uri, tmp_path / "x", ok=name_is_right)
            foreign = other if pki == good else good
            rig("read", f"nbds://localhost:{port}/?tls-certificates={foreign}", tmp_path / "x", ok=False)
        finally:
            p.kill()
            p.wait()
