# SPDX-License-Identifier: MIT
"""What scripts/bench-display measures with a clock: from a key to the pixels that the guest draws for it, and from a start
to the first that firmware draws; by VNC, and in a window on an X server without a monitor."""
import mmap
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from common import ROOT, Failed

sys.path.append(os.path.join(ROOT, "tests/lib"))
import rfb_client  # noqa: E402
import x_display  # noqa: E402

KEY = ord("a")
SPOT = (90, 140)       # of the screen: where the guest's square is, wherever exactly the window has its picture
SQUARE = (10, 10)      # of the guest's picture
MIDDLE = (200, 200, 800, 500)  # x, y, width and height of the screen where a window's picture is
LIMIT_S = 120


def window_is_possible(build):
    return os.path.exists(f"{build}/vz-view") and bool(shutil.which("Xvfb") and shutil.which("xdotool"))


def summary(seconds):
    """Median and the worst but a tenth, in ms."""
    ms = sorted(1e3 * s for s in seconds)
    return statistics.median(ms), ms[len(ms) * 9 // 10]


def pause():
    """Nobody's timer is to be met each time."""
    time.sleep(0.05 + random.random() / 20)


# ---- by VNC ----

def connect(port, password):
    """A client of a server that may yet have to begin."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            return rfb_client.Client(port, password)
        except (ConnectionRefusedError, rfb_client.Refused):
            if time.monotonic() > end:
                raise Failed(f"no VNC server at port {port}") from None
            time.sleep(0.01)


def keys_by_vnc(port, password, count):
    """Seconds of each, from sending it to having the pixels."""
    client, found = connect(port, password), []
    client.want(rfb_client.ENCODING_RAW)
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.ask(incremental=False)
    client.update()
    client.ask()
    for _ in range(count):
        before, began = client.pixel(*SQUARE), time.monotonic()
        client.sock.sendall(b"".join(struct.pack(">BBxxI", 4, down, KEY) for down in (1, 0)))
        while client.pixel(*SQUARE) == before:
            client.update()
            client.ask()
        found.append(time.monotonic() - began)
        pause()
    client.sock.close()
    return found


def first_frame_by_vnc(port, password, began):
    """Seconds from then on until there is a picture of the guest's, and no word of the server's that there is none yet."""
    client, first = connect(port, password), None
    client.want(rfb_client.ENCODING_RAW, rfb_client.ENCODING_DESKTOP_SIZE)
    while first is None or client.picture == first or not any(any(row) for row in client.picture):
        if time.monotonic() - began > LIMIT_S:
            raise Failed("firmware draws nothing")
        client.ask(incremental=first is not None)
        client.update()
        first = first or [bytearray(row) for row in client.picture]
    return time.monotonic() - began


# ---- in a window ----

class Screen:
    """An X server's, whose pixels are looked at where they lie."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="vz-bench-")
        self.display = x_display.Display(self.folder.name)
        with open(f"{self.folder.name}/Xvfb_screen0", "rb") as f:
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        head = struct.unpack(">25I", self.map[:100])
        self.at, self.stride = head[0] + 12 * head[19], head[12]
        self.keyboard = subprocess.Popen(["xdotool", "-"], env=self.display.env, stdin=subprocess.PIPE, text=True, bufsize=1)
        return self

    def __exit__(self, *_):
        self.keyboard.stdin.close()
        self.keyboard.wait()
        self.map.close()
        self.display.close()
        self.folder.cleanup()

    def pixel(self, x, y):
        at = self.at + y * self.stride + 4 * x
        return self.map[at:at + 3]

    def colors(self):
        """Of some places in the middle."""
        x, y, width, height = MIDDLE
        return {self.pixel(i, j) for j in range(y, y + height, 10) for i in range(x, x + width, 10)}

    def wait(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"in a window: {what}")
            time.sleep(0.0005)


def keys_in_window(screen, machine, count):
    found = []
    window = screen.display.window("vz run", machine.process, time.monotonic() + LIMIT_S)
    screen.display.xdo("windowfocus", window)
    screen.wait(lambda: screen.pixel(*SPOT) in (b"\0\0\xff", b"\xff\0\0"), "the guest's square is not to be seen")
    for _ in range(count):
        before, began = screen.pixel(*SPOT), time.monotonic()
        screen.keyboard.stdin.write("key a\n")
        screen.wait(lambda: screen.pixel(*SPOT) != before, "a key does nothing")
        found.append(time.monotonic() - began)
        pause()
    return found


def first_frame_in_window(screen, began):
    screen.wait(lambda: len(screen.colors()) > 1, "firmware draws nothing")
    return time.monotonic() - began
