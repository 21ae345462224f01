# SPDX-License-Identifier: MIT
"""Machines as folders, for tests: a home of their own, and a client of the control socket."""
import array
import json
import os
import socket

HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; and again


class Control:
    """A connection to a machine's control socket, in Python."""

    def __init__(self, folder):
        here = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"/proc/self/fd/{here}/control.sock")
        self.socket.settimeout(60)
        os.close(here)
        self.data, self.fds, self.id = b"", [], 0

    def send(self, line, fds=()):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"], extra)

    def line(self):
        """The next object; None at the end."""
        while b"\n" not in self.data:
            data, extra, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(16))
            for level, kind, body in extra:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    a = array.array("i")
                    a.frombytes(body[:len(body) - len(body) % a.itemsize])
                    self.fds += a
            if not data:
                return None
            self.data += data
        line, self.data = self.data.split(b"\n", 1)
        return json.loads(line)

    def call(self, method, **params):
        self.id += 1
        self.send({"id": self.id, "method": method, "params": params})
        while (answer := self.line()) is not None:
            if answer.get("id") == self.id:
                return answer
        return None

    def close(self):
        self.socket.close()
