# SPDX-License-Identifier: MIT
"""A Wayland compositor without a monitor (sway) for tests, and a keyboard and a pointer of its: the protocols
virtual-keyboard-unstable-v1 and wlr-virtual-pointer-unstable-v1, spoken as bytes, since nothing in Debian sends any key by its
number."""
import array
import glob
import json
import os
import shutil
import socket
import struct
import subprocess
import time

WIDTH, HEIGHT = 1600, 1000
CONFIG = """xwayland disable
output * resolution {width}x{height} position 0 0 bg #204060 solid_color
default_border none
seat * fallback true
bindsym Mod4+x exec touch {folder}/taken
"""
KEYMAP = """xkb_keymap {
xkb_keycodes { include "evdev+aliases(qwerty)" };
xkb_types { include "complete" };
xkb_compat { include "complete" };
xkb_symbols { include "pc+%s+inet(evdev)" };
};
"""
SHIFT, CTRL, ALT, SUPER = 1, 4, 8, 64  # modifiers of it
DISPLAY, REGISTRY = 1, 2  # objects
NEXT_ID = 3
WAIT_S = 60


def not_as_root():
    """How to run what refuses to be root's."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def is_possible():
    return bool(shutil.which("sway")) and subprocess.run([*not_as_root(), "true"], stderr=subprocess.DEVNULL).returncode == 0


def text(s):
    data = s.encode() + b"\0"
    return struct.pack("=I", len(data)) + data.ljust(-len(data) % 4 + len(data), b"\0")


class Input:
    """A keyboard and a pointer of the compositor's seat."""

    def __init__(self, path):
        self.sock, self.next_id, self.globals = socket.socket(socket.AF_UNIX), NEXT_ID, {}
        self.sock.settimeout(WAIT_S)
        self.sock.connect(path)
        self.say(DISPLAY, 1, struct.pack("=I", REGISTRY))
        self.roundtrip()
        seat = self.bind("wl_seat")
        keyboards, pointers = map(self.bind, ("zwp_virtual_keyboard_manager_v1", "zwlr_virtual_pointer_manager_v1"))
        self.keyboard = self.make(keyboards, 0, seat)
        self.layout("us")
        self.pointer = self.make(pointers, 0, seat)
        self.roundtrip()

    def say(self, target, opcode, body=b"", fd=None):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        self.sock.sendmsg([struct.pack("=II", target, (len(body) + 8) << 16 | opcode) + body], extra)

    def take(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            assert more, "the compositor has hung up"
            data += more
        return data

    def roundtrip(self):
        """Till the compositor has done all that it was told."""
        done = self.new_id()
        self.say(DISPLAY, 0, struct.pack("=I", done))
        while True:
            target, size = struct.unpack("=II", self.take(8))
            body = self.take((size >> 16) - 8)
            assert (target, size & 0xffff) != (DISPLAY, 0), body
            if target == REGISTRY and size & 0xffff == 0:
                number, length = struct.unpack_from("=II", body)
                self.globals[body[8:8 + length - 1].decode()] = number
            if target == done:
                return

    def new_id(self):
        self.next_id += 1
        return self.next_id - 1

    def bind(self, interface):
        made = self.new_id()
        self.say(REGISTRY, 0, struct.pack("=I", self.globals[interface]) + text(interface) + struct.pack("=II", 1, made))
        return made

    def make(self, manager, opcode, seat):
        made = self.new_id()
        self.say(manager, opcode, struct.pack("=II", seat, made))
        return made

    @staticmethod
    def now():
        return int(time.monotonic() * 1000) & 0xffffffff

    def layout(self, name):
        keymap = (KEYMAP % name).encode() + b"\0"
        fd = os.memfd_create("keymap")
        os.write(fd, keymap)
        self.say(self.keyboard, 0, struct.pack("=II", 1, len(keymap)), fd)
        os.close(fd)

    def key(self, code, down):
        """Of Linux' numbers."""
        self.say(self.keyboard, 1, struct.pack("=III", self.now(), code, down))
        self.roundtrip()

    def type(self, *codes):
        for code in codes:
            self.key(code, 1)
            self.key(code, 0)

    def modifiers(self, held):
        self.say(self.keyboard, 2, struct.pack("=IIII", held, 0, 0, 0))

    def move(self, x, y):
        """Into the middle of a pixel, since the compositor counts in parts of the whole."""
        self.say(self.pointer, 1, struct.pack("=IIIII", self.now(), 2 * x + 1, 2 * y + 1, 2 * WIDTH, 2 * HEIGHT))
        self.frame()

    def move_by(self, dx, dy):
        self.say(self.pointer, 0, struct.pack("=Iii", self.now(), dx * 256, dy * 256))
        self.frame()

    def button(self, code, down):
        self.say(self.pointer, 2, struct.pack("=III", self.now(), code, down))
        self.frame()

    def wheel(self, notches):
        """As wheels of mice say it: 15 to a notch."""
        self.say(self.pointer, 5, struct.pack("=I", 0))
        self.say(self.pointer, 7, struct.pack("=IIii", self.now(), 0, notches * 15 * 256, notches))
        self.frame()

    def frame(self):
        self.say(self.pointer, 4)
        self.roundtrip()


class Compositor:
    def __init__(self, folder):
        folder.chmod(0o700)
        self.folder = folder
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "GDK_BACKEND": "wayland", "GTK_A11Y": "none"}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK"):
            self.env.pop(name, None)
        (folder / "config").write_text(CONFIG.format(width=WIDTH, height=HEIGHT, folder=folder))
        self.p = subprocess.Popen([*not_as_root(), "sway", "-c", folder / "config"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=(folder / "log").open("w"), env={
                                      **self.env, "WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1",
                                      "WLR_RENDERER": "pixman"})
        self.env["SWAYSOCK"], self.env["WAYLAND_DISPLAY"] = self.find("sway-ipc.*.sock"), self.find("wayland-?")
        self.input = Input(self.env["WAYLAND_DISPLAY"])

    def find(self, pattern):
        end = time.monotonic() + WAIT_S
        while not (found := glob.glob(f"{self.folder}/{pattern}")):
            assert time.monotonic() < end and self.p.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        return found[0]

    def tell(self, *words):
        return subprocess.run(["swaymsg", *words], env=self.env, check=True, capture_output=True, text=True).stdout

    def has_taken(self):
        """Have its own keys, Super-X, been its?"""
        end = time.monotonic() + WAIT_S
        while not (self.folder / "taken").exists():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def window_pid(self):
        """Of the first window."""
        nodes = [json.loads(self.tell("-t", "get_tree"))]
        while not nodes[0].get("pid"):
            nodes[:1] = nodes[0]["nodes"]
        return nodes[0]["pid"]

    def close(self):
        self.input.sock.close()
        self.p.terminate()
        self.p.wait(timeout=WAIT_S)
