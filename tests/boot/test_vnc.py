# SPDX-License-Identifier: MIT
"""What firmware draws, by VNC and in a browser's way; and clients that do as they should not."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from random import Random

import pytest

from conftest import LONG, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import rfb_client  # noqa: E402
from test_sandbox import WITHOUT_SANITIZER, children, threads  # noqa: E402

LIMIT_S = 300 * SLOWER


class Machine:
    """OVMF without a disk, which draws its logo and then waits at its shell or menu."""

    def __init__(self):
        with open(__file__, "rb") as f:  # as a disk may be, or a terminal
            self.p = subprocess.Popen([VZ, "run", "--efi", "--memory", "256M", "--display", "800x600", "--vnc",
                                       "127.0.0.1", "--serial", "null"], stdin=f, pass_fds=(f.fileno(),),
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        watchdog = threading.Timer(LIMIT_S, self.p.kill)
        watchdog.daemon = True
        watchdog.start()
        for line in self.p.stderr:
            m = re.search(r"VNC at 127\.0\.0\.1:(\d+), password (\S+); in a browser (\S+)", line)
            if m:
                self.port, self.password, self.url = int(m[1]), m[2], m[3]
                break
        else:
            raise AssertionError("vz run --vnc says no address")
        self.said = []
        threading.Thread(target=lambda: self.said.extend(self.p.stderr), daemon=True).start()

    def client(self):
        return rfb_client.Client(self.port, self.password)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def get(self, path, **headers):
        """Status, headers, body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, b""

    def upgrade(self, **headers):
        """What a WebSocket is answered with, a greeting included, and its socket."""
        s = self.connect()
        lines = {"Host": f"127.0.0.1:{self.port}", "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                 "Origin": f"http://127.0.0.1:{self.port}", **headers}
        s.sendall(("GET /websockify HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v) +
                   "\r\n").encode())
        answer = s.recv(4096)
        while answer.startswith(b"HTTP/1.1 101") and b"RFB 003.008\n" not in answer:
            more = s.recv(4096)
            assert more, answer
            answer += more
        return answer.decode(errors="replace"), s


@pytest.fixture(scope="module")
def machine():
    m = Machine()
    yield m
    m.p.terminate()
    m.p.wait(timeout=60)


def test_firmware_is_seen(machine):
    still = machine.client()
    see_picture(still)
    client, end = machine.client(), time.monotonic() + LIMIT_S
    client.want(rfb_client.ENCODING_RAW, rfb_client.ENCODING_EXTENDED_SIZE)
    client.ask(incremental=False)
    while not any(any(row) for row in client.picture):
        assert time.monotonic() < end, "the screen stays black"
        client.update()
        client.ask()
    assert client.screens and client.screens[0][:4] == b"\0\0\0\1", "a screen's number is not 0"
    see_picture(still)
    assert any(any(row) for row in still.picture), "who has not asked for a while gets what was there then"


def test_a_wrong_password_is_refused(machine):
    with pytest.raises(rfb_client.Refused):
        rfb_client.Client(machine.port, "wrong")


def test_clients_that_say_half_of_it_hold_up_nobody(machine):
    others = [machine.connect() for _ in range(4)]
    others[0].sendall(b"\x16\x03\x01")                # a TLS hello, at once
    others[1].sendall(b"GET /vnc.html HT")
    time.sleep(0.3)
    others[2].sendall(b"\x16\x03\x01" + b"A" * 300)  # and where a version should be
    machine.client()
    for s in others:
        s.close()


def test_hostile_lengths(machine):
    for message in (b"\x06\0\0\0\xff\xff\xff\xff", b"\x02\0\xff\xff", b"\xfb\0\xff\xff\xff\xff\xff\0",
                    b"\x03\1\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff" * 40, b"\x0b\0\0\0\x7f\xff\xff\xff"):
        client = machine.client()
        client.sock.sendall(message)
        client.sock.close()
    machine.client()


def listener_of(machine):
    """The process that serves viewers."""
    return next(pid for pid, s in children(machine.p.pid).items() if s["Name"] == "vz-vnc")


def taken(machine):
    """How many threads and, where root looks, descriptors it has, and who serves viewers for it."""
    return [len(os.listdir(f"/proc/{pid}/{what}")) for pid in (machine.p.pid, listener_of(machine))
            for what in (("task", "fd") if os.geteuid() == 0 else ("task",))]


def until_as_few(machine, before):
    """Connections take a while to end."""
    end = time.monotonic() + LIMIT_S
    now = taken(machine)
    while any(n > b for n, b in zip(now, before)):
        assert time.monotonic() < end, (now, before)
        time.sleep(0.2)
        now = taken(machine)


def see_picture(client):
    client.want(rfb_client.ENCODING_RAW)
    client.ask(incremental=False)
    client.update()


def test_viewers_that_do_not_read_hold_up_nobody(machine):
    """Nor their places: they are hung up on."""
    before = taken(machine)
    others = [machine.client() for _ in range(7)]
    for other in others:
        other.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        other.want(rfb_client.ENCODING_RAW)
    for _ in range(20):  # those that come close together are answered once
        for other in others:
            other.ask(incremental=False)
        time.sleep(0.15)
    for _ in range(3):
        began, client = time.monotonic(), machine.client()
        see_picture(client)
        assert time.monotonic() - began < 4 * SLOWER  # less than a silent one is waited for
        client.sock.close()
    until_as_few(machine, before)
    for other in others:
        other.sock.close()


def test_hundreds_that_come_and_go(machine):
    before, silent = taken(machine), []
    for n in range(300 * LONG):
        try:
            s = machine.connect()
            s.sendall((b"", b"RFB 003.008\n\1", b"GET / HTTP/1.1\r\n\r\n", b"\x16\3\1\0\xff", b"RFB 999.999\n")[n % 5])
        except OSError:
            continue  # it has had enough of us
        silent.append(s)
        if len(silent) > 60:  # more than it takes
            silent.pop(0).close()
    for s in silent:
        s.close()
    until_as_few(machine, before)
    see_picture(machine.client())


def test_nonsense_from_who_knows_the_password(machine):
    """Of every kind of message, with whatever in it, whole and cut off."""
    random = Random(15)
    for n in range(60 * LONG):
        client = machine.client()
        data = b"".join(bytes([random.choice((0, 2, 3, 4, 5, 6, 7, 8, 10, 11, 15, 150, 248, 250, 251, 252, 253, 255))]) +
                        random.randbytes(random.choice((1, 3, 7, 19, 40))) for _ in range(random.randrange(1, 60)))
        try:
            client.sock.sendall(data[:random.randrange(1, len(data) + 1)])
            if n % 3 == 0:
                client.sock.shutdown(socket.SHUT_WR)
                client.sock.settimeout(30)
                while client.sock.recv(65536):
                    pass
        except OSError:
            pass
        client.sock.close()
    assert machine.p.poll() is None
    see_picture(machine.client())


def test_the_page_is_for_one_browser(machine):
    token = re.search(r"token=(\w+)", machine.url)[1]
    assert machine.get("/vnc.html")[0] == 403
    assert machine.get("/vnc.html?token=" + "0" * 32)[0] == 403
    assert machine.get(f"/app/ui.js?token={token}")[0] == 403
    status, headers, body = machine.get(f"/vnc.html?token={token}")
    assert status == 200 and b"noVNC" in body
    assert machine.get(f"/vnc.html?token={token}")[0] == 403
    cookie = headers["Set-Cookie"].split(";")[0]
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]
    assert machine.get("/app/ui.js", Cookie=cookie)[0] == 200
    for path in ("/../../../etc/passwd", "/app/../../../../etc/passwd", "/nothing.html"):
        assert machine.get(path, Cookie=cookie)[0] in (403, 404)

    ahead = machine.connect()  # as browsers do for what they are about to ask for: it is not greeted as a VNC client's
    time.sleep(1)
    ahead.sendall(f"GET /app/ui.js HTTP/1.1\r\nHost: 127.0.0.1:{machine.port}\r\nCookie: {cookie}\r\n\r\n".encode())
    assert ahead.recv(100).startswith(b"HTTP/1.1 200 ")
    ahead.close()
    assert machine.get("/app/ui.js", Cookie=f"vz{machine.port}={'0' * 32}; {cookie}")[0] == 200  # somebody else's, too
    assert machine.get("/app/ui.js", Cookie=cookie.replace(f"vz{machine.port}", "vz1"))[0] == 403

    assert " 403 " in machine.upgrade()[0] + " "
    assert " 403 " in machine.upgrade(Cookie=cookie, Origin="http://evil.example")[0] + " "
    assert " 403 " in machine.upgrade(Cookie=cookie, Origin=None)[0] + " "
    assert " 403 " in machine.upgrade(Cookie=cookie, Host="evil.example", Origin="http://evil.example")[0] + " "
    answer, _ = machine.upgrade(Cookie=cookie)
    assert " 101 " in answer and answer.endswith("RFB 003.008\n")


