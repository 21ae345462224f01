# SPDX-License-Identifier: MIT
"""The pattern of tests/boot/display_pattern.h: as a picture, and as what a machine's display is to show. Whole rows at a time,
since a pixel depends on 73 x + 151 y alone."""
import os
import struct
import time
import zlib

import viewer_channel


class Pattern:
    def __init__(self, width, height, seed):
        self.width, self.height = width, height
        values = [((k + seed * 7919 + 1) * 2654435761 & 0xffffffff) >> 8 for k in range(73 * width + 151 * height)]
        self.planes = [bytes(v >> shift & 255 for v in values) for shift in (0, 8, 16)]

    def row(self, y):
        """Blue, green and red of it."""
        return [p[151 * y:151 * y + 73 * self.width:73] for p in self.planes]

    def png(self):
        rows = bytearray()
        for y in range(self.height):
            row = bytearray(3 * self.width)
            row[2::3], row[1::3], row[0::3] = self.row(y)
            rows += b"\0" + row
        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")))


class Screen:
    """A display of a machine in the background, as a viewer has it."""

    def __init__(self, control, display=0):
        self.channel, self.asked = viewer_channel.Channel(control, display=display), False
        self.look(60)

    def look(self, limit_s):
        """Take the next picture, if there is one in time."""
        if not self.asked:
            self.channel.say(viewer_channel.NEXT)
        self.asked = True
        self.channel.socket.settimeout(limit_s)
        try:
            data, _ = self.channel.wait(viewer_channel.UPDATE)
        except TimeoutError:
            return
        self.asked = False
        _, _, self.width, self.height, self.stride, _, self.offset = struct.unpack_from("=IIIIIIQ", data)

    def has(self, p):
        if (self.width, self.height) != (p.width, p.height):
            return False
        for y in range(p.height):
            row = os.pread(self.channel.memory, 4 * p.width, self.offset + y * self.stride)
            if [row[i::4] for i in range(3)] != p.row(y):
                return False
        return True

    def wait(self, width, height, seed, limit_s):
        """Till it shows the pattern, to the pixel."""
        p, end = Pattern(width, height, seed), time.monotonic() + limit_s
        while not self.has(p):
            assert time.monotonic() < end, f"not {width}x{height} of seed {seed}, but {self.width}x{self.height}"
            self.look(1)

    def resize(self, width, height):
        self.channel.say(viewer_channel.SIZE, struct.pack("=II", width, height))

    def memory_taken(self):
        """Bytes of all the graphics device's pictures."""
        return os.fstat(self.channel.memory).st_blocks * 512
