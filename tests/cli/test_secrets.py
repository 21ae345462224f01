# SPDX-License-Identifier: MIT
"""What is secret is not found where a guest's bytes go: in the memory of a machine's processes once it has been used, in what
they were started with, in what they log and print."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from conftest import VZ
from test_sandbox import SPIN, children, statuses

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or "VZ_SANITIZER" in os.environ,
                                reason="only root can look into a process that is not dumpable; sanitizers keep what is freed")
PASSPHRASE = "correct-Horse-battery-71"
WORD = "Zq7vXk2w"
KEY = "5a3c" * 16


def found(pid, secret):
    """Where in the process' memory it is: kinds of mappings."""
    where = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \d+\s*(.*)", line)
            if not m or m[3].startswith("[v"):  # the kernel's own
                continue
            begin, end = int(m[1], 16), int(m[2], 16)
            memory.seek(begin)
            if secret in (memory.read(end - begin) or b""):
                where.append(m[3] or "(anonymous)")
    return where


def argvs():
    """What all processes of ours were started with, and what is in their environment."""
    seen = b""
    for pid, status in statuses().items():
        if status["Name"].startswith("vz"):
            for name in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{name}", "rb") as f:
                        seen += f.read()
                except OSError:
                    pass
    return seen


def has_run(stat):
    """Such a guest spins; before it does its CPU's thread, which a restore has for a while, has next to no time."""
    try:
        with open(stat, encoding="utf-8") as f:
            name, rest = f.read().rsplit(")", 1)
    except OSError:
        return False
    return "(vz-cpu0" in name and int(rest.split()[11]) > 0


