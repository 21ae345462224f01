# SPDX-License-Identifier: MIT
"""Machines in the background: start, stop, pause, list, inspect, and their control socket."""
import json
import os
import random
import signal
import socket
import subprocess
import time

import pytest

from conftest import VZ
from machines import Control, descriptors, home, info, machine  # noqa: F401 (fixtures)


def test_start_and_stop(vz, machine):
    machine("one")
    r = vz("start", "one")
    assert (r.status, r.out, r.err) == (0, "", ""), r
    i = info(vz, "one")
    assert i["state"] == "running" and i["cpus"] == 1 and i["memoryBytes"] == 16 << 20
    assert os.path.exists(f"/proc/{i['pid']}")
    r = vz("start", "one")
    assert r.status == 1 and "one: " in r.err and "runs" in r.err, r
    r = vz("stop", "one")
    assert r.status == 1 and "does not listen to its power button" in r.err and "--now" in r.err, r
    assert vz("stop", "--now", "one").status == 0
    i = info(vz, "one")
    assert i["state"] == "stopped" and i["lastRun"]["reason"] == "stopped"
    assert vz("stop", "one").status == 0
    assert vz("start", "one").status == 0
    assert vz("restart", "--now", "one").status == 0
    assert info(vz, "one")["state"] == "running"


def test_a_process_that_hangs_is_turned_off(vz, machine):
    machine("one")
    assert vz("start", "one").status == 0
    os.kill(info(vz, "one")["pid"], signal.SIGSTOP)
    r = vz("stop", "--now", "one")
    assert r.status == 0 and "was killed" in r.err, r
    i = info(vz, "one")
    assert i["state"] == "stopped" and i["lastRun"]["reason"] == "killed"
    assert vz("start", "one").status == 0


def test_pause_and_resume(vz, machine):
    machine("one")
    r = vz("pause", "one")
    assert r.status == 1 and "not running" in r.err, r
    assert vz("start", "one").status == 0
    assert vz("pause", "one").status == 0
    assert info(vz, "one")["state"] == "paused"
    r = vz("stop", "one")
    assert r.status == 1 and "paused" in r.err, r
    assert vz("resume", "one").status == 0
    assert info(vz, "one")["state"] == "running"


COUNTING = bytes.fromhex("31c0"  # xor eax, eax
                         "ffc0"  # count: inc eax
                         "66baf803" "ee"  # mov dx, 3f8h; out dx, al
                         "b900000400" "ffc9" "75fc"  # a pause
                         "ebee")  # jmp count


def follows(text):
    """Does each byte follow the one before, but for where the console was put aside?"""
    return all(b == (a + 1) % 256 for a, b in zip(text, text[1:]))


def test_save_and_restore(vz, home, machine):
    folder = machine("one", "--serial", "stdio", code=COUNTING)
    log, state = folder / "console.log", folder / "saved.state"
    r = vz("save", "one")
    assert r.status == 1 and "not running" in r.err, r
    r = vz("restore", "one")
    assert r.status == 1 and "no saved state" in r.err and "vz save" in r.err, r
    assert vz("start", "one").status == 0
    for how in (("save",), ("save", "--compress"), ("stop", "--save")):
        before = log.stat().st_size
        while log.stat().st_size < before + 10:
            time.sleep(0.02)
        assert vz(*how, "one").status == 0
        i = info(vz, "one")
        assert i["state"] == "saved" and i["lastRun"]["reason"] == "stopped"
        assert state.stat().st_mode & 0o777 == 0o600
        saved = log.stat().st_size
        assert vz("restore" if how[0] == "save" else "start", "one").status == 0
        assert not state.exists()
        while log.stat().st_size < saved + 10:
            time.sleep(0.02)
    assert vz("pause", "one").status == 0
    assert vz("save", "one").status == 0, "a paused machine can be saved as it is"
    assert follows(log.read_bytes()), "nothing is lost, and nothing comes twice"


