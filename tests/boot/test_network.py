# SPDX-License-Identifier: MIT
"""Linux's network driver and much data: through NAT both ways with every byte compared, names and
leases, forwarded ports, two guests on one wire, and peers that vanish. netcheck.c is the guest's part."""
import contextlib
import os
import selectors
import socket
import struct
import subprocess
import threading
import time

import pytest

import guest_drivers

from conftest import SLOWER, VZ

LIMIT_S = 600 * SLOWER  # only against hanging
MIB = 1 << 20
DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.NETWORK)
BLOCK = os.urandom(MIB + 4099)
ADDRESS = "ip link set lo up; ip link set eth0 up; ip addr add {}/24 dev eth0\n"
NAT = ADDRESS.format("10.0.2.15") + (
    "ip route add default via 10.0.2.2\n"
    # Linux may take a second to believe in a link that came up
    "until ping -c 1 -W 1 10.0.2.2 >/dev/null 2>&1; do sleep 0.1; done\n")


def load(**parameters):
    """Shell lines that load the drivers."""
    return guest_drivers.load(DRIVERS, **parameters)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pairs of file and path in the guest, for initramfs()."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "block").write_bytes(BLOCK)
    return [*guest_drivers.files(folder, DRIVERS), (folder / "block", "block"),
            guest_drivers.program(folder, "tests/boot/netcheck.c")]


class Guest:
    def __init__(self, kernel, initrd, *more, before=(), **popen):
        argv = [*before, VZ, "run", "--kernel", kernel, "--initrd", initrd, "--cmdline",
                "console=ttyS0 quiet", *more]
        self.p = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", **popen)
        self.out = ""

    def wait_for(self, words):
        for line in self.p.stdout:
            self.out += line
            if words in line:
                return
        raise AssertionError(f"no {words!r}: {self.out[-3000:]}")

    def end(self):
        self.out += self.p.stdout.read()
        assert self.p.wait() == 0, self.out[-3000:]
        return self.out


@pytest.fixture
def guest(kernels):
    """guest(INITRD, OPTION...) starts a machine that is gone when the test is."""
    guests = []

    def start(initrd, *more, **options):
        guests.append(Guest(kernels["cloud"], initrd, *more, **options))
        return guests[-1]

    def kill():
        for g in guests:
            g.p.kill()

    watchdog = threading.Timer(LIMIT_S, kill)
    watchdog.start()
    yield start
    watchdog.cancel()
    kill()
    for g in guests:
        g.p.wait()
        g.p.stdout.close()


def stream(total):
    """The bytes of a stream of netcheck's, in parts."""
    while total > 0:
        yield BLOCK[:total]
        total -= len(BLOCK)


def send_stream(s, total):
    for part in stream(total):
        s.sendall(part)
    s.shutdown(socket.SHUT_WR)


def is_stream(s, total):
    """Does exactly a stream come, and then the end?"""
    for want in stream(total):
        got = bytearray()
        while len(got) < len(want):
            part = s.recv(min(len(want) - len(got), 1 << 18))
            if not part:
                return False
            got += part
        if got != want:
            return False
    return s.recv(1) == b""


