# SPDX-License-Identifier: MIT
"""An X server without a monitor (Xvfb): what is on its screen, and keys and a pointer for it (xdotool)."""
import os
import struct
import subprocess
import time


class Display:
    def __init__(self, folder):
        read, write = os.pipe()
        self.folder = folder
        self.p = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-fbdir", folder,
                                   "-nolisten", "tcp", "-noreset"], pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            number = f.readline().strip()
        assert number, "Xvfb has not started"
        self.env = {**os.environ, "DISPLAY": f":{number}", "GDK_BACKEND": "x11", "GTK_A11Y": "none",
                    "NO_AT_BRIDGE": "1"}
        self.env.pop("WAYLAND_DISPLAY", None)

    def close(self):
        self.p.terminate()
        self.p.wait(timeout=60)

    def do(self, *argv):
        return subprocess.check_output([*map(str, argv)], env=self.env, text=True, timeout=60)

    def xdo(self, *argv):
        return self.do("xdotool", *argv)

    def windows(self, name):
        """Those whose title contains it, as numbers; the last one is the newest."""
        r = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", name], env=self.env, text=True,
                           stdout=subprocess.PIPE, timeout=60)
        return r.stdout.split()

    def window(self, name, program, end):
        """The newest of them, which a program opens before that time."""
        while not (found := self.windows(name)):
            assert time.monotonic() < end and program.poll() is None
            time.sleep(0.1)
        return found[-1]

    def pixels(self, x, y, width, height):
        """Rows of 0x00RRGGBB: a part of the screen."""
        with open(f"{self.folder}/Xvfb_screen0", "rb") as f:
            data = f.read()
        head = struct.unpack(">25I", data[:100])
        stride, at = head[12], head[0] + 12 * head[19]
        rows = (data[at + (y + row) * stride + 4 * x:][:4 * width] for row in range(height))
        return [tuple(p & 0xffffff for p in struct.unpack(f"<{width}I", row)) for row in rows]