def test_a_saved_state_travels(vz, home, machine, tmp_path, monkeypatch):
    """To a file and back, by a passphrase; whatever is wrong, the machine is as it was."""
    folder = machine("one", "--serial", "stdio", "--disk", "disk.img", code=COUNTING)
    with open(folder / "disk.img", "wb") as f:
        f.truncate(1 << 20)
    log, state, word, other = folder / "console.log", tmp_path / "state", tmp_path / "word", tmp_path / "other"
    word.write_text("open sesame\n")
    other.write_text("open barley\n")
    assert vz("start", "one").status == 0
    for words in [], ["--passphrase-file", word], ["--passphrase-file", word, "--compress"]:
        size = log.stat().st_size
        while log.stat().st_size < size + 10:
            time.sleep(0.02)
        assert vz("save", "one", "--to", state, *words).status == 0
        assert state.stat().st_mode & 0o777 == 0o600 and info(vz, "one")["state"] == "stopped"
        size = log.stat().st_size
        if words:
            monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))  # no key of this user's is needed
            for wrong, text in ([], "none was given"), (["--passphrase-file", other], "wrong passphrase"):
                r = vz("restore", "one", "--from", state, *wrong)
                assert r.status == 1 and text in r.err and info(vz, "one")["state"] == "stopped", r
        assert vz("restore", "one", "--from", state, *words[:2]).status == 0
        while log.stat().st_size < size + 10:
            time.sleep(0.02)
    assert follows(log.read_bytes()), "nothing is lost, and nothing comes twice"
    assert vz("save", "one", "--to", word).status == 1 and info(vz, "one")["state"] == "running"
    r = vz("save", "one", "--to", tmp_path / "no" / "folder")
    assert r.status == 1 and "No such file" in r.err and info(vz, "one")["state"] == "running", r
    assert vz("save", "one", "--to", state).status == 0 and vz("start", "one").status == 0
    r = vz("restore", "one", "--from", state)
    assert r.status == 1 and "runs" in r.err, r
    assert vz("stop", "--now", "one").status == 0
    os.utime(folder / "disk.img")
    r = vz("restore", "one", "--from", state)
    assert r.status == 1 and "disk.img has been written since" in r.err and info(vz, "one")["state"] == "stopped", r
    assert vz("restore", "one", "--from", state, "--force").status == 0
    assert vz("save", "one").status == 0
    r = vz("restore", "one", "--from", state)
    assert r.status == 1 and "is saved already" in r.err, r


def test_a_saved_state_fits_the_disks_as_they_were(vz, home, machine, tmp_path):
    """Whenever the state was copied, and however old a disk looks that took another's place."""
    folder = machine("one", "--serial", "stdio", "--disk", "disk.img", code=COUNTING)
    disk, state, copy = folder / "disk.img", tmp_path / "state", tmp_path / "copy"
    disk.write_bytes(bytes(1 << 20))
    assert vz("start", "one").status == 0 and vz("save", "one", "--to", state).status == 0
    before = disk.stat()
    copy.write_bytes(state.read_bytes())
    copy.chmod(0o600)
    assert vz("restore", "one", "--from", copy).status == 0  # its own time says nothing
    assert vz("stop", "--now", "one").status == 0

    def refused(text):
        copy.touch()
        r = vz("restore", "one", "--from", copy)
        assert r.status == 1 and text in r.err and "--force" in r.err and info(vz, "one")["state"] == "stopped", r

    disk.write_bytes(b"else".ljust(1 << 20))
    refused("disk.img has been written since")
    os.utime(disk, ns=(before.st_atime_ns, before.st_mtime_ns - 1))  # an older one
    refused("disk.img has been written since")
    disk.write_bytes(bytes(2 << 20))
    refused("disk.img had 1048576 bytes")
    os.rename(disk, folder / "other.img")
    config = json.loads((folder / "config.json").read_text())
    config["storageDevices"][0]["attachment"]["path"] = "other.img"
    (folder / "config.json").write_text(json.dumps(config))
    refused("other.img was no disk of the machine")
    config["storageDevices"][0]["attachment"]["path"] = "disk.img"
    (folder / "config.json").write_text(json.dumps(config))
    disk.write_bytes(bytes(1 << 20))
    os.utime(disk, ns=(before.st_atime_ns, before.st_mtime_ns))  # brought back
    assert vz("restore", "one", "--from", copy).status == 0
    assert vz("stop", "--now", "one").status == 0
    (folder / "left.json").write_text("no JSON")  # then times are all that there is
    os.utime(copy, (1, 1))
    r = vz("restore", "one", "--from", copy)
    assert r.status == 1 and "was not saved out of this folder, and disk.img is younger" in r.err, r
    assert vz("restore", "one", "--from", copy, "--force").status == 0


