# SPDX-License-Identifier: MIT
"""Debian with Xfce and its SPICE agent, as `make demo-desktop` has it, on two displays: it follows its viewers' sizes, and what is
drawn is seen; files dropped on a viewer are in the user's folder. A quarter of an hour, and the network, so only where VZ_LONG
asks for it."""
import hashlib
import os
import statistics
import struct
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import LONG, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
from machines import Control  # noqa: E402
from pattern_picture import Pattern, Screen  # noqa: E402
from viewer_channel import FILE  # noqa: E402

pytestmark = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes minutes and the network: VZ_LONG=1")

LIMIT_S = 1800 * SLOWER
NAME, FIRST, SECOND = "desk", (1280, 800), (1024, 768)


def ok(*words):
    r = subprocess.run([VZ, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S)
    assert r.returncode == 0, (words, r)
    return r.stdout


def in_desktop(*words):
    return [VZ, "exec", NAME, "--user", "debian", "--env", "DISPLAY=:0", "--", *map(str, words)]


def until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(2)


def has_window(name):
    r = subprocess.run(in_desktop("timeout", 60, "xwininfo", "-name", name), stdin=subprocess.DEVNULL, capture_output=True)
    return b"IsViewable" in r.stdout


class Drawing:
    """xpattern in the guest, and what it says has been drawn last."""

    def __init__(self):
        self.p = subprocess.Popen(in_desktop("/home/debian/xpattern", "watch"), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)
        self.said = {}
        threading.Thread(target=self.hear, daemon=True).start()

    def hear(self):
        for line in self.p.stdout:
            _, display, *picture = line.split()
            self.said[int(display)] = tuple(map(int, picture))

    def wait(self, *sizes):
        """Till the displays have these sizes; it may be drawn anew once they lie where they are to."""
        end = time.monotonic() + LIMIT_S
        while [self.said.get(i, ())[:2] for i in range(len(sizes))] != list(sizes):
            assert time.monotonic() < end and self.p.poll() is None, self.said
            time.sleep(0.01)

    def is_seen(self, screens):
        return all(screen.has(Pattern(*self.said[i])) for i, screen in enumerate(screens))

    def close(self):
        self.p.kill()
        self.p.wait()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    os.environ["VZ_HOME"] = str(folder)
    subprocess.run([f"{ROOT}/scripts/desktop-image"], check=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", f"{ROOT}/cache/desktop.img", folder / "disk"], check=True)
    ok("create", NAME, "--boot-disk", folder / "disk", "--cmdline", "root=/dev/vda console=ttyS0 cryptomgr.notests quiet",
       "--cpus", 2, "--memory", "2G", "--rng", "--display", "1280x800,scanout=1024x768", "--keyboard", "--pointer",
       "--clipboard")
    ok("start", NAME)
    try:
        ok("wait", NAME, "--for", "agent", "--timeout", "30m")
        until(lambda: all(map(has_window, ("Desktop", "xfce4-panel"))))
        program, _ = guest_drivers.program(folder, "tests/boot/programs/xpattern.c")
        ok("cp", program, f"{NAME}:/home/debian/xpattern")
        ok("exec", NAME, "--", "chmod", "755", "/home/debian/xpattern")
        subprocess.run(in_desktop("xhost", "+local:"), stdin=subprocess.DEVNULL, check=True)
        yield folder / f"{NAME}.vz"
    finally:
        subprocess.run([VZ, "stop", "--now", NAME], stderr=subprocess.DEVNULL)
        del os.environ["VZ_HOME"]


@pytest.fixture
def screens(desk):
    control = Control(desk)
    made = [Screen(control, display) for display in (0, 1)]
    yield made
    for s in made:
        s.channel.close()
    control.close()


@pytest.fixture
def drawing(desk):
    d = Drawing()
    yield d
    d.close()


def show(screens, drawing, *sizes):
    """How long it took till the guest had followed; all is seen then."""
    began = time.monotonic()
    drawing.wait(*sizes)
    took, end = time.monotonic() - began, time.monotonic() + 120 * SLOWER
    while not drawing.is_seen(screens):
        assert time.monotonic() < end, drawing.said
        for screen in screens:
            screen.look(0.2)
    return took


def test_the_desktop_follows_its_viewers(screens, drawing):
    for screen, size in zip(screens, (FIRST, SECOND)):
        screen.resize(*size)
    show(screens, drawing, FIRST, SECOND)
    taken, times = screens[0].memory_taken(), []
    for n in range(24 * LONG):
        size = (640 + 56 * n % 800, 480 + 83 * n % 500)  # the agent makes widths multiples of 8
        screens[0].resize(*size)
        times.append(show(screens, drawing, size, SECOND))
    print(f"followed after {min(times):.3f} s at best, {statistics.median(times):.3f} s, {max(times):.3f} s at worst")
    screens[0].resize(*FIRST)
    show(screens, drawing, FIRST, SECOND)
    assert screens[0].memory_taken() <= taken + (1 << 20)


GOES_ON, ARRIVED = range(2)


def test_files_that_are_dropped_arrive(screens, tmp_path):
    """By spice-vdagent, which puts them where the user's desktop has its files."""
    channel = screens[0].channel
    for number, (name, size) in enumerate((("Brief, \u00e4 \u6f22.txt", 100), ("large", (3 << 20) + 1), ("a piece", 65536), ("empty", 0))):
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        with open(path, "rb") as f:
            channel.send_file(number, name, f.fileno())
        channel.socket.settimeout(LIMIT_S)
        state = GOES_ON
        while state == GOES_ON:
            data, _ = channel.wait(FILE)
            state, which, done, total = struct.unpack_from("=xxxxIQQQ", data)
            assert which == number and done <= total == size
        assert state == ARRIVED, (name, state)
        found = ok("exec", NAME, "--user", "debian", "--", "find", "/home/debian", "-name", name, "-exec", "sha256sum", "{}", "+")
        assert found.startswith(hashlib.sha256(path.read_bytes()).hexdigest()), (name, found)
