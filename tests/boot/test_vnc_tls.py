# SPDX-License-Identifier: MIT
"""VNC by TLS: clients that look at the certificate, and those that do not get in; the page by https."""
import hashlib
import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from conftest import ROOT, SLOWER, VZ

sys.path.insert(0, f"{ROOT}/tests/lib")
import rfb_client  # noqa: E402

LIMIT_S = 300 * SLOWER


class Machine:
    """OVMF's shell, by VNC and TLS."""

    def __init__(self, data, *options):
        self.p = subprocess.Popen([VZ, "run", "--efi", "--memory", "256M", "--display", "800x600", "--vnc", "127.0.0.1",
                                   "--serial", "null", *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_DATA_HOME": str(data)})
        watchdog = threading.Timer(LIMIT_S, self.p.kill)
        watchdog.daemon = True
        watchdog.start()
        self.said = ""
        for line in self.p.stderr:
            self.said += line
            if m := re.search(r"VNC at 127\.0\.0\.1:(\d+), password (\S+); in a browser (\S+)", line):
                self.port, self.password, self.url = int(m[1]), m[2], m[3]
            if m := re.search(r"by TLS, with the certificate (\S+)", line):
                self.fingerprint = m[1]
                break
        else:
            raise AssertionError(self.said)
        threading.Thread(target=self.p.stderr.read, daemon=True).start()

    def close(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def machine(data):
    m = Machine(data, "--vnc-tls")
    yield m
    m.close()


@pytest.fixture
def context(machine, data):
    return ssl.create_default_context(cafile=f"{data}/vz/vnc.pem")


def test_a_client_that_knows_the_certificate_sees_the_screen(machine, data, context):
    der = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", machine.port)))
    assert hashlib.sha256(der).hexdigest().upper() == machine.fingerprint.replace(":", "")
    assert os.stat(data / "vz/vnc.pem").st_mode & 0o777 == 0o600
    client = rfb_client.Client(machine.port, machine.password, tls=context)
    assert client.sock.version() in ("TLSv1.2", "TLSv1.3")
    client.want(rfb_client.ENCODING_RAW)
    client.ask(incremental=False)
    end = time.monotonic() + LIMIT_S
    while not any(any(row) for row in client.picture):
        assert time.monotonic() < end, "the screen stays black"
        client.update()
        client.ask()
    for _ in range(20):  # there are places for eight
        rfb_client.Client(machine.port, machine.password, tls=context).sock.close()


def test_who_does_not_trust_it_or_is_in_plain_gets_nowhere(machine, context):
    with pytest.raises(ssl.SSLCertVerificationError):
        rfb_client.Client(machine.port, machine.password, tls=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):  # another host's
        rfb_client.Client(machine.port, machine.password, tls=context, host="elsewhere.example",
                          sock=socket.create_connection(("127.0.0.1", machine.port)))
    with pytest.raises(rfb_client.Refused):
        rfb_client.Client(machine.port, "wrong", tls=context)
    with pytest.raises(rfb_client.Refused):
        rfb_client.Client(machine.port, machine.password)  # without TLS
    s = socket.create_connection(("127.0.0.1", machine.port), timeout=60)
    s.sendall(b"GET /vnc.html HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not b"".join(iter(lambda: receive(s), b""))


def receive(s):
    try:
        return s.recv(4096)
    except ConnectionResetError:
        return b""


def get(machine, context, path, **headers):
    c = http.client.HTTPSConnection("127.0.0.1", machine.port, context=context, timeout=60)
    c.request("GET", path, headers=headers)
    r = c.getresponse()
    return r.status, r.headers, r.read()


def test_the_page_comes_by_https(machine, context):
    m = re.fullmatch(rf"https://127\.0\.0\.1:{machine.port}(/vnc\.html\?token=\w+)#.*", machine.url)
    assert get(machine, context, "/vnc.html")[0] == 403
    status, headers, body = get(machine, context, m[1])
    assert status == 200 and b"noVNC" in body and "Secure" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].split(";")[0]
    status, _, body = get(machine, context, "/app/ui.js", Cookie=cookie)
    assert status == 200 and body == open("/usr/share/novnc/app/ui.js", "rb").read()

    with socket.socket() as plain:  # one that reads slowly, long after the server has gone, gets all of it
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", machine.port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as s:
            s.sendall(f"GET /app/ui.js HTTP/1.1\r\nHost: 127.0.0.1:{machine.port}\r\nCookie: {cookie}\r\n\r\n".encode())
            time.sleep(1)
            assert b"".join(iter(lambda: receive(s), b"")).endswith(body)

    def upgrade(origin):
        s = context.wrap_socket(socket.create_connection(("127.0.0.1", machine.port), timeout=60), server_hostname="127.0.0.1")
        s.sendall(f"GET /websockify HTTP/1.1\r\nHost: 127.0.0.1:{machine.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n"
                  f"Cookie: {cookie}\r\n\r\n".encode())
        answer = s.recv(4096)
        while answer.startswith(b"HTTP/1.1 101") and b"RFB 003.008\n" not in answer:
            answer += s.recv(4096)
        return answer

    assert b" 403 " in upgrade(f"http://127.0.0.1:{machine.port}")
    assert upgrade(f"https://127.0.0.1:{machine.port}").endswith(b"RFB 003.008\n")


def test_those_that_say_half_of_it_hold_up_nobody(machine, context):
    def connect():
        return socket.create_connection(("127.0.0.1", machine.port), timeout=60)

    others = [connect() for _ in range(5)]
    others[0].sendall(b"\x16\x03\x01")
    others[1].sendall(b"\x16\x03\x01\x40\x00" + os.urandom(300))
    for s, words in ((others[2], (b"RFB 003.008\n",)), (others[3], (b"RFB 003.008\n", b"\x13", b"\0\1")),
                     (others[4], (b"RFB 003.008\n", b"\x13", b"\0\2", b"\0\0\1\5", os.urandom(100)))):
        for w in words:
            s.recv(100)
            s.sendall(w)
    rfb_client.Client(machine.port, machine.password, tls=context)
    for s in others:
        s.close()


def test_a_certificate_is_kept_or_given(machine, data, tmp_path):
    again = Machine(data, "--vnc-tls")
    assert again.fingerprint == machine.fingerprint
    again.close()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-out",
                    tmp_path / "cert.pem", "-days", "2", "-subj", "/CN=vz", "-addext", "subjectAltName=IP:127.0.0.1"],
                   check=True, stderr=subprocess.DEVNULL)
    given = Machine(data, f"--vnc-tls={tmp_path}/cert.pem,{tmp_path}/key.pem")
    try:
        assert given.fingerprint != machine.fingerprint
        rfb_client.Client(given.port, given.password, tls=ssl.create_default_context(cafile=tmp_path / "cert.pem"))
    finally:
        given.close()
    r = subprocess.run([VZ, "run", "--efi", "--vnc", "--serial", "null", f"--vnc-tls={tmp_path}/cert.pem,{tmp_path}/nothing"],
                       capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    assert r.returncode == 1 and "nothing" in r.stderr