def test_a_saved_state_that_does_not_fit(vz, home, machine):
    folder = machine("one", "--serial", "stdio", code=COUNTING)
    state = folder / "saved.state"
    assert vz("start", "one").status == 0
    assert vz("save", "one").status == 0
    good = state.read_bytes()
    state.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    r = vz("start", "one")
    assert r.status == 1 and "damaged" in r.err and "--fresh" in r.err, r
    assert state.exists() and info(vz, "one")["state"] == "saved"
    state.write_bytes(good)
    assert vz("set", "one", "cpus=2").status == 0
    r = vz("start", "one")
    assert r.status == 1 and "cpus" in r.err and state.exists(), r
    assert vz("start", "--fresh", "one").status == 0
    assert not state.exists() and info(vz, "one")["state"] == "running"


def test_a_machine_that_cannot_be_saved_runs_on(vz, machine):
    folder = machine("one")
    assert vz("start", "one").status == 0
    (folder / "saved.state").write_text("no saved state, but somebody's")
    r = vz("save", "one")
    assert r.status == 1 and "saved.state" in r.err, r
    assert info(vz, "one")["state"] == "running"


def test_list(vz, home, machine):
    r = vz("list")
    assert r.status == 0 and r.out == "" and "no machine yet" in r.err, r
    assert vz("list", "--json").out.split() == ["[]"]
    machine("two")
    machine("ten")
    machine("bad")
    (home / "bad.vz" / "config.json").write_text("{")
    assert vz("start", "two").status == 0
    r = vz("list")
    rows = {line.split()[0]: line.split()[1] for line in r.out.splitlines()}
    assert rows == {"NAME": "STATE", "bad": "broken", "ten": "stopped", "two": "running"}, r
    assert "bad: " in r.err and "config.json" in r.err, r
    assert [m["name"] for m in json.loads(vz("list", "--json").out)] == ["bad", "ten", "two"]
    assert vz("list", "--names").out.split() == ["bad", "ten", "two"]


def test_the_only_machine_needs_no_name(vz, machine):
    assert "no machine yet" in vz("inspect").err
    machine("one")
    assert json.loads(vz("inspect").out)["name"] == "one"
    machine("two")
    r = vz("inspect")
    assert r.status == 1 and "several" in r.err, r


@pytest.mark.parametrize("name, what", [("", "1 to 63"), ("a" * 64, "1 to 63"), ("-x", "unknown option"), ("a b", "letters"),
                                        (".x", "begins with"), ("x.vz", "did you mean 'x'"), ("none", "no such machine")])
def test_names(vz, home, name, what):
    r = vz("start", name)
    assert r.status in (1, 2) and what in r.err, r


def test_a_folder_anywhere_however_deep(vz, machine, tmp_path):
    folder = tmp_path / ("d" * 100) / ("e" * 100) / "far.vz"
    machine("far", folder=folder)
    assert vz("start", "./far.vz", cwd=folder.parent).status == 0
    assert info(vz, folder)["state"] == "running"
    moved = folder.parent.parent / "moved.vz"
    folder.rename(moved)  # under a running machine
    assert info(vz, moved)["state"] == "running"
    assert vz("stop", "--now", moved).status == 0