def keysym(c):
    return 0xff0d if c == "\n" else ord(c)


def test_what_is_typed_reaches_the_guest():
    """The UEFI shell is told to turn the machine off, by a keyboard that --vnc brings along."""
    m = Machine()
    client, end = m.client(), time.monotonic() + LIMIT_S
    client.sock.sendall(struct.pack(">BBHH", 5, 0, 10, 10) + struct.pack(">BBHH", 5, 1, 400, 300))
    while m.p.poll() is None and time.monotonic() < end:
        try:
            for c in "\nreset -s\n":
                for down in (1, 0):
                    client.sock.sendall(struct.pack(">BBxxI", 4, down, keysym(c)))
                    time.sleep(0.05)
        except OSError:
            break
        time.sleep(3)
    assert m.p.wait(timeout=60) == 0


@WITHOUT_SANITIZER
def test_who_serves_viewers_has_nothing_else(machine):
    """None of the guest's memory, no file that is open, no network of its own where the host allows that; no privileges."""
    client = machine.client()
    pid = listener_of(machine)
    for name, thread in threads(pid).items():
        assert thread["Seccomp"] == "2" and thread["NoNewPrivs"] == "1", name
        assert int(thread["CapEff"], 16) == int(thread["CapPrm"], 16) == 0, name
        assert os.geteuid() or thread["Uid"].split()[1] != "0"
    see_picture(client)
    if os.geteuid() == 0:  # nobody else may look
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            maps = f.read()
        assert "memfd:vz-display" in maps and "vz-ram" not in maps and not re.search(r"\s\wwx\S\s", maps)
        assert all(re.match(r"\S+ r--s", line) for line in maps.splitlines() if "memfd:" in line), maps
        files = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert {f for f in files if not re.match(r"socket:|pipe:|anon_inode:|/dev/null|/memfd:vz-display", f)} == set(), files


