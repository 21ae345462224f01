# SPDX-License-Identifier: MIT
"""A machine in a window (vz run --view), on an X server without a monitor: the guest's pixels on the screen, its mode that
follows the window, what is typed and pointed, and how the window is closed."""
import queue
import re
import subprocess
import sys
import threading
import time

import pytest

import boots
import guest_drivers
from conftest import BUILD, ROOT, SLOWER, VZ

sys.path.insert(0, f"{ROOT}/tests/lib")
import x_display  # noqa: E402

LIMIT_S = 300 * SLOWER
DRIVERS = ("drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf", "virtio-gpu",
           "usb-common", "usbcore", "xhci-hcd", "xhci-pci", "hid", "hid-generic", "usbhid", "hid-multitouch", "evdev")
ABS_X, ABS_Y, REL_X, REL_Y, REL_WHEEL, REL_WHEEL_HI_RES = 0, 1, 0, 1, 8, 11
LEFT_CTRL, LEFT_ALT, BTN_LEFT = 29, 56, 272

pytestmark = pytest.mark.skipif(not __import__("os").path.exists(f"{BUILD}/vz-view"),
                                reason="vz-view is not built: there is no GTK 4 (libgtk-4-dev)")


@pytest.fixture(scope="module")
def initrd(tmp_path_factory, initramfs):
    folder = tmp_path_factory.mktemp("window")
    files = guest_drivers.files(folder, (*guest_drivers.VIRTIO, *DRIVERS), kernel="amd64")
    script = (guest_drivers.load((*guest_drivers.VIRTIO, *DRIVERS)) +
              "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\n"
              "for i in $(seq 100); do [ -e /dev/input/event1 ] && break; sleep 0.1; done\ndesktop\npoweroff -f\n")
    return initramfs(script, guest_drivers.program(folder, "tests/boot/programs/desktop.c"), *files)


@pytest.fixture
def screen(tmp_path):
    d = x_display.Display(str(tmp_path))
    yield d
    d.close()


def pattern(seed, x, y):
    """display_pattern.h"""
    return ((x * 73 + y * 151 + seed * 7919 + 1) * 2654435761 & 0xffffffff) >> 8


class Machine:
    """In a window, and what its guest says."""

    def __init__(self, screen, kernel, initrd, *options):
        self.screen = screen
        self.p = subprocess.Popen([VZ, "run", "--kernel", kernel, "--initrd", initrd, "--memory", "512M", "--cmdline",
                                   f"console=ttyS0 quiet {boots.PATIENT}", "--keyboard", "--display", "800x600", "--view",
                                   *map(str, options)], env=screen.env, text=True, bufsize=1,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self.hear, daemon=True).start()
        threading.Thread(target=self.p.stderr.read, daemon=True).start()

    def hear(self):
        for line in self.p.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def line(self, timeout=LIMIT_S):
        line = self.lines.get(timeout=timeout)
        assert line is not None, self.said
        self.said.append(line)
        return line

    def wait(self, start, timeout=LIMIT_S):
        """The first line that begins so; split."""
        while True:
            line = self.line(timeout)
            if line.startswith(start):
                return line.split()

    def tell(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def settle(self, seconds=0.4):
        """What it says till it says nothing for a while."""
        found = []
        try:
            while True:
                found.append(self.line(timeout=seconds))
        except queue.Empty:
            return found

    def keys(self):
        """What has been typed: (code, value) without repetitions."""
        return [(int(a), int(b)) for a, b in (line.split()[1:] for line in self.settle() if line.startswith("key "))
                if b != "2"]

    def window(self, name="vz run"):
        end = time.monotonic() + LIMIT_S
        while not self.screen.windows(name):
            assert time.monotonic() < end and self.p.poll() is None
            time.sleep(0.1)
        return self.screen.windows(name)[-1]

    def focus(self):
        self.screen.xdo("windowfocus", self.window())
        self.settle()

    def place(self, width, height, seed):
        """Where on the screen the guest's picture is, of which all pixels are right."""
        end = time.monotonic() + 60 * SLOWER
        while True:
            rows = self.screen.pixels(0, 0, 1600, 1000)
            want = [tuple(pattern(seed, x, y) & 0xffffff for x in range(width)) for y in range(height)]
            for top in range(0, 1000 - height):
                for left in range(0, 40):
                    if rows[top][left:left + width] == want[0] and \
                            all(rows[top + y][left:left + width] == want[y] for y in range(height)):
                        return left, top
            assert time.monotonic() < end, "the guest's picture is not on the screen"
            time.sleep(0.2)

    def close(self):
        self.watchdog.cancel()
        self.p.kill()
        self.p.wait()


@pytest.fixture
def machine(screen, kernels, initrd):
    made = []

    def make(*options):
        made.append(Machine(screen, kernels["amd64"], initrd, *options))
        return made[-1]

    yield make
    for m in made:
        m.close()


def test_pixels_sizes_keys_and_pointer(machine, screen):
    m = machine("--pointer")
    w = m.window()
    m.wait("devices")
    width, height, seed = map(int, m.wait("mode")[1:])
    m.settle(1)
    width, height, seed = map(int, [s for s in m.said if s.startswith("mode")][-1].split()[1:])
    left, top = m.place(width, height, seed)
    print(width, height, left, top)