def test_killed_process(vz, machine):
    folder = machine("one")
    vz("start", "one")
    os.kill(info(vz, "one")["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while info(vz, "one")["state"] != "stopped" and time.monotonic() < deadline:
        time.sleep(0.05)
    i = info(vz, "one")
    assert i["state"] == "stopped" and i["lastRun"]["reason"] == "killed", i
    assert (folder / "control.sock").exists()
    assert vz("start", "one").status == 0  # over the socket that was left


def test_two_starts_at_once(vz, machine):
    machine("one")
    both = [subprocess.Popen([VZ, "start", "one"], stderr=subprocess.PIPE) for _ in range(4)]
    ends = sorted(p.wait() for p in both)
    assert ends == [0, 1, 1, 1]
    assert info(vz, "one")["state"] == "running"


def test_a_machine_that_cannot_start(vz, home, machine):
    folder = machine("one")
    (folder / "kernel").unlink()
    r = vz("start", "one")
    assert r.status == 1 and "one: " in r.err and "kernel" in r.err, r
    assert info(vz, "one")["state"] == "stopped"
    assert not (folder / "control.sock").exists()


def wait_state(vz, name, state):
    deadline = time.monotonic() + 60
    while info(vz, name)["state"] != state:
        assert time.monotonic() < deadline, info(vz, name)
        time.sleep(0.05)


def test_the_hosts_shutdown_saves_the_machine(vz, machine):
    folder = machine("one", "--serial", "stdio", code=COUNTING)
    vz("start", "one")
    os.kill(info(vz, "one")["pid"], signal.SIGTERM)
    wait_state(vz, "one", "saved")
    assert info(vz, "one")["lastRun"]["reason"] == "stopped"
    assert vz("start", "one").status == 0
    os.kill(info(vz, "one")["pid"], signal.SIGTERM)
    wait_state(vz, "one", "saved")
    assert follows((folder / "console.log").read_bytes())


def test_a_machine_that_cannot_be_saved_is_shut_down_with_the_host(vz, machine):
    folder = machine("one")
    vz("start", "one")
    (folder / "saved.state").write_text("no saved state, but somebody's")
    os.kill(info(vz, "one")["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 60
    while (folder / "control.sock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log = (folder / "vz.log").read_text()
    assert "cannot be saved" in log and "turning the machine off" in log, log


def test_in_the_foreground(vz, machine):
    machine("one")
    p = subprocess.Popen([VZ, "start", "--foreground", "one"], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while info(vz, "one")["state"] != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    p.send_signal(signal.SIGTERM)  # the guest is asked, hears nothing, and is turned off
    assert p.wait(30) == 0
    assert info(vz, "one")["state"] == "stopped"


# ---- Forwards ----------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_forward(vz, machine):
    folder = machine("one", "--net", "nat")
    a, b, c = free_port(), free_port(), free_port()

    def stored():
        nat = json.loads((folder / "config.json").read_text())["networkDevices"][0]["attachment"]
        return [f["hostPort"] for f in nat.get("forwards", [])]

    assert (vz("forward", "one").out, vz("forward", "one").status) == ("", 0)
    assert vz("forward", "one", f"{a}:80").status == 0
    assert stored() == [a] and not listens(a)
    assert vz("start", "one").status == 0
    assert listens(a)
    r = vz("forward", "one", f"{b}:80", f"udp:{c}:53")  # while it runs
    assert (r.status, r.err) == (0, "") and listens(b) and stored() == [a, b, c], r
    assert vz("forward", "one").out == f"tcp:127.0.0.1:{a}:80\ntcp:127.0.0.1:{b}:80\nudp:127.0.0.1:{c}:53\n"
    assert json.loads(vz("forward", "one", "--json").out)[1] == {
        "protocol": "tcp", "host": "127.0.0.1", "hostPort": b, "guestPort": 80, "automatic": False}
    r = vz("forward", "one", f"{a}:81")
    assert r.status == 1 and f"port {a} of 127.0.0.1 is forwarded already" in r.err and stored() == [a, b, c], r
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        r = vz("forward", "one", f"{s.getsockname()[1]}:80")
        assert r.status == 1 and "Address already in use" in r.err and listens(a) and listens(b), r
    assert vz("forward", "one", "--remove", f"{a}:80", f"udp:{c}:53").status == 0
    assert not listens(a) and listens(b) and stored() == [b]
    r = vz("forward", "one", "--remove", f"{a}:80")
    assert r.status == 1 and "is not forwarded" in r.err, r
    for bad in ("80", "0:80", "x:80", "tcp:1:2:3:4", "80:70000", "icmp:1:2"):
        assert vz("forward", "one", bad).status == 1 and stored() == [b], bad
    assert vz("forward", "one", "--remove").status == 2 and vz("forward", "one", "--auto", "x").status == 1
    assert vz("stop", "--now", "one").status == 0
    assert not listens(b)
    machine("two")
    r = vz("forward", "two", f"{a}:80")
    assert r.status == 1 and "behind NAT" in r.err, r
    assert vz("start", "two").status == 0
    r = vz("forward", "two", f"{a}:80")
    assert r.status == 1 and "behind NAT" in r.err, r
    for what in ("ssh", "network"):
        r = vz("wait", "two", "--for", what, "--timeout", "1s")
        assert r.status == 1 and "behind NAT" in r.err, r


def test_ssh_is_led_to_the_guest(vz, machine, tmp_path, monkeypatch):
    """By this computer's ssh: here one that only says what it was told."""
    (tmp_path / "ssh").write_text("#!/bin/sh\nfor w; do echo \"$w\"; done; exit 7\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    folder = machine("one", "--net", "nat")
    r = vz("ssh", "one", "--", "true")
    assert r.status == 255 and "not running" in r.err, r
    assert vz("start", "one").status == 0
    (folder / "user").write_text("anna")
    r = vz("ssh", "one", "-i", "key", "--", "ls", "-l", "--")
    words = r.out.splitlines()
    port = int(words[0].removeprefix("-p"))
    assert r.status == 7 and listens(port), r
    assert words[1:] == [f'-oUserKnownHostsFile="{folder}/known_hosts"', "-oHostKeyAlias=one.vz",
                         "-oStrictHostKeyChecking=accept-new", "-i", "key", "-l", "anna", "127.0.0.1", "--", "ls", "-l", "--"]
    words = vz("ssh", "--user", "me").out.splitlines()
    assert words[0] == f"-p{port}" and words[-3:] == ["-l", "me", "127.0.0.1"]  # one port is enough


# ---- The protocol -------------------------------------------------------------------------------

def test_socket_is_private(vz, machine):
    folder = machine("one")
    vz("start", "one")
    assert os.stat(folder / "control.sock").st_mode & 0o777 == 0o600


def test_protocol(vz, machine):
    folder = machine("one")
    vz("start", "one")
    c = Control(folder)
    assert c.call("info")["result"]["state"] == "running"
    assert c.call("config")["result"]["memory"] == 16 << 20
    assert "counters" in c.call("stats")["result"]
    assert c.call("nonsense")["error"]["code"] == 10
    assert c.call("stop", now=1)["error"]["code"] == 2
    assert c.call("connect")["error"]["code"] == 2
    assert c.call("connect", port=1)["error"]["code"] == 30004
    c.send(b'{"method": "info"}\n')  # without an id
    answer = c.line()
    assert answer["id"] is None and "result" in answer
    for bad in (b"nonsense\n", b"[]\n", b'{"id": 1}\n', b'{"id": 1, "method": "info", "params": []}\n', b"\xff\n"):
        c.send(bad)
        assert c.line()["error"]["code"] == 2, bad
    c.send(b'{"id": "x", "method": "info"}\n{"id": "y", "method": "info"}\n')  # two in one
    assert [c.line()["id"], c.line()["id"]] == ["x", "y"]
    c.send(b'\n{"id": 7, "meth')  # one in two
    time.sleep(0.1)
    c.send(b'od": "info"}\n')
    assert c.line()["id"] == 7


def test_events(vz, machine):
    folder = machine("one")
    vz("start", "one")
    c = Control(folder)
    assert c.call("subscribe") == {"id": 1, "result": {}}
    vz("pause", "one")
    vz("resume", "one")
    vz("stop", "--now", "one")
    events = []
    while (e := c.line()) is not None:
        events.append(e)
    states = [e["state"] for e in events if e["event"] == "state"]
    assert states == ["pausing", "paused", "resuming", "running", "stopping", "stopped"]
    assert events[-1] == {"event": "ended", "reason": "stopped"}


def test_garbage_on_many_connections(vz, machine):
    """A thousand connections, one after the other and 64 at once, with all that a client could send."""
    folder = machine("one", "--vsock", "cid=3")
    vz("start", "one")
    rng = random.Random(1)
    words = [b"{", b"}", b'"id"', b":", b"[", b"]", b"1e999", b'"method"', b'"info"', b",", b"\n", b"\0", b"\xff", b"null",
             b'{"id": 1, "method": "info", "params": {}}\n', b"[" * 3000, b'{"a":' * 3000, b'"' + b"x" * 5000]
    clients = []
    for _ in range(1000):
        try:
            clients.append(Control(folder))
            clients[-1].send(b"".join(rng.choices(words, k=rng.randrange(12))) + b"\n")
        except OSError:
            pass  # there are 64 already, or it has hung up
        if len(clients) > 70:
            clients.pop(rng.randrange(len(clients))).close()
    for c in clients:
        c.close()
    # Requests that wait for something that never comes: the guest has no driver, and no one of them is lost.
    c = Control(folder)
    for _ in range(3000):
        c.send({"id": 1, "method": "connect", "params": {"port": 5}})
    assert all("error" in c.line() for _ in range(3000))
    i = info(vz, "one")
    assert i["state"] == "running" and descriptors(i["pid"]) < 100
    # Who does not read holds up nobody's end for long.
    deaf = [Control(folder) for _ in range(20)]
    for d in deaf:
        for _ in range(2000):
            try:
                d.send(b'{"method": "config"}\n', ())
            except OSError:
                break
    began = time.monotonic()
    assert vz("stop", "--now", "one").status == 0
    assert time.monotonic() - began < 20


def test_hostile_clients(vz, machine):
    folder = machine("one")
    vz("start", "one")
    c = Control(folder)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(10):
            c.send(b"x" * (1 << 20))
    many = [Control(folder) for _ in range(70)]  # more than it takes
    for m in many:
        m.close()
    c = Control(folder)
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
    for _ in range(300):  # descriptors that nobody asked for
        c.send({"id": 1, "method": "info"}, fds)
    for _ in range(300):
        assert c.line()["result"]["state"] == "running"
    pid = info(vz, "one")["pid"]
    assert descriptors(pid) < 100
    deaf = Control(folder)
    deaf.socket.settimeout(5)
    with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
        for _ in range(100000):  # never reads an answer
            deaf.send(b'{"id": 1, "method": "config"}\n' * 100)
    assert info(vz, "one")["state"] == "running"


def test_console(vz, machine):
    # Writes "ok" to COM1, then gives back what it gets, without an end.
    code = (b"\x66\xba\xf8\x03\xb0o\xee\xb0k\xee"              # mov dx, 0x3f8; "ok"
            b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7"            # until there is something
            b"\x66\xba\xf8\x03\xec\xee\xeb\xef")
    folder = machine("one", code=code)
    vz("start", "one")
    c = Control(folder)
    assert c.call("console", recent=100)["result"] == {}
    end = os.fdopen(c.fds.pop(), "r+b", buffering=0)
    assert end.read(2) == b"ok"
    end.write(b"hello")
    got = b""
    while len(got) < 5:
        got += end.read(100)
    assert got == b"hello"
    vz("stop", "--now", "one")
    assert end.read(1) == b""
    assert (folder / "console.log").read_bytes() == b"okhello"
