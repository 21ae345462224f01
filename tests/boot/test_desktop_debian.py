# SPDX-License-Identifier: MIT
"""Debian with Xfce and its SPICE agent, as `make demo-desktop` has it, on two displays: its viewers' sizes, what is drawn, files
that are dropped, and a machine that is saved with all that open. A quarter of an hour, and the network, so only where VZ_LONG
asks for it."""
import os
import statistics
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import LONG, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import viewer_channel  # noqa: E402
from machines import Control  # noqa: E402
from pattern_picture import Screen  # noqa: E402

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
    """xpattern in the guest: what it says."""

    def __init__(self):
        self.p = subprocess.Popen(in_desktop("/home/debian/xpattern", "watch"), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()

    def wait(self, *sizes):
        """The displays' seeds, when they have these sizes."""
        seeds = {}
        for line in self.p.stdout:
            _, display, width, height, seed = line.split()
            seeds[int(display)] = (int(width), int(height), int(seed))
            if [seeds.get(i, ())[:2] for i in range(len(sizes))] == list(sizes) and int(display) == len(sizes) - 1:
                return [seeds[i][2] for i in range(len(sizes))]
        raise AssertionError("it draws no more")

    def close(self):
        self.watchdog.cancel()
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
    ok("wait", NAME, "--for", "agent", "--timeout", "30m")
    until(lambda: all(map(has_window, ("Desktop", "xfce4-panel"))))
    program, _ = guest_drivers.program(folder, "tests/boot/programs/xpattern.c")
    ok("cp", program, f"{NAME}:/home/debian/xpattern")
    ok("exec", NAME, "--", "chmod", "755", "/home/debian/xpattern")
    subprocess.run(in_desktop("xhost", "+local:"), stdin=subprocess.DEVNULL, check=True)
    yield folder / f"{NAME}.vz"
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


def show(screens, sizes, seeds):
    for screen, size, seed in zip(screens, sizes, seeds):
        screen.wait(*size, seed, 60 * SLOWER)


def test_the_desktop_follows_its_viewers(screens, drawing):
    for screen, size in zip(screens, (FIRST, SECOND)):
        screen.resize(*size)
    show(screens, (FIRST, SECOND), drawing.wait(FIRST, SECOND))
    taken, times = screens[0].memory_taken(), []
    for n in range(int(os.environ.get("NN","24")) * LONG):
        size, began = (640 + 56 * n % 800, 480 + 83 * n % 500), time.monotonic()  # the agent makes widths multiples of 8
        screens[0].resize(*size)
        seeds = drawing.wait(size, SECOND)
        times.append(time.monotonic() - began)
        show(screens, (size, SECOND), seeds)
    print(f"followed after {min(times):.3f} s at best, {statistics.median(times):.3f} s, {max(times):.3f} s at worst")
    screens[0].resize(*FIRST)
    show(screens, (FIRST, SECOND), drawing.wait(FIRST, SECOND))
    assert screens[0].memory_taken() <= taken + (1 << 20)


def test_files_that_are_dropped_arrive(screens, tmp_path):
    path = tmp_path / "a file.bin"
    path.write_bytes(os.urandom(3000001))
    with open(path, "rb") as f:
        screens[0].channel.send_file(1, path.name, f.fileno())
        until(lambda: subprocess.run(in_desktop("sh", "-c", "cmp -s ~/Desktop/'a file.bin' - || cmp -s ~/Downloads/'a file.bin' -"),
                                     stdin=open(path, "rb")).returncode == 0)
    assert viewer_channel.FILE  # its news are read by nobody here, which holds up nothing


def test_it_is_saved_and_restored_as_it_is(desk, tmp_path):
    for name in "before", "after":
        ok("screenshot", NAME, tmp_path / f"{name}.png")
        if name == "before":
            ok("save", NAME)
            ok("start", NAME)
    assert all(map(has_window, ("Desktop", "xfce4-panel")))
    sizes = [(tmp_path / f"{name}.png").read_bytes()[16:24] for name in ("before", "after")]
    assert sizes[0] == sizes[1]