@contextlib.contextmanager
def server(handle):
    """A listening socket; handle(connection) is called for each in a thread. Gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                c, _ = listener.accept()
                c.settimeout(LIMIT_S)
                threads.append(threading.Thread(target=one, args=(c,), daemon=True))
                threads[-1].start()

    def one(c):
        with c, contextlib.suppress(OSError):
            handle(c)

    main = threading.Thread(target=serve, daemon=True)
    main.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        main.join()
        for t in threads:
            t.join(10)


@pytest.mark.parametrize("parameters", ["", "csum=0 gso=0"], ids=["offloads", "no-offloads"])
def test_streams_through_nat(guest, initramfs, files, parameters):
    total = 160 * MIB if not parameters else 64 * MIB
    good = []
    script = load(virtio_net=parameters) + NAT + "netcheck offloads eth0\n"
    with server(lambda c: send_stream(c, total)) as source, \
            server(lambda c: good.append(is_stream(c, total))) as sink:
        script += (f"netcheck pull 10.0.2.2 {source} /block {total}\n"
                   f"netcheck push 10.0.2.2 {sink} /block {total}\npoweroff -f\n")
        out = guest(initramfs(script, *files), "--net", "nat,host=on").end()
    on = int(not parameters)
    assert f"checksums {on}, segments {on}" in out, out
    assert "pull is well" in out and "push is well" in out and good == [True], out


def free_port(kind):
    with socket.socket(type=kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_lease_is_renewed_and_ports_are_forwarded(guest, initramfs, files):
    total = 8 * MIB
    tcp, udp = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_DGRAM)
    lease = ("echo lease $1 $ip $router $dns | tee -a /leases; [ $1 != bound ] || "
             "{ ip addr add $ip/24 dev eth0; ip route add default via $router; }")
    script = load() + (
        f"printf '#!/bin/sh\\n%s\\n' '{lease}' >/lease; chmod +x /lease\n"
        "ip link set lo up; ip link set eth0 up; udhcpc -f -i eth0 -s /lease & dhcp=$!\n"
        "until ip route | grep -q default; do sleep 0.1; done\n"
        "kill -USR1 $dhcp; until grep renew /leases; do sleep 0.1; done; ping -c 3 10.0.2.2\n"
        f"netcheck echo-udp 7 & netcheck serve 99 /block {total}\n"
        "sleep 100000\n")  # the NAT may still have bytes for us when all is well in the guest
    g = guest(initramfs(script, *files), "--net", "nat", "--forward", f"tcp:127.0.0.1:{tcp}:99",
              "--forward", f"udp:127.0.0.1:{udp}:7")
    g.wait_for("listening")
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", udp))
        s.settimeout(2)
        assert any(echoed(s, b"x%d" % i + BLOCK[:1400]) for i in range(100)), g.out
    with socket.create_connection(("127.0.0.1", tcp), timeout=LIMIT_S) as s:
        send_stream(s, total)
        assert is_stream(s, total), g.out
    g.wait_for("serve is well")
    out = g.out
    assert "lease bound 10.0.2.15 10.0.2.2 10.0.2.3" in out and "lease renew 10.0.2.15" in out, out
    assert "3 packets received" in out, out


def greeted(address, port, count):
    """Seconds until so many who connect at once have all been greeted by the guest."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    start = time.monotonic()
    waiting = {}
    with selectors.DefaultSelector() as all_of_them:
        for _ in range(count):
            s = socket.socket(family)
            s.setblocking(False)
            s.connect_ex((address, port))
            waiting[s] = b""
            all_of_them.register(s, selectors.EVENT_READ)
        while waiting:
            ready = all_of_them.select(LIMIT_S)
            assert ready, f"{len(waiting)} are not served"
            for key, _ in ready:
                part = key.fileobj.recv(16)
                waiting[key.fileobj] += part
                if not part:
                    assert waiting.pop(key.fileobj) == b"hello"
                    all_of_them.unregister(key.fileobj)
                    key.fileobj.close()
    return time.monotonic() - start


def test_many_connections_at_once_are_served(guest, initramfs, files):
    """Over both versions of IP, to a guest that has IPv4 only. With libslirp's backlog of 1 they
    come in at two a second."""
    v4, v6, udp = (free_port(k) for k in (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM))
    script = load() + NAT + "netcheck echo-udp 7 & netcheck greet 99\n"
    g = guest(initramfs(script, *files), "--net", "nat", "--forward", f"tcp:127.0.0.1:{v4}:99",
              "--forward", f"tcp:[::1]:{v6}:99", "--forward", f"udp:[::1]:{udp}:7")
    g.wait_for("listening")
    greeted("127.0.0.1", v4, 1)
    seconds = greeted("127.0.0.1", v4, 300)
    print(f"300 connections in {seconds:.2f} s")
    assert seconds < 20 * SLOWER
    assert greeted("::1", v6, 100) < 20 * SLOWER
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.connect(("::1", udp))
        s.settimeout(2)
        assert any(echoed(s, b"x%d" % i + BLOCK[:1200]) for i in range(100)), g.out


