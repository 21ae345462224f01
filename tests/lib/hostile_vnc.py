# SPDX-License-Identifier: MIT
"""What stands in for vz-vnc in tests, and is a viewer's: it says what it likes by its two sockets and the channels that it
gets (tools/vz/vnc/vnc_orders.h, <vz/display_channel.h>). A script that begins with this module is put in vz-vnc's place."""
import array
import os
import socket
import struct
import sys
import threading

START, VIEW, CHANNEL, CLOSED = 1, 2, 3, 4
TEXT = 256
NEXT, KEY, POINTER, TOUCHES, SIZE, NEXT_COPIED, GET, COPY, PASTED, SEND_FILE, CANCEL_FILE = range(0x81, 0x8c)
CLIENTS = 8


def receive(s, size, flags=0):
    """(bytes, descriptor or None)."""
    data, extra, _, _ = s.recvmsg(size, socket.CMSG_SPACE(4), flags)
    fds = array.array("i")
    for _, _, body in extra:
        fds.frombytes(body[:len(body) - len(body) % 4])
    return data, fds[0] if fds else None


def send(s, data, fd=None, flags=0):
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else [], flags)


def memory(text=b'{"address": "127.0.0.1:1", "password": "x", "url": "http://127.0.0.1:1/"}'):
    fd = os.memfd_create("view")
    os.write(fd, text)
    return fd


def flood(say):
    """say(1), say(2), ... beside everything else, until nobody hears it any more."""

    def run():
        n = 0
        while True:
            n += 1
            try:
                say(n)
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()


class Process:
    def __init__(self):
        self.orders = socket.socket(fileno=int(sys.argv[1]))
        self.number, self.wishes = 0, None
        while self.wishes is None:
            kind, fd = self.order()
            self.wishes = socket.socket(fileno=fd) if kind == START else None
        self.answer()

    def order(self):
        """The next one's kind, and what came along. The end is the end."""
        data, fd = receive(self.orders, 16384)
        if not data:
            sys.exit(0)
        kind, self.number = struct.unpack("<II", data[:8])
        return kind, fd

    def answer(self, code=0, text=b"", fd=None, number=None, flags=0):
        send(self.orders, struct.pack("<iI256s", code, self.number if number is None else number, text), fd, flags)

    def wish(self, kind, client, flags=0):
        send(self.wishes, struct.pack("<II", kind, client), None, flags)

    def channel(self, client):
        self.wish(CHANNEL, client)
        answer, fd = receive(self.wishes, 8 + TEXT)
        assert fd is not None, answer
        s = socket.socket(fileno=fd)
        _, shared = receive(s, 4096)  # HELLO
        os.close(shared)
        return s

    def serve(self):
        """As it should be: an address whenever one is wanted."""
        while True:
            self.order()
            fd = memory()
            self.answer(fd=fd)
            os.close(fd)
