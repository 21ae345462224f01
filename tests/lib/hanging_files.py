# SPDX-License-Identifier: MIT
"""A file system (FUSE) with one file, whose server answers until it is told to hang, and then no more, for tests of who
waits for it. Mounting wants root."""
import contextlib
import ctypes
import os
import select
import struct
import threading

LOOKUP, GETATTR, OPEN, READ, FLUSH, INIT, FORGET, BATCH_FORGET = 1, 3, 14, 15, 25, 26, 2, 42
ROOT, FILE, SIZE = 1, 2, 4096
MS_NOSUID, MS_NODEV, MNT_DETACH = 2, 4, 2
ENOSYS = 38


class CannotMount(Exception):
    pass


def attr(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100644, SIZE)
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.getuid(), os.getgid(), 0, 4096, 0)


class Folder:
    def __init__(self, path):
        path.mkdir()
        self.path, self.hangs, self.stop, self.file = path, False, False, None
        self.libc = ctypes.CDLL(None, use_errno=True)
        try:
            self.device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as e:
            raise CannotMount(str(e)) from None
        options = f"fd={self.device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
        if self.libc.mount(b"hangs", os.fsencode(path), b"fuse", MS_NOSUID | MS_NODEV, options) != 0:
            os.close(self.device)
            raise CannotMount(os.strerror(ctypes.get_errno()))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def open(self):
        """The file, which is closed with the folder."""
        self.file = os.open(self.path / "file", os.O_RDONLY | os.O_CLOEXEC)
        return self.file

    def serve(self):
        while not self.stop:
            if not select.select([self.device], [], [], 0.1)[0]:
                continue
            try:
                request = os.read(self.device, 1 << 18)
            except OSError:  # unmounted
                return
            opcode, unique, node = struct.unpack_from("=4xIQQ", request)
            if not self.hangs and opcode not in (FORGET, BATCH_FORGET):
                self.answer(opcode, unique, node)

    def answer(self, opcode, unique, node):
        error, body = 0, b""
        if opcode == INIT:
            body = struct.pack("=4I2H2I2H8I", 7, 31, 0, 0, 16, 12, 65536, 1, 0, 0, *[0] * 8)
        elif opcode == LOOKUP:
            body = struct.pack("=4Q2I", FILE, 0, 0, 0, 0, 0) + attr(FILE)
        elif opcode == GETATTR:
            body = struct.pack("=Q2I", 0, 0, 0) + attr(node)
        elif opcode == OPEN:
            body = struct.pack("=Q2I", 1, 0, 0)
        elif opcode == READ:
            body = b"x" * SIZE
        elif opcode != FLUSH:
            error = ENOSYS
        os.write(self.device, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)

    def close(self):
        """Who waits for it gets an error now."""
        self.libc.umount2(os.fsencode(self.path), MNT_DETACH)
        self.stop = True
        self.thread.join()
        os.close(self.device)
        if self.file is not None:
            with contextlib.suppress(OSError):  # there is nobody to hear of it
                os.close(self.file)