def wait_for_cpu(pid):
    deadline = time.monotonic() + 60
    while not any(map(has_run, glob.glob(f"/proc/{pid}/task/*/stat"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def run(tiny_kernel, tmp_path):
    """run(ARG...): the process of a machine that runs, and the file with what it says."""
    began = []
    kernel = tiny_kernel(SPIN)

    def start(*args, kernel=kernel):
        with open(tmp_path / f"said{len(began)}", "w", encoding="utf-8") as said:
            p = subprocess.Popen([VZ, "run", *(["--kernel", str(kernel), "--accel", "soft", "--memory", "32M"] if kernel else []),
                                  *map(str, args)],
                                 stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, "VZ_LOG": "debug"})
        began.append(p)
        wait_for_cpu(p.pid)
        return p, tmp_path / f"said{len(began) - 1}"

    yield start
    for p in began:
        p.kill()
        p.wait()


def test_what_is_searched_is_found(run, tmp_path):
    """Else nothing of this would say anything: the name of a disk is no secret."""
    disk = tmp_path / "Not-a-secret-4711.img"
    disk.write_bytes(bytes(1 << 20))
    p, _ = run("--disk", disk)
    assert found(p.pid, b"Not-a-secret-4711") and b"Not-a-secret-4711" in argvs()


@pytest.mark.parametrize("how", ["file", "pipe"])
def test_a_passphrase_of_vz_run(run, tmp_path, how):
    """It is read for a moment at the start and at the end; one that can be read only once is kept for the save, and only for that."""
    word, state = tmp_path / "word", tmp_path / "state"
    word.write_text(PASSPHRASE + "\n")
    p, said = run("--save", state, "--passphrase-file", word)
    assert found(p.pid, PASSPHRASE.encode()) == [] and PASSPHRASE.encode() not in argvs()
    p.terminate()
    p.wait()
    assert state.exists() and PASSPHRASE not in said.read_text()
    if how == "pipe":
        word.unlink()
        os.mkfifo(word)
        writer = subprocess.Popen(["python3", "-c", f"open({str(word)!r}, 'w').write({PASSPHRASE + chr(10)!r})"])
        p, said = run("--restore", state, "--passphrase-file", word, kernel=None)
        writer.wait()
    else:
        p, said = run("--restore", state, "--passphrase-file", word, kernel=None)
    assert found(p.pid, PASSPHRASE.encode()) == []
    assert PASSPHRASE not in said.read_text()


def test_a_passphrase_of_a_machine_in_the_background(vz, tiny_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    monkeypatch.setenv("VZ_LOG", "debug")
    folder, word = tmp_path / "m.vz", tmp_path / "word"
    folder.mkdir()
    word.write_text(PASSPHRASE + "\n")
    r = vz("run", "--kernel", tiny_kernel(SPIN), "--accel", "soft", "--memory", "32M", "--print-config")
    (folder / "config.json").write_text(r.out)
    assert vz("start", "m").status == 0
    try:
        (folder / "saved.state.new").mkdir()  # in the way of what is saved: it fails, and the machine goes on
        (folder / "saved.state.new" / "x").mkdir()
        (folder / "saved.state").mkdir()
        (folder / "saved.state" / "x").mkdir()
        assert vz("save", "m", "--passphrase-file", word).status == 1
        shutil.rmtree(folder / "saved.state.new", ignore_errors=True)
        shutil.rmtree(folder / "saved.state", ignore_errors=True)
        pid = json.loads(vz("inspect", "m", "--json").out)["pid"]
        assert found(pid, PASSPHRASE.encode()) == []
        assert vz("save", "m", "--passphrase-file", word).status == 0
        assert vz("restore", "m", "--passphrase-file", word).status == 0
        shown = vz("inspect", "m", "--json").out
        assert found(json.loads(shown)["pid"], PASSPHRASE.encode()) == []
        assert PASSPHRASE not in shown and PASSPHRASE.encode() not in argvs()
        assert PASSPHRASE not in (folder / "vz.log").read_text()
    finally:
        vz("stop", "--now", "m")


@pytest.mark.skipif(not shutil.which("nbdkit"), reason="there is no nbdkit")
def test_a_key_of_an_nbd_server_is_its_connectors(run, tmp_path):
    """The process that speaks TLS has it; the one with the guest's memory never."""
    keys = tmp_path / "keys.psk"
    keys.write_text(f"alice:{KEY}\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(["nbdkit", "-f", "-p", str(port), "--tls=require", f"--tls-psk={keys}", "memory", "1M"])
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        p, said = run("--disk", f"nbds://alice@localhost:{port}/?tls-psk-file={keys}")
        assert [s["Name"] for s in children(p.pid).values()] == ["vz-nbd"]
        assert found(p.pid, KEY.encode()) == [] and found(p.pid, bytes.fromhex(KEY)) == []
        assert KEY not in said.read_text() and KEY.encode() not in argvs()
    finally:
        server.kill()
        server.wait()


def test_a_password_for_viewers(run, tmp_path):
    """The process that listens has it, as it asks for it; the one with the guest's memory never, nor is it printed."""
    word = tmp_path / "word"
    word.write_text(WORD + "\n")
    p, said = run("--vnc", "127.0.0.1", "--vnc-password-file", word, "--net", "nat")
    deadline = time.monotonic() + 20
    while "VNC at" not in said.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    names = {s["Name"]: child for child, s in children(p.pid).items()}
    assert set(names) == {"vz-nat", "vz-vnc"}
    assert found(p.pid, WORD.encode()) == found(names["vz-nat"], WORD.encode()) == []
    assert found(names["vz-vnc"], WORD.encode()) != []
    token = re.search(r"token=(\w+)", said.read_text())[1]
    assert found(p.pid, token.encode()) == [] and found(names["vz-vnc"], token.encode()) != []
    assert WORD not in said.read_text() and WORD.encode() not in argvs()


def test_a_password_that_is_made_up(vz, tiny_kernel, tmp_path, monkeypatch):
    """`vz view` hears it from the process that listens; the machine's only passes a file on."""
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    folder = tmp_path / "m.vz"
    folder.mkdir()
    r = vz("run", "--kernel", tiny_kernel(SPIN), "--accel", "soft", "--memory", "32M", "--display", "800x600", "--print-config")
    (folder / "config.json").write_text(r.out)
    assert vz("start", "m").status == 0
    try:
        pid = json.loads(vz("inspect", "m", "--json").out)["pid"]
        where = json.loads(vz("view", "m", "--web", "--json").out)
        token = re.search(r"token=(\w+)", where["url"])[1]
        [listener] = [child for child, s in children(pid).items() if s["Name"] == "vz-vnc"]
        for secret in where["password"].encode(), token.encode():
            assert found(pid, secret) == [] and found(listener, secret) != []
            assert secret not in argvs() and secret.decode() not in (folder / "vz.log").read_text()
    finally:
        vz("stop", "--now", "m")
