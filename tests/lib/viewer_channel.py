# SPDX-License-Identifier: MIT
"""A viewer's end of a display's channel (<vz/display_channel.h>), for tests: messages as bytes, of a machine in the background."""
import array
import os
import socket
import struct

HELLO, UPDATE, CURSOR, COPIED, GOT, PASTE, FILE = range(1, 8)
NEXT, KEY, POINTER, TOUCHES, SIZE, NEXT_COPIED, GET, COPY, PASTED, SEND_FILE, CANCEL_FILE = range(0x81, 0x8c)
TOUCHES_MAX, NAME_MAX = 5, 256


class Channel:
    def __init__(self, control, timeout=60, display=0):
        """control: of tests/cli/machines.py."""
        assert "result" in control.call("display", display=display)
        self.socket = socket.socket(fileno=control.fds.pop())
        self.socket.settimeout(timeout)
        self.memory = None
        assert self.hear()[0] == HELLO

    def hear(self):
        """Kind, bytes and descriptor (or None) of the next message; kind 0: the end."""
        data, extra, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4))
        fds = array.array("i")
        for level, kind, body in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(body)
        if not data:
            return 0, b"", None
        kind = struct.unpack_from("=I", data)[0]
        if kind == HELLO:
            self.memory = fds.pop()
        return kind, data, fds[0] if fds else None

    def wait(self, wanted):
        """The next message of that kind."""
        while True:
            kind, data, fd = self.hear()
            assert kind, "the machine has hung up"
            if kind == wanted:
                return data, fd

    def say(self, kind, body=b"", fd=None):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        self.socket.sendmsg([struct.pack("=I", kind) + body], extra)

    def touch(self, fingers):
        """(x, y) of each, from now on."""
        each = [(i, *f) for i, f in enumerate(fingers)] + [(0, 0, 0)] * (TOUCHES_MAX - len(fingers))
        self.say(TOUCHES, struct.pack("=II15I", len(fingers), 0, *(n for f in each for n in f)))

    def get(self, selection, kind, serial, request):
        self.say(GET, struct.pack("=IIIQ", selection, kind, serial, request))

    def send_file(self, number, name, fd):
        self.say(SEND_FILE, struct.pack("=IQ256s", 0, number, name.encode()), fd)

    def close(self):
        self.socket.close()
        if self.memory is not None:
            os.close(self.memory)
