# SPDX-License-Identifier: MIT
"""vz clipboard, and VNC: what the guest copied is got, what is set it pastes."""
import json
import os
import socket
import struct
import subprocess
import sys
import time

import pytest

import guest_drivers
from conftest import ROOT, SLOWER, VZ
from machines import Control, make_folder

sys.path.insert(0, f"{ROOT}/tests/lib")
import rfb_client  # noqa: E402
import viewer_channel  # noqa: E402

DRIVERS = (*guest_drivers.VIRTIO, "virtio_console")
SIZE = 70000
INIT = "stty -echo </dev/ttyS0\nspiceagent </dev/ttyS0 >/dev/ttyS0\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    yield home
    for name in "g", "none":
        subprocess.run([VZ, "stop", "--now", name])
    del os.environ["VZ_HOME"]


def start(home, name, kernel, *more):
    folder = home / f"{name}.vz"
    make_folder(folder, "--kernel", kernel, "--memory", "128M", "--cmdline", "console=ttyS0 quiet", *more)
    subprocess.run([VZ, "start", name], check=True)
    return folder


@pytest.fixture(scope="module")
def log(home, kernels, initramfs, tmp_path_factory):
    """The console of a machine whose agent copies a picture, and pastes all that it is offered."""
    folder = tmp_path_factory.mktemp("guest")
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *guest_drivers.files(folder, DRIVERS),
                       guest_drivers.program(folder, "tests/boot/programs/spiceagent.c"))
    folder = start(home, "g", kernels["cloud"], "--initrd", initrd, "--clipboard", "--display", "640x480")
    wait_for(lambda: "caps" in (folder / "console.log").read_text())
    tell(folder, "follow", f"offer 1 2 {SIZE}")
    wait_for(lambda: json.loads(subprocess.check_output([VZ, "clipboard", "g", "-j"]))["primary"]["guest"])
    return folder / "console.log"


def wait_for(condition):
    end = time.monotonic() + 120 * SLOWER
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def tell(folder, *lines):
    c = Control(folder)
    c.call("console")
    with socket.socket(fileno=c.fds[0]) as console:
        console.sendall("".join(line + "\n" for line in lines).encode())
        time.sleep(0.5)
    c.close()


def checksum(data):
    sum = 0
    for byte in data:
        sum = (sum * 31 + byte) & 0xffffffff
    return sum


def test_what_is_set_is_pasted(vz, log, tmp_path):
    text, picture = "zwei Zeilen,\näöü 漢字\n".encode(), b"\x89PNG" + bytes(range(256)) * 900
    assert subprocess.run([VZ, "clipboard", "g", "set"], input=text).returncode == 0
    wait_for(lambda: f"pasted 0 1 {len(text)} {checksum(text)}" in log.read_text())
    assert vz("clipboard", "g", "get").out == text.decode()
    (tmp_path / "a.png").write_bytes(picture)
    assert vz("clipboard", "g", "set", str(tmp_path / "a.png"), "--type", "png").status == 0
    wait_for(lambda: f"pasted 0 2 {len(picture)} {checksum(picture)}" in log.read_text())
    r = vz("clipboard", "g")
    assert r.out.splitlines()[:2] == ["agent: yes", "clipboard: png (the host's)"]
    r = vz("clipboard", "g", "get")
    assert r.status == 1 and "nothing of that type" in r.err


