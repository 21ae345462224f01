# SPDX-License-Identifier: MIT
"""Files and text that are dropped on the view arrive in the guest, by an agent (programs/spiceagent.c) that does as it is told."""
import glob
import os
import queue
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import BUILD, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import desktop_clipboard  # noqa: E402
import x_display  # noqa: E402
from machines import Control, home  # noqa: E402, F401

LIMIT_S = 60 * SLOWER
DRIVERS = (*guest_drivers.VIRTIO, "virtio_console")

pytestmark = pytest.mark.skipif(not glob.glob(f"{BUILD}/gtk/VzGtk-*.typelib"),
                                reason="libvz-gtk is built without GObject introspection (libgirepository1.0-dev)")

PROGRAM = """
import os, sys
import gi
gi.require_version("Gdk", "4.0")
gi.require_version("Gtk", "4.0")
gi.require_version("VzGtk", "0")
from gi.repository import Gdk, Gio, GLib, GObject, Gtk, VzGtk

view = VzGtk.MachineView()
window = Gtk.Window(child=view, default_width=400, default_height=300, title="a view")
assert view.set_channel(int(sys.argv[1]))
view.connect("file-sent", lambda view, name, error: print("sent", repr(name), error, flush=True))
view.connect("notify::files-fraction", lambda view, spec: print(
    "progress", view.props.files_pending, round(view.props.files_fraction, 2), flush=True))
window.present()
controllers = view.observe_controllers()
target = next(c for c in (controllers.get_item(i) for i in range(controllers.get_n_items())) if isinstance(c, Gtk.DropTarget))

def on_line(*_):
    words = eval(sys.stdin.readline())
    if words[0] == "files":
        value = GObject.Value(Gdk.FileList, Gdk.FileList.new_from_list([Gio.File.new_for_path(p) for p in words[1:]]))
        print("dropped", target.emit("drop", value, 5.0, 5.0), flush=True)
    elif words[0] == "text":
        print("dropped", target.emit("drop", GObject.Value(str, words[1]), 5.0, 5.0), flush=True)
    else:
        view.cancel_files()
    return True

GLib.io_add_watch(0, GLib.IO_IN, on_line)
while view.props.connected:
    GLib.MainContext.default().iteration(True)
"""


