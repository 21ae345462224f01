# SPDX-License-Identifier: MIT
"""The window's clipboard: what is copied on the desktop is pasted in the guest, and the other way round, by an agent in the
guest (programs/spiceagent.c) and a program on the desktop (tests/lib/desktop_clipboard.py) that do as they are told."""
import contextlib
import glob
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

import guest_drivers
from conftest import BUILD, ROOT, SLOWER, VZ
from test_window import Machine

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import desktop_clipboard  # noqa: E402
import others_sockets  # noqa: E402
import x_display  # noqa: E402
from machines import Control, home  # noqa: E402, F401

LIMIT_S = 60 * SLOWER
DRIVERS = (*guest_drivers.VIRTIO, "virtio_console")
TEXT, PNG = "text/plain;charset=utf-8", "image/png"
NUMBER = {TEXT: 1, PNG: 2}
MARK = "application/x-vz-machine-"
OPTIONS = ("--keyboard", "--display", "800x600", "--clipboard")

pytestmark = [pytest.mark.skipif(not os.path.exists(f"{BUILD}/vz-view"),
                                 reason="vz-view is not built: there is no GTK 4 (libgtk-4-dev)"),
              pytest.mark.skipif(not desktop_clipboard.possible(), reason="the system's Python has no GTK 4 (gir1.2-gtk-4.0)")]


