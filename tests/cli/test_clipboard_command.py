# SPDX-License-Identifier: MIT
"""vz clipboard: what the guest copied is got, what is set it pastes."""
import json
import os
import re
import subprocess
import time

import pytest

import guest_drivers
from conftest import SLOWER, VZ
from machines import Control

DRIVERS = (*guest_drivers.VIRTIO, "virtio_console")
SIZE = 70000
INIT = f"(echo follow; echo offer 1 2 {SIZE}; sleep 100000) | spiceagent >/dev/ttyS0\n"


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
    folder.mkdir()
    config = subprocess.run([VZ, "run", "--print-config", "--kernel", kernel, "--memory", "128M", "--cmdline",
                             "console=ttyS0 quiet", *more], check=True, stdout=subprocess.PIPE)
    (folder / "config.json").write_bytes(config.stdout)
    subprocess.run([VZ, "start", name], check=True)
    return folder


@pytest.fixture(scope="module")
def log(home, kernels, initramfs, tmp_path_factory):
    """The console of a machine whose agent copies a picture, and pastes all that it is offered."""
    folder = tmp_path_factory.mktemp("guest")
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *guest_drivers.files(folder, DRIVERS),
                       guest_drivers.program(folder, "tests/boot/programs/spiceagent.c"))
    folder = start(home, "g", kernels["cloud"], "--initrd", initrd, "--clipboard")
    wait_for(lambda: json.loads(subprocess.check_output([VZ, "clipboard", "g", "-j"]))["primary"]["guest"])
    return folder / "console.log"


def wait_for(condition):
    end = time.monotonic() + 120 * SLOWER
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


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
                       (("g", "get", "--type", "gif"), "text, png"), (("g", "get", "/dev/full", "--primary", "--type", "png"),
                                                                      "/dev/full: No space")):
        r = vz("clipboard", *args)
        assert r.status == 1 and text in r.err and not r.out, r
    (tmp_path / "large").write_bytes(bytes((32 << 20) + 1))
    r = vz("clipboard", "g", "set", str(tmp_path / "large"))
    assert r.status == 1 and "32 MiB" in r.err


def test_other_programs_requests(log):
    c = Control(log.parent)
    for params in {"selection": "secondary"}, {"type": "gif"}, {"type": 1}, {}:
        assert "error" in c.call("set-clipboard", **params), params  # no content, either
    here, there = os.pipe()
    c.send({"id": 100, "method": "set-clipboard", "params": {}}, [here])  # one that never ends
    assert "file with the content" in c.line()["error"]["message"]
    os.close(there)
    os.close(here)
    assert c.call("clipboard")["result"]["agent"]
    c.close()


def test_a_machine_that_shares_none(vz, home, kernels, initramfs):
    start(home, "none", kernels["cloud"], "--initrd", initramfs("while :; do sleep 1000; done\n"))
    for verb in (), ("get",), ("set", "/dev/null"):
        r = vz("clipboard", "none", *verb)
        assert r.status == 1 and re.search("no port for a SPICE agent", r.err), r
