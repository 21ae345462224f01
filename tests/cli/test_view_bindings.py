# SPDX-License-Identifier: MIT
"""The GTK view from Python and by GtkBuilder, through GObject introspection."""
import glob
import os
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT
from machines import Control, home, machine  # noqa: F401 (fixtures)

sys.path.insert(0, f"{ROOT}/tests/lib")
import x_display  # noqa: E402

pytestmark = pytest.mark.skipif(not glob.glob(f"{BUILD}/gtk/VzGtk-*.typelib"),
                                reason="libvz-gtk is built without GObject introspection (libgirepository1.0-dev)")

PROGRAM = """
import sys
import gi
gi.require_version("Gtk", "4.0")
gi.require_version("VzGtk", "0")
from gi.repository import GLib, GObject, Gtk, VzGtk

GObject.type_ensure(VzGtk.MachineView.__gtype__)  # so that GtkBuilder knows it
view = Gtk.Builder.new_from_string('''<interface><object class="VzMachineView" id="view">
    <property name="automatically-reconfigures-display">true</property></object></interface>''', -1).get_object("view")
assert view.get_automatically_reconfigures_display() and not view.props.captures_system_keys
try:
    view.set_channel(0)
    raise AssertionError("standard input is no channel")
except GLib.Error as e:
    assert "no display" in e.message, e
window = Gtk.Window(child=view, default_width=800, default_height=600)
assert view.set_channel(int(sys.argv[1])) and view.props.connected and view.get_display_count() == 2
window.present()
view.send_keys([0x000700e0, 0x000700e2, 0x0007004c])
assert view.get_texture() is None
print("shown", flush=True)
while view.props.connected:
    GLib.MainContext.default().iteration(True)
print("over")
"""


def test_python_and_builder_have_the_view(machine, vz, tmp_path):  # noqa: F811
    folder = machine("desk", "--display", "640x480,scanout=800x600", "--keyboard")
    assert vz("start", "desk").status == 0
    control, screen = Control(folder), x_display.Display(str(tmp_path))
    try:
        assert control.call("display", display=2)["error"]["code"] == 30004
        assert "result" in control.call("display", display=1) and len(control.fds) == 1
        p = subprocess.Popen(["/usr/bin/python3", "-c", PROGRAM, str(control.fds[0])], pass_fds=control.fds, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             env={**screen.env, "GI_TYPELIB_PATH": f"{BUILD}/gtk",
                                  "LD_LIBRARY_PATH": f"{BUILD}/gtk:{BUILD}/src"})
        os.close(control.fds[0])
        assert p.stdout.readline() == "shown\n"
        assert vz("stop", "desk", "--now").status == 0
        assert p.stdout.read() == "over\n" and p.wait(timeout=60) == 0
    finally:
        screen.close()