@pytest.fixture(scope="module")
def initrd(initramfs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clipboard")
    script = guest_drivers.load(DRIVERS) + "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\nspiceagent\npoweroff -f\n"
    return initramfs(script, guest_drivers.program(folder, "tests/boot/programs/spiceagent.c"),
                     *guest_drivers.files(folder, DRIVERS))


@pytest.fixture
def screen(tmp_path):
    d = x_display.Display(str(tmp_path))
    yield d
    d.close()


@pytest.fixture
def desktop(screen):
    c = desktop_clipboard.Client(screen.env)
    yield c
    c.close()


def guests(length):
    """What the guest copies."""
    return bytes(ord("a") + (i * 7 + i // 251) % 26 for i in range(length))


def total(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xffffffff
    return str(value)


def until(what):
    end = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def silence(m, seconds=1):
    return [line for line in m.settle(seconds) if line.split()[0] in ("grab", "released", "asked")]


def is_guests(desktop, selection, kind):
    types = desktop.types(selection)
    return kind in types and any(t.startswith(MARK) for t in types)


def to_guest(m, desktop, selection, kind, data):
    number = "01"[selection == "primary"]
    desktop.copy(selection, kind, data)
    while m.wait("grab") != ["grab", number, str(NUMBER[kind])]:
        pass
    m.tell(f"paste {number} {NUMBER[kind]}")
    assert m.wait("pasted") == ["pasted", number, str(NUMBER[kind]), str(len(data)), total(data)]


def from_guest(m, desktop, selection, kind, length):
    number = "01"[selection == "primary"]
    m.tell(f"offer {number} {NUMBER[kind]} {length}")
    until(lambda: is_guests(desktop, selection, kind))
    assert silence(m, 0.3) == []  # nothing has travelled yet
    assert desktop.paste(selection, kind) == guests(length)
    assert m.wait("asked") == ["asked", number, str(NUMBER[kind])]


@pytest.fixture
def machine(screen, kernels, initrd):
    m = Machine(screen, kernels["cloud"], initrd, *OPTIONS[3:])
    m.window()
    m.wait("caps")
    yield m
    m.close()


def test_both_ways_on_demand(machine, screen, desktop):
    m = machine
    m.focus()
    for selection, kind, length in (("clipboard", TEXT, 1), ("primary", TEXT, 2048), ("clipboard", PNG, 70000),
                                    ("primary", PNG, 3000001)):
        to_guest(m, desktop, selection, kind, bytes(i * 37 % 251 for i in range(length)))
        from_guest(m, desktop, selection, kind, length)
    to_guest(m, desktop, "clipboard", TEXT, "grüße, 漢字\nand lines".encode())
    m.tell("offer 0 1 10")
    until(lambda: is_guests(desktop, "clipboard", TEXT))
    m.tell("offer 0 2 20")  # other content, of which the desktop hears
    until(lambda: is_guests(desktop, "clipboard", PNG))
    assert TEXT not in desktop.types("clipboard") and desktop.paste("clipboard", PNG) == guests(20)
    m.tell("release 0")
    until(lambda: desktop.types("clipboard") == [])
    m.tell("claim 0 1 70000000")  # more than there may be
    until(lambda: is_guests(desktop, "clipboard", TEXT))
    assert not desktop.paste("clipboard", TEXT)


def test_only_while_the_user_is_there(machine, screen, desktop):
    m = machine
    m.focus()
    to_guest(m, desktop, "clipboard", TEXT, b"for the guest")
    screen.xdo("mousemove", 1590, 990, "windowfocus", "1")
    time.sleep(0.3)
    m.tell("paste 0 1")  # the user is elsewhere
    assert m.wait("pasted") == ["pasted", "0", "0", "0", "0"]
    desktop.copy("clipboard", TEXT, b"a secret")
    assert silence(m) == []
    m.tell("offer 0 1 5")
    time.sleep(0.5)
    assert desktop.paste("clipboard", TEXT) == b"a secret"
    m.focus()  # and comes back with it
    m.tell("paste 0 1")
    assert m.wait("pasted") == ["pasted", "0", "1", "8", total(b"a secret")]
    m.tell("offer 0 1 5")  # what the guest has copied is the desktop's when the user has left, too
    until(lambda: is_guests(desktop, "clipboard", TEXT))
    screen.xdo("mousemove", 1590, 990, "windowfocus", "1")
    assert desktop.paste("clipboard", TEXT) == guests(5)
    m.tell("offer 0 1 7")
    until(lambda: desktop.paste("clipboard", TEXT) == guests(7))
    os.kill(int(screen.xdo("getwindowpid", m.window())), 9)
    until(lambda: desktop.types("clipboard") == [])
    m.tell("paste 0 1")
    assert m.wait("pasted")[2] == "0"


PROGRAM = """
import sys
import gi
gi.require_version("Gtk", "4.0")
gi.require_version("VzGtk", "0")
from gi.repository import GLib, Gtk, VzGtk

view = VzGtk.MachineView(shares_clipboard=False)
window = Gtk.Window(child=view, default_width=400, default_height=300, title="a view")
assert view.set_channel(int(sys.argv[1]))
window.present()

def on_line(*_):
    line = sys.stdin.readline()
    view.props.shares_clipboard = line.startswith("share")
    print("done", flush=True)
    return True

GLib.io_add_watch(0, GLib.IO_IN, on_line)
while view.props.connected:
    GLib.MainContext.default().iteration(True)
"""


@pytest.mark.skipif(not glob.glob(f"{BUILD}/gtk/VzGtk-*.typelib"),
                    reason="libvz-gtk is built without GObject introspection (libgirepository1.0-dev)")
def test_it_can_be_switched_off(vz, home, screen, desktop, kernels, initrd):
    assert vz("create", "desk", "--kernel", kernels["cloud"], "--initrd", initrd, "--cmdline", "console=ttyS0 quiet", *OPTIONS).status == 0
    assert vz("start", "desk").status == 0
    p = None
    try:
        until(lambda: "caps" in vz("logs", "desk").out)
        control = Control(home / "desk.vz")
        assert "result" in control.call("display")
        p = subprocess.Popen([desktop_clipboard.PYTHON, "-c", PROGRAM, str(control.fds[0])], pass_fds=control.fds, text=True,
                             bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             env={**screen.env, "GI_TYPELIB_PATH": f"{BUILD}/gtk", "LD_LIBRARY_PATH": f"{BUILD}/gtk:{BUILD}/src"})
        until(lambda: screen.windows("a view"))
        screen.xdo("windowfocus", screen.windows("a view")[0])

        def tell(word):
            p.stdin.write(word + "\n")
            assert p.stdout.readline() == "done\n"

        desktop.copy("clipboard", TEXT, b"not for it")
        time.sleep(1)
        assert "grab" not in vz("logs", "desk").out
        tell("share")
        until(lambda: vz("clipboard", "desk", "get").out == "not for it")
        assert "grab 0 1" in vz("logs", "desk").out
        tell("off")
        until(lambda: "released 0" in vz("logs", "desk").out)
        assert vz("clipboard", "desk", "get").status == 1
    finally:
        if p:
            p.kill()
            p.wait()
        vz("stop", "desk", "--now")


def test_two_windows_do_not_answer_each_other(vz, home, screen, desktop, kernels, initrd):
    r = vz("create", "desk", "--kernel", kernels["cloud"], "--initrd", initrd, "--cmdline", "console=ttyS0 quiet", *OPTIONS)
    assert r.status == 0, r
    assert vz("start", "desk").status == 0
    viewers = [subprocess.Popen([VZ, "view", "desk"], env=screen.env) for _ in range(2)]
    try:
        until(lambda: len(screen.windows("desk")) == 2 and "caps" in vz("logs", "desk").out)
        for n in range(10):
            for window in screen.windows("desk"):
                screen.xdo("windowfocus", window, "sleep", "0.1")
        screen.xdo("windowfocus", screen.windows("desk")[0], "sleep", "0.5")
        desktop.copy("clipboard", TEXT, b"once")
        until(lambda: "grab 0 1" in vz("logs", "desk").out)
        for n in range(10):
            for window in screen.windows("desk"):
                screen.xdo("windowfocus", window, "sleep", "0.1")
        log = vz("logs", "desk").out
        assert 1 <= log.count("grab 0 1") <= 2, log  # each window may have told it, when the user came to it
        assert vz("clipboard", "desk", "get").out == "once"
    finally:
        for v in viewers:
            v.kill()
            v.wait()
        vz("stop", "desk", "--now")


def test_what_is_copied_is_heard_of_after_the_machine_has_not_read(machine, screen, desktop):
    """The window asks for the guest's next copy while nothing can be sent to the machine; it asks again."""
    machine.focus()
    viewer = int(screen.xdo("getwindowpid", machine.window()))
    channels = [s.dup() for s in others_sockets.sockets(viewer) if s.type == socket.SOCK_SEQPACKET]
    if not channels:
        pytest.skip("this process may not have the window's sockets (ptrace)")
    os.kill(viewer, signal.SIGSTOP)
    machine.tell("offer 0 1 100")
    time.sleep(0.5 * SLOWER)  # the window has been told
    os.kill(machine.p.pid, signal.SIGSTOP)
    for s in channels:
        with contextlib.suppress(BlockingIOError):
            while True:
                s.send(b"\0\0\0\x7f", socket.MSG_DONTWAIT)  # a message of a later version
        s.close()
    os.kill(viewer, signal.SIGCONT)
    until(lambda: is_guests(desktop, "clipboard", TEXT))
    time.sleep(0.5)
    os.kill(machine.p.pid, signal.SIGCONT)
    machine.tell("offer 0 2 200")
    until(lambda: is_guests(desktop, "clipboard", PNG))
