# SPDX-License-Identifier: MIT
"""Copy and paste with Debian's spice-vdagent, in an X server without a screen. Some ten minutes and the network, so
only where VZ_LONG=1 asks for it."""
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest

from conftest import ROOT, SLOWER, VZ

sys.path.insert(0, f"{ROOT}/tests/lib")
import rfb_client  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("VZ_LONG") != "1", reason="takes minutes and the network: VZ_LONG=1")

NAME = "desk"
# vdagentd wants a uinput device, also where nobody points; the session's agent waits for X and for vdagentd.
SESSION = """#!/bin/sh
systemctl stop spice-vdagentd.socket spice-vdagentd
rm -f /run/spice-vdagentd/spice-vdagent-sock; mkdir -p /run/spice-vdagentd; touch /tmp/uinput
setsid Xvfb :0 >/dev/null 2>&1 &
while [ ! -e /tmp/.X11-unix/X0 ]; do sleep 1; done
setsid spice-vdagentd -X -x -f -u /tmp/uinput >/dev/null 2>&1 &
while [ ! -e /run/spice-vdagentd/spice-vdagent-sock ]; do sleep 1; done
DISPLAY=:0 setsid spice-vdagent -x -d >/tmp/agent.log 2>&1 &
"""


def ok(*words, **more):
    r = subprocess.run([VZ, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=1800, **more)
    assert r.returncode == 0, r
    return r.stdout


def guest(script):
    return ok("exec", NAME, "--", "sh", "-c", f"export DISPLAY=:0\n{script}", stdin=subprocess.DEVNULL)


def state():
    return json.loads(ok("clipboard", NAME, "--json"))


def until(condition):
    end = time.monotonic() + 120 * SLOWER
    while not condition():
        assert time.monotonic() < end, state()
        time.sleep(0.5)


def pasted(*more):
    """What xclip pastes in the guest, once it gets anything."""
    words = " ".join(more)
    return guest(f"for i in $(seq 60); do timeout 60 xclip -o {words} 2>/dev/null && break; sleep 1; done")


def copy(path, *more):
    guest(f"setsid xclip {' '.join(more)} {path} >/dev/null 2>&1")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    os.environ["VZ_HOME"], os.environ["XDG_CACHE_HOME"] = str(folder / "home"), str(folder / "cache")
    ok("create", NAME, "--from", "debian", "--packages", "spice-vdagent,xvfb,xclip", "--clipboard",
       "--display", "1024x768", stdin=subprocess.DEVNULL)
    begin(folder)
    yield NAME
    subprocess.run([VZ, "delete", "--force", NAME])
    del os.environ["VZ_HOME"], os.environ["XDG_CACHE_HOME"]


def begin(folder):
    ok("start", NAME)
    ok("wait", NAME, "--timeout", "10m")
    (folder / "session").write_text(SESSION)
    ok("cp", folder / "session", f"{NAME}:/root/session")
    guest("sh /root/session </dev/null >/dev/null 2>&1")
    until(lambda: state()["agent"])


def test_text_and_pictures_both_ways(desk, tmp_path):
    ok("clipboard", NAME, "set", input="Zeile, äöü\n漢字\n".encode())
    assert pasted("-selection clipboard").decode() == "Zeile, äöü\n漢字\n"
    ok("clipboard", NAME, "set", "--primary", input=b"word")
    assert pasted("-selection primary") == b"word"
    picture = tmp_path / "a.png"
    picture.write_bytes(os.urandom(3000000))
    sum = hashlib.sha256(picture.read_bytes()).hexdigest()
    ok("clipboard", NAME, "set", "--type", "png", picture)
    assert guest("sleep 1; xclip -o -selection clipboard -t image/png | sha256sum").decode().split()[0] == sum

    guest("printf 'from the guest, ß' >/tmp/text")
    copy("/tmp/text", "-selection clipboard")
    until(lambda: state()["clipboard"] == {"types": ["text"], "guest": True})
    assert ok("clipboard", NAME, "get").decode() == "from the guest, ß"
    ok("cp", picture, f"{NAME}:/tmp/a.png")
    copy("/tmp/a.png", "-selection primary -t image/png")
    until(lambda: state()["primary"] == {"types": ["png"], "guest": True})
    assert hashlib.sha256(ok("clipboard", NAME, "get", "--primary", "--type", "png")).hexdigest() == sum


def test_a_viewer_sets_the_size_of_the_screen(desk):
    view = json.loads(ok("view", NAME, "--vnc", "--json"))
    c = rfb_client.Client(int(view["address"].rsplit(":", 1)[1]), view["password"])
    c.want(rfb_client.ENCODING_RAW, rfb_client.ENCODING_EXTENDED_SIZE)
    for width, height in (800, 600), (640, 480):
        c.resize(width, height)
        until(lambda: b"resolution, arg1: %d, arg2: %d" % (width, height) in guest("cat /tmp/agent.log"))
    c.sock.close()


def test_an_agent_that_is_started_again_and_a_machine_that_is_saved(desk):
    ok("clipboard", NAME, "set", input=b"stays")
    guest("pkill -x spice-vdagent")
    until(lambda: not state()["agent"])
    guest("setsid spice-vdagent -x >/dev/null 2>&1 </dev/null & sleep 1")
    until(lambda: state()["agent"])
    assert pasted("-selection clipboard") == b"stays"
    guest("printf saved >/tmp/text")
    copy("/tmp/text", "-selection primary")
    until(lambda: state()["primary"]["guest"])
    ok("save", NAME)
    ok("start", NAME)
    assert state()["agent"] and state()["primary"] == {"types": ["text"], "guest": True}
    assert ok("clipboard", NAME, "get", "--primary") == b"saved"
    ok("clipboard", NAME, "set", input=b"after")
    assert pasted("-selection clipboard") == b"after"
