# SPDX-License-Identifier: MIT
"""Gestures of the user's trackpad are the guest's: what the window makes of them goes to a guest whose libinput says what it
takes them for, by hid-multitouch."""
import os
import re
import subprocess
import sys
import time

import pytest

import guest_drivers
from conftest import PATIENT, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import viewer_channel  # noqa: E402
from machines import Control, make_folder  # noqa: E402

LIMIT_S = 120 * SLOWER
LIBINPUT = "/usr/libexec/libinput/libinput-debug-events"
DRIVERS = (*guest_drivers.VIRTIO, "drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf", "virtio-gpu", "usb-common",
           "usbcore", "xhci-hcd", "xhci-pci", "hid", "hid-generic", "usbhid", "hid-multitouch", "evdev")
# udev's part: what kind of device that is, in its own words.
INIT = """exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
mkdir -p /run/udev/data
for i in $(seq 100); do grep -qs '[1-9]' /sys/class/input/event*/device/properties && break; sleep 0.1; done
sleep 0.5
for e in /sys/class/input/event*; do
    grep -q '[1-9]' $e/device/properties || continue
    printf 'I:1\\nE:ID_INPUT=1\\nE:ID_INPUT_TOUCHPAD=1\\n' >/run/udev/data/c$(cat $e/dev)
    echo "trackpad ${e##*/}"
    libinput --device /dev/input/${e##*/}
done
poweroff -f
"""
STEP_S = 0.015

pytestmark = pytest.mark.skipif(not os.path.exists(LIBINPUT), reason="there is no libinput-debug-events (package libinput-tools)")


@pytest.fixture(scope="module")
def folder(kernels, initramfs, tmp_path_factory):
    home, unpacked = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("kernel")
    quirks = [(f"/usr/share/libinput/{name}", f"usr/share/libinput/{name}") for name in os.listdir("/usr/share/libinput")]
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *guest_drivers.files(unpacked, DRIVERS, kernel="amd64"),
                       (LIBINPUT, "bin/libinput"), *guest_drivers.with_libraries(LIBINPUT), *quirks)
    os.environ["VZ_HOME"] = str(home)
    make_folder(home / "pad.vz", "--kernel", kernels["amd64"], "--initrd", initrd, "--memory", "256M", "--cmdline",
                f"console=ttyS0 quiet {PATIENT}", "--display", "800x600", "--trackpad")
    subprocess.run([VZ, "start", "pad"], check=True)
    yield home / "pad.vz"
    subprocess.run([VZ, "stop", "--now", "pad"], check=False)
    del os.environ["VZ_HOME"]


class Gestures:
    """What the window would send, and what the guest says to it."""

    def __init__(self, folder, program):
        self.folder, self.at = folder, 0
        self.window = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.wait(r"-event.*DEVICE_ADDED")
        control = Control(folder)
        self.channel = viewer_channel.Channel(control)
        control.close()

    def said(self):
        text = (self.folder / "console.log").read_text(errors="replace")
        return text[self.at:]

    def wait(self, pattern):
        end = time.monotonic() + LIMIT_S
        while not (m := re.search(pattern, self.said())):
            assert time.monotonic() < end, (pattern, self.said()[-2000:])
            time.sleep(0.05)
        return m

    def do(self, line):
        self.window.stdin.write(line + "\n")
        count, *places = map(int, self.window.stdout.readline().split())
        fingers = list(zip(places[::2], places[1::2]))
        assert len(fingers) == count
        self.channel.touch(fingers)
        time.sleep(STEP_S)

    def begin(self, fingers):
        self.at += len(self.said())
        self.do(f"begin {fingers}")
        time.sleep(0.2)

    def end(self, what):
        """What libinput has said till the gesture ended."""
        self.do("end")
        self.wait(rf"GESTURE_{what}_END")
        return self.said()

    def close(self):
        self.window.kill()
        self.window.wait()
        self.channel.close()


@pytest.fixture(scope="module")
def gestures(folder, tmp_path_factory):
    program = tmp_path_factory.mktemp("gestures") / "gestures"
    subprocess.run(["cc", "-O2", "-o", program, "-I", f"{ROOT}/gtk", "-I", f"{ROOT}/include", f"{ROOT}/tests/boot/gestures.c",
                    f"{ROOT}/gtk/view_gesture.c", "-lm"], check=True)
    g = Gestures(folder, program)
    yield g
    g.close()


def pinches(said):
    """(scale, degrees) of each step that libinput tells."""
    return [(float(scale), float(turn)) for scale, turn in re.findall(r"GESTURE_PINCH_UPDATE.* (-?[\d.]+) @ *(-?[\d.]+)", said)]


def test_a_pinch(gestures):
    for factors in [1 + n / 30 for n in range(31)], [1 - n / 60 for n in range(31)]:
        gestures.begin(2)
        for factor in factors:
            gestures.do(f"pinch {factor} 0")
        told = pinches(gestures.end("PINCH"))
        assert told and abs(told[-1][0] - factors[-1]) < 0.4 * abs(factors[-1] - 1) + 0.05, told
        assert abs(sum(turn for _, turn in told)) < 5


def test_a_turn(gestures):
    gestures.begin(2)
    for _ in range(40):
        gestures.do("pinch 1 0.03")  # 1.2, clockwise
    told = pinches(gestures.end("PINCH"))
    assert told and 35 < sum(turn for _, turn in told) < 75, told


@pytest.mark.parametrize("fingers", (3, 4))
def test_a_swipe(gestures, fingers):
    gestures.begin(fingers)
    for _ in range(40):
        gestures.do("swipe 8 0")
    said = gestures.end("SWIPE")
    moves = re.findall(r"GESTURE_SWIPE_UPDATE\s+\+?[\d.]+s\s+(\d+)\s+(-?[\d.]+)/\s*(-?[\d.]+)", said)
    assert moves and {int(count) for count, _, _ in moves} == {fingers}
    right, down = (sum(float(move[n]) for move in moves) for n in (1, 2))
    assert right > 20 and abs(down) < right / 4, (right, down)
