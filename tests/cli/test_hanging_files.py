# SPDX-License-Identifier: MIT
"""Files that other programs hand to a machine, on a file system whose server does not answer: whoever handed them over may
wait for that, but the machine and its other clients do not."""
import struct
import sys
import time

import pytest

from conftest import ROOT, SLOWER
from machines import Control, home, machine  # noqa: F401

sys.path.insert(0, f"{ROOT}/tests/lib")
import hanging_files  # noqa: E402
import viewer_channel  # noqa: E402

LIMIT_S = 20 * SLOWER


@pytest.fixture
def folder(tmp_path):
    try:
        f = hanging_files.Folder(tmp_path / "hangs")
    except hanging_files.CannotMount as e:
        pytest.skip(f"no FUSE file system can be mounted here: {e}")
    yield f
    f.close()


@pytest.fixture
def started(machine, vz):
    """The folder of a machine that runs."""
    where = machine("m", "--display", "640x480", "--clipboard")
    assert vz("start", "m").status == 0
    yield where


def test_control_goes_on(started, folder):
    given = folder.open()
    folder.hangs = True
    for method in "set-clipboard", "info", "nonsense":
        c = Control(started)
        c.socket.settimeout(LIMIT_S)
        began = time.monotonic()
        c.send({"id": 7, "method": method, "params": {}}, [given])
        answer = c.line()
        assert "file in memory" in answer["error"]["message"] if method == "set-clipboard" else answer["id"] == 7
        c.send(b"no JSON\n", [given])
        assert "error" in c.line()
        assert "result" in c.call("info") and time.monotonic() - began < LIMIT_S
        c.send(b"half a line", [given])
        c.close()


def test_viewers_go_on(started, folder):
    """A dropped file is its thread's business, from the first look at it to the last."""
    given = folder.open()
    control = Control(started)
    control.socket.settimeout(LIMIT_S)
    viewers = [viewer_channel.Channel(control, LIMIT_S) for _ in range(3)]
    folder.hangs = True
    for v in viewers:
        v.send_file(1, "letter.txt", given)
        v.say(viewer_channel.PASTED, struct.pack("=IQ", 1, 77), given)  # which nobody has asked for
        v.say(viewer_channel.NEXT)
    for v in viewers:
        v.wait(viewer_channel.UPDATE)
        v.close()
    for _ in range(4):  # those are gone, and their places are given to others
        again = viewer_channel.Channel(control, LIMIT_S)
        again.say(viewer_channel.NEXT)
        again.wait(viewer_channel.UPDATE)
        again.close()
    assert "result" in control.call("info")
    control.close()