def test_what_was_copied_is_got(vz, log, tmp_path):
    out = tmp_path / "out"
    assert vz("clipboard", "g", "get", str(out), "--primary", "--type", "png").status == 0
    assert out.read_bytes() == bytes(ord("a") + (i * 7 + i // 251) % 26 for i in range(SIZE))
    state = json.loads(vz("clipboard", "g", "--json").out)
    assert state["agent"] and state["primary"] == {"types": ["png"], "guest": True}


def test_mistakes(vz, log, tmp_path):
    (tmp_path / "latin").write_bytes(b"\xe4")
    for args, text in ((("g", "set", str(tmp_path / "latin")), "no text in UTF-8"), (("g", "put"), "get or set"),
                       (("g", "set", str(tmp_path / "none")), "No such file"),
                       (("g", "get", "--type", "gif"), "text, png"),
                       (("g", "get", "/dev/full", "--primary", "--type", "png"), "/dev/full: No space")):
        r = vz("clipboard", *args)
        assert r.status == 1 and text in r.err and not r.out, r
    (tmp_path / "large").write_bytes(bytes((32 << 20) + 1))
    r = vz("clipboard", "g", "set", str(tmp_path / "large"))
    assert r.status == 1 and "32 MiB" in r.err


def test_who_asks_without_end_gets_some(vz, log):
    assert subprocess.run([VZ, "clipboard", "g", "set"], input=b"often").returncode == 0
    c = Control(log.parent)
    c.send(b"".join(b'{"id": %d, "method": "get-clipboard"}\n' % i for i in range(100)))
    answers = [c.line() for _ in range(100)]
    assert [a for a in answers if "result" in a] and {a["error"]["code"] for a in answers if "error" in a} == {6}
    for fd in c.fds:
        os.close(fd)
    c.close()
    assert vz("clipboard", "g", "get").out == "often"


def test_other_programs_requests(log):
    c = Control(log.parent)
    for params in {"selection": "secondary"}, {"type": "gif"}, {"type": 1}, {}:
        assert "error" in c.call("set-clipboard", **params), params  # no content, either
    here, there = os.pipe()
    c.send({"id": 100, "method": "set-clipboard", "params": {}}, [here])  # one that never ends
    assert "file in memory with the content" in c.line()["error"]["message"]
    os.close(there)
    os.close(here)
    assert c.call("clipboard")["result"]["agent"]
    c.close()


def copied_types(data):
    """(types, serial) of both selections."""
    _, _, *both = struct.unpack("=6I", data)
    return list(zip(both[::2], both[1::2]))


def test_a_viewer_that_keeps_what_it_gets_has_eight_of_it(log):
    """Of the memory that the machine has got for it, whatever it asks for."""
    size, control = 100000, Control(log.parent)
    v = viewer_channel.Channel(control)
    control.close()
    tell(log.parent, f"offer 1 1 {size}")
    types = 0
    while not types & 1 << 1:
        v.say(viewer_channel.NEXT_COPIED, bytes(4))
        types, serial = copied_types(v.wait(viewer_channel.COPIED)[0])[1]
    fds = []
    for n in range(20):
        v.get(1, 1, serial, n)
        fds.append(v.wait(viewer_channel.GOT)[1])
    content = bytes(ord("a") + (i * 7 + i // 251) % 26 for i in range(size))
    assert [os.pread(fd, size, 0) == content for fd in fds] == [False] * 12 + [True] * 8
    assert sum(os.fstat(fd).st_blocks * 512 for fd in fds) < 9 * (size + 4096)
    v.close()
    wait_for(lambda: not any(os.fstat(fd).st_blocks for fd in fds))
    for fd in fds:
        os.close(fd)
    tell(log.parent, f"offer 1 2 {SIZE}")  # as it was


def test_a_machine_that_shares_none(vz, home, kernels, initramfs):
    start(home, "none", kernels["cloud"], "--initrd", initramfs("while :; do sleep 1000; done\n"))
    for verb in (), ("get",), ("set", "/dev/null"):
        r = vz("clipboard", "none", *verb)
        assert r.status == 1 and "no port for a SPICE agent" in r.err, r


# ---- VNC ------------------------------------------------------------------------------------------


@pytest.fixture
def client(log):
    """Makes VNC clients, of which the last one to point has the guest's attention."""
    clients = []

    def make(extended):
        view = json.loads(subprocess.check_output([VZ, "view", "g", "--vnc", "--json"]))
        c = rfb_client.Client(int(view["address"].rsplit(":", 1)[1]), view["password"])
        clients.append(c)
        if extended:
            c.want(rfb_client.ENCODING_RAW, rfb_client.ENCODING_CLIPBOARD)
            c.offer_utf8()
        else:
            c.want(rfb_client.ENCODING_RAW)
        c.sock.settimeout(60 * SLOWER)
        return c

    yield make
    for c in clients:
        c.sock.close()


def point(c):
    c.sock.sendall(struct.pack(">BBHH", 5, 0, 10, 10))


def is_silent(c):
    c.sock.settimeout(2)
    try:
        return not c.sock.recv(1)
    except TimeoutError:
        return True
    finally:
        c.sock.settimeout(60 * SLOWER)


@pytest.mark.parametrize("extended", (False, True))
def test_a_viewer_copies(log, client, extended):
    c = client(extended)
    text = "öffentlich\n" + ("漢字\n" if extended else "")
    (c.copy_utf8 if extended else c.copy)(text)
    wait_for(lambda: f"pasted 0 1 {len(text.encode())} {checksum(text.encode())}" in log.read_text())


@pytest.mark.parametrize("extended", (False, True))
def test_a_viewer_pastes_while_it_is_looked_at(vz, log, client, extended):
    c, text = client(extended), "über\n漢字\n"
    subprocess.run([VZ, "clipboard", "g", "set"], input=text.encode(), check=True)
    assert is_silent(client(False))  # nobody is at it
    point(c)
    assert c.pasted() == (text if extended else "über\n??\n")
    tell(log.parent, "offer 0 1 100")
    guests = "".join(chr(ord("a") + i * 7 % 26) for i in range(100))
    assert c.pasted() == guests
    offered = vz("clipboard", "g").out
    (c.copy_utf8 if extended else c.copy)(guests)  # as clients do that own what they were sent
    assert is_silent(c) and vz("clipboard", "g").out == offered and "(the guest's)" in offered


def test_viewers_that_lie(log, client):
    for message in (b"\x06\0\0\0\xff\xff\xff\xf0" + b"\x10\0\0\1" + b"\xff" * 60, b"\x06\0\0\0\x80\0\0\0",
                    b"\x06\0\0\0\0\0\0\4\xff\xfe\0\0", b"\x06\0\0\0\xff\xff\xff\xfc\x02\0\0\1"):
        c = client(True)
        c.sock.sendall(message)
        c.sock.close()
    test_a_viewer_copies(log, client, True)
