# SPDX-License-Identifier: MIT
"""A window that is open while its machine is restored: it says how far that is, and shows the machine when it is there."""
import json
import os
import socket
import subprocess
import time

import pytest

from conftest import BUILD, SLOWER
from test_window import LIMIT_S, Machine, ask_to_close, choose, initrd, screen, show_picture  # noqa: F401

pytestmark = pytest.mark.skipif(not os.path.exists(f"{BUILD}/vz-view"),
                                reason="vz-view is not built: there is no GTK 4 (libgtk-4-dev)")


class Link:
    """The machine's process, as a window knows it (docs/control.md): answers in its place."""

    def __init__(self, screen, name):
        here, there = socket.socketpair()
        self.p = subprocess.Popen([f"{BUILD}/vz-view", "--fd", str(there.fileno()), "--name", name], env=screen.env,
                                  pass_fds=[there.fileno()], stderr=subprocess.PIPE, text=True)
        there.close()
        here.settimeout(LIMIT_S)
        self.socket, self.file = here, here.makefile("r")

    def say(self, **message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def serve(self, state, until):
        """Answer what is asked while the machine is in that state, until that is, which is refused."""
        while True:
            request = json.loads(self.file.readline())
            results = {"subscribe": {}, "info": {"state": state, "hearsPowerButton": False}, "usb-devices": {"devices": []}}
            if request["method"] == until:
                self.say(id=request["id"], error={"code": 5, "message": "the machine is not live"})
                return
            self.say(id=request["id"], result=results[request["method"]])

    def close(self):
        self.p.kill()
        self.p.wait()


def wait(condition):
    end = time.monotonic() + 30 * SLOWER
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_line_says_how_far_it_is(screen):
    link = Link(screen, "desk")
    try:
        link.serve("restoring", until="display")
        screen.window("desk \\(restoring\\)", link.p, time.monotonic() + LIMIT_S)
        time.sleep(1)  # it is drawn
        before = screen.pixels(0, 0, 1280, 847)
        link.say(event="progress", of="restore", done=50, total=200)
        wait(lambda: screen.pixels(0, 0, 1280, 847) != before)
        quarter = screen.pixels(0, 0, 1280, 847)
        link.say(event="progress", of="restore", done=150, total=200)
        wait(lambda: screen.pixels(0, 0, 1280, 847) not in (before, quarter))
        link.say(event="state", state="running")
        link.serve("running", until="display")  # now it asks again; refused once, as in the moment between, it does so once more
        link.serve("running", until="display")
        assert "not live" in link.p.stderr.read()
        assert link.p.wait(timeout=60) == 1
    finally:
        link.close()


def test_a_machine_is_restored_into_its_window(screen, kernels, initrd, tmp_path):
    """And the same picture is there, without a word of the guest's."""
    m = Machine(screen, kernels["amd64"], initrd, "--pointer", "--save", tmp_path / "state")
    try:
        width, height, left, top = show_picture(m)
        seed = int([line for line in m.said if line.startswith("mode")][-1].split()[3])
        choose(m, ask_to_close(m, 1280), "alt+s")
        assert m.p.wait(timeout=LIMIT_S) == 0
    finally:
        m.close()
    m = Machine(screen, None, None, "--restore", tmp_path / "state")
    try:
        m.window()
        assert m.place(width, height, seed) == (left, top)
        m.tell("cursor 0")
        m.wait("cursor")
        m.tell("quit")
        assert m.p.wait(timeout=LIMIT_S) == 0
    finally:
        m.close()