def echoed(s, text):
    """Datagrams may get lost, so once is enough."""
    try:
        s.send(text)
        while True:
            if s.recv(65536) == text:
                return True
    except OSError:
        return False


def test_who_is_not_there_is_told(guest, initramfs, files):
    """A closed port, and a router that is as far as a packet may go: at once, not by waiting."""
    script = load() + NAT + (
        f"netcheck knock-udp 10.0.2.2 {free_port(socket.SOCK_DGRAM)}\n"
        "ping -c 1 -t 1 -W 2 203.0.113.9; echo status $?\npoweroff -f\n")
    out = guest(initramfs(script, *files), "--net", "nat,host=on").end()
    assert "knock: Connection refused" in out and "status 1" in out, out
    assert "1 packets transmitted, 0 packets received" in out, out


def answer_names(s):
    """A server that knows one address, 192.0.2.77, for every name."""
    with contextlib.suppress(OSError):
        while True:
            query, client = s.recvfrom(512)
            s.sendto(query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query[12:] +
                     b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 192, 0, 2, 77), client)


def test_names_are_resolved(guest, initramfs, files, tmp_path):
    """The guest asks the NAT's server, which asks the host's; here that is one of our own, behind one
    that is dead."""
    server_address = f"127.{os.getpid() >> 8 & 127}.{os.getpid() & 255}.53"
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver 127.255.255.254\nnameserver {server_address}\n")
    mount = ["unshare", "-rm", "sh", "-c", f"mount --bind {conf} /etc/resolv.conf && exec \"$@\"", "-"]
    if subprocess.run([*mount, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount namespaces here")
    script = load() + NAT + "netcheck resolve 10.0.2.3 guest.example\npoweroff -f\n"
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        try:
            s.bind((server_address, 53))
        except OSError:
            pytest.skip("no port 53 for us here")
        threading.Thread(target=answer_names, args=(s,), daemon=True).start()
        out = guest(initramfs(script, *files), "--net", "nat", before=mount).end()
    assert "guest.example is 192.0.2.77" in out, out


def test_a_host_that_hangs_up(guest, initramfs, files):
    """The guest's connection ends in an error, and the next one is served."""
    def cut(c):
        c.sendall(BLOCK[:70000])
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with server(cut) as bad, server(lambda c: send_stream(c, MIB)) as good:
        script = load() + NAT + (f"netcheck pull 10.0.2.2 {bad} /block {MIB} || echo told\n"
                                 f"netcheck pull 10.0.2.2 {good} /block {MIB}\npoweroff -f\n")
        out = guest(initramfs(script, *files), "--net", "nat,host=on").end()
    assert "told" in out and "pull is well" in out, out


def test_two_guests_on_a_wire_and_then_one(guest, initramfs, files):
    """Both ways between two machines; when one is gone the other's link is down."""
    total = 32 * MIB
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for s in (a, b):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    first = load() + ADDRESS.format("10.1.1.1") + (
        f"netcheck serve 99 /block {total}; poweroff -f\n")
    second = load() + ADDRESS.format("10.1.1.2") + (
        f"until netcheck both 10.1.1.1 99 /block {total}; do sleep 0.2; done\n"
        "while [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do ping -c 1 -W 1 10.1.1.1; done\n"
        "echo alone; poweroff -f\n")
    one = guest(initramfs(first, *files), "--net", f"fd={a.fileno()}", pass_fds=[a.fileno()])
    two = guest(initramfs(second, *files), "--net", f"fd={b.fileno()}", pass_fds=[b.fileno()])
    a.close()
    b.close()
    assert "serve is well" in one.end(), one.out
    out = two.end()
    assert "both is well" in out and "alone" in out, out