class View:
    """A machine, its agent and a view of it."""

    def __init__(self, vz, home, tmp_path, kernel, initrd):
        self.vz, self.screen = vz, x_display.Display(str(tmp_path))
        assert vz("create", "desk", "--kernel", kernel, "--initrd", initrd, "--cmdline", "console=ttyS0 quiet", "--display",
                  "800x600", "--keyboard", "--clipboard").status == 0
        assert vz("start", "desk").status == 0
        self.console = subprocess.Popen([VZ, "console", "desk"], text=True, bufsize=1, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.guest = self.lines_of(self.console)
        self.wait(self.guest, "caps")
        control = Control(home / "desk.vz")
        assert "result" in control.call("display")
        self.p = subprocess.Popen([desktop_clipboard.PYTHON, "-c", PROGRAM, str(control.fds[0])], pass_fds=control.fds,
                                  text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env={**self.screen.env, "GI_TYPELIB_PATH": f"{BUILD}/gtk",
                                       "LD_LIBRARY_PATH": f"{BUILD}/gtk:{BUILD}/src"})
        os.close(control.fds[0])
        self.view = self.lines_of(self.p)

    @staticmethod
    def lines_of(p):
        lines = queue.Queue()

        def hear():
            for line in p.stdout:
                lines.put(line.strip())

        threading.Thread(target=hear, daemon=True).start()
        return lines

    def until(self, lines, start):
        """All up to one that begins so."""
        seen = []
        while not seen or not seen[-1].startswith(start):
            seen.append(lines.get(timeout=LIMIT_S))
        return seen

    def wait(self, lines, start):
        return self.until(lines, start)[-1]

    def drop(self, *what):
        """What the view says meanwhile."""
        self.p.stdin.write(repr(what) + "\n")
        *meanwhile, last = self.until(self.view, "dropped")
        assert last == "dropped True"
        return meanwhile

    def tell_view(self, *what):
        self.p.stdin.write(repr(what) + "\n")

    def tell_guest(self, line):
        self.console.stdin.write(line + "\n")

    def offered(self, path):
        """The guest's number of a file."""
        _, number, text = self.wait(self.guest, "file").split(" ", 2)
        assert text.endswith(f"|size={path.stat().st_size}|"), text
        return number, text

    def close(self):
        for p in (self.p, self.console):
            p.kill()
            p.wait()
        self.vz("stop", "desk", "--now")
        self.screen.close()


@pytest.fixture(scope="module")
def initrd(initramfs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    script = guest_drivers.load(DRIVERS) + "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\nspiceagent\npoweroff -f\n"
    return initramfs(script, guest_drivers.program(folder, "tests/boot/programs/spiceagent.c"),
                     *guest_drivers.files(folder, DRIVERS))


@pytest.fixture
def view(vz, home, tmp_path, kernels, initrd):  # noqa: F811
    v = View(vz, home, tmp_path, kernels["cloud"], initrd)
    yield v
    v.close()


def total(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xffffffff
    return value


def test_what_is_dropped_arrives(view, tmp_path):
    v = view
    for length in (0, 1, 65536, 3000001):
        path = tmp_path / f"letter {length}.txt"
        data = bytes(i * 37 % 251 for i in range(length))
        path.write_bytes(data)
        v.drop("files", str(path))
        number, text = v.offered(path)
        assert text.startswith(f"[vdagent-file-xfer]|name=letter {length}.txt|")
        v.tell_guest(f"take {number}")
        assert v.wait(v.guest, "came") == f"came {number} {length} {total(data)}"
        assert v.wait(v.view, "sent") == f"sent 'letter {length}.txt' None"
    names = ["\n[x]\nsize=1", " a\\b", "name=", "grüße 漢字", "%s%n$(reboot)`x`;&"]
    for name in names:
        path = tmp_path / name
        path.write_bytes(b"1234")
        v.drop("files", str(path))
        number, text = v.offered(path)
        assert text.count("|") == 3, text  # a name adds no line
        v.tell_guest(f"take {number}")
        v.wait(v.guest, "came")
        assert v.wait(v.view, "sent") == f"sent {name!r} None"
    v.drop("text", "from elsewhere")
    v.screen.xdo("windowfocus", v.screen.windows("a view")[0])
    v.wait(v.guest, "grab 0 1")
    v.tell_guest("paste 0 1")
    assert v.wait(v.guest, "pasted") == f"pasted 0 1 14 {total(b'from elsewhere')}"


def test_what_does_not_arrive_is_told(view, tmp_path):
    v = view
    big = tmp_path / "big"
    with open(big, "wb") as f:
        f.truncate(1 << 34)
    os.mkfifo(tmp_path / "pipe")
    for name, why in ((".", "folders cannot be sent"), ("pipe", "no regular file"), ("nothing", "no file of this computer")):
        assert why in v.drop("files", str(tmp_path / name))[0]
    for result, why in ((1, "cancelled"), (2, "cannot write"), (4, "no space"), (5, "locked"), (6, "nobody has logged in")):
        v.drop("files", str(big))
        number, _ = v.offered(big)
        v.tell_guest(f"status {number} {result}")
        assert why in v.wait(v.view, "sent")
    v.drop("files", str(big), str(big), str(big), str(big))
    first, _ = v.offered(big)
    second, _ = v.offered(big)
    v.tell_guest(f"take {first}")
    assert v.wait(v.view, "progress 4 0.0")  # goes on, and the others wait
    v.tell_view("cancel")
    assert {v.wait(v.guest, "cancelled").split()[1], v.wait(v.guest, "cancelled").split()[1]} == {first, second}
    for _ in range(4):
        assert "cancelled" in v.wait(v.view, "sent")
    v.drop("files", str(big))
    number, _ = v.offered(big)
    v.tell_guest(f"take {number}")
    time.sleep(0.5)
    os.truncate(big, 1 << 20)  # under our feet
    assert "cannot be read" in v.wait(v.view, "sent")
    assert v.wait(v.guest, "cancelled").split()[1] == number
    v.drop("files", str(big))
    number, _ = v.offered(big)
    v.tell_guest("close")
    assert "no SPICE agent" in v.wait(v.view, "sent")
    v.tell_guest("open")
    v.wait(v.guest, "caps")
    v.drop("files", str(big))
    number, _ = v.offered(big)
    v.p.kill()  # the window goes with a file on its way
    assert v.wait(v.guest, "cancelled").split()[1] == number
