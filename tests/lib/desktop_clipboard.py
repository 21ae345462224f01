# SPDX-License-Identifier: MIT
"""A program of the desktop's that copies and pastes as it is told (GTK 4, run by the system's Python):

    copy SELECTION TYPE HEX   "copied"
    paste SELECTION TYPE      "pasted HEX", or "failed"
    types SELECTION           "types TYPE ..."

where SELECTION is clipboard or primary."""
import os
import subprocess
import sys
import threading

PYTHON = "/usr/bin/python3"


class Client:
    """The program, from a test."""

    def __init__(self, env):
        self.p = subprocess.Popen([PYTHON, __file__], env=env, text=True, bufsize=1, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, *words):
        self.p.stdin.write(" ".join(words) + "\n")
        return self.p.stdout.readline().split()

    def copy(self, selection, kind, data):
        assert self.ask("copy", selection, kind, data.hex()) == ["copied"]

    def paste(self, selection, kind):
        """None: there is nothing."""
        answer = self.ask("paste", selection, kind)
        return bytes.fromhex("".join(answer[1:])) if answer[0] == "pasted" else None

    def types(self, selection):
        return self.ask("types", selection)[1:]

    def close(self):
        self.p.kill()
        self.p.wait()


def possible():
    return subprocess.run([PYTHON, "-c", "import gi; gi.require_version('Gdk', '4.0')"], stderr=subprocess.DEVNULL).returncode == 0


def main():
    import gi
    gi.require_version("Gtk", "4.0")
    from gi.repository import Gdk, Gio, GLib, Gtk
    Gtk.init()
    display = Gdk.Display.get_default()
    loop = GLib.MainLoop()
    clipboards = {"clipboard": display.get_clipboard(), "primary": display.get_primary_clipboard()}

    def say(*words):
        print(*words, flush=True)

    def on_all(sink, result):
        try:
            sink.splice_finish(result)
            say("pasted", sink.steal_as_bytes().get_data().hex())
        except GLib.Error:
            say("failed")

    def on_stream(clipboard, result):
        try:
            stream, _ = clipboard.read_finish(result)
        except GLib.Error:
            say("failed")
            return
        flags = Gio.OutputStreamSpliceFlags.CLOSE_SOURCE | Gio.OutputStreamSpliceFlags.CLOSE_TARGET
        sink = Gio.MemoryOutputStream.new_resizable()
        sink.splice_async(stream, flags, GLib.PRIORITY_DEFAULT, None, on_all)

    def obey(line):
        words = line.split()
        if not words:
            loop.quit()
        elif words[0] == "copy":
            data = GLib.Bytes.new(bytes.fromhex("".join(words[3:])))
            clipboards[words[1]].set_content(Gdk.ContentProvider.new_for_bytes(words[2], data))
            say("copied")
        elif words[0] == "paste":
            clipboards[words[1]].read_async([words[2]], GLib.PRIORITY_DEFAULT, None, on_stream)
        elif words[0] == "types":
            say("types", *clipboards[words[1]].get_formats().get_mime_types() or [])
        return False

    def hear():
        for line in iter(sys.stdin.readline, ""):
            GLib.idle_add(obey, line)
        os._exit(0)

    threading.Thread(target=hear, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