def test_when_who_serves_viewers_ends():
    """The machine goes on, and says so; viewers are gone."""
    m = Machine()
    try:
        client = m.client()
        os.kill(listener_of(m), signal.SIGKILL)
        end = time.monotonic() + LIMIT_S
        with pytest.raises((OSError, rfb_client.Refused)):
            client.take(1)
        while not any("viewers by VNC and in browsers are gone" in line for line in m.said):
            assert time.monotonic() < end, m.said
            time.sleep(0.1)
        with pytest.raises(OSError):
            m.connect()
        assert m.p.poll() is None and "vz-loop" in threads(m.p.pid)
    finally:
        m.p.kill()
        m.p.wait()


WAITS = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="waits for 20 seconds and more: VZ_LONG=1 does it")


@WAITS
def test_an_answer_that_comes_too_late_is_no_other_orders(vz, tmp_path, monkeypatch):
    """Else each address that is handed out from then on would be the one before, which is good for nobody any more."""
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    (tmp_path / "m.vz").mkdir()
    (tmp_path / "m.vz/config.json").write_text(vz("run", "--efi", "--memory", "256M", "--display", "800x600", "--print-config").out)
    assert vz("start", "m").status == 0
    try:
        listener = next(pid for pid, s in children(json.loads(vz("inspect", "m", "--json").out)["pid"]).items()
                        if s["Name"] == "vz-vnc")
        os.kill(listener, signal.SIGSTOP)
        late = vz("view", "m", "--web", "--json")
        os.kill(listener, signal.SIGCONT)
        assert late.status and "hangs" in late.err
        for _ in range(2):
            url = json.loads(vz("view", "m", "--web", "--json").out)["url"]
            with urllib.request.urlopen(url.split("#")[0], timeout=60) as r:
                assert r.status == 200
    finally:
        vz("stop", "--now", "m")


@WAITS
def test_who_gives_a_password_has_time():
    p = subprocess.Popen([VZ, "run", "--efi", "--memory", "256M", "--vnc", "127.0.0.1", "--vnc-password-file", "-", "--serial", "null"],
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(22)
        p.stdin.write("sesame\n")
        p.stdin.flush()
        assert "VNC at" in p.stderr.readline()
    finally:
        p.kill()
        p.communicate()
