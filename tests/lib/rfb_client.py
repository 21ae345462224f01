# SPDX-License-Identifier: MIT
"""A VNC client for tests: as little of RFB 3.8 (RFC 6143) as shows whether a server keeps to it."""
import socket
import struct
import subprocess
import zlib

ENCODING_CLIPBOARD = 0xc0a1e5ce - (1 << 32)
ENCODING_RAW, ENCODING_CURSOR, ENCODING_DESKTOP_SIZE, ENCODING_EXTENDED_SIZE = 0, -239, -223, -308


def encrypt(password, challenge):
    """DES by the password with each byte's bits the other way round."""
    key = bytes(int(f"{b:08b}"[::-1], 2) for b in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-provider", "legacy", "-provider", "default",
                           "-K", key.hex()], input=challenge, capture_output=True, check=True).stdout


class Refused(Exception):
    pass


class Client:
    """One that has said who it is. picture: rows of bytes B, G, R, X, as far as the server has sent them."""

    def __init__(self, port, password, host="127.0.0.1", sock=None, tls=None):
        """tls: an SSL context, by which the server is looked at (VeNCrypt, X509Vnc)."""
        self.sock = sock or socket.create_connection((host, port), timeout=120)
        self.screens, self.cursor, self.statuses = [], None, []
        version = self.take(12)
        assert version == b"RFB 003.008\n", version
        self.sock.sendall(version)
        types = self.take(self.take(1)[0])
        if tls:
            self.agree(types, tls, host)
        elif 2 not in types:
            raise Refused(f"no password is asked for: {types}")
        else:
            self.sock.sendall(b"\x02")
        self.sock.sendall(encrypt(password, self.take(16)))
        if struct.unpack(">I", self.take(4))[0]:
            raise Refused("wrong password")
        self.sock.sendall(b"\x01")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.format = self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0])
        self.picture = [bytearray(self.width * 4) for _ in range(self.height)]

    def agree(self, types, tls, host):
        assert types == b"\x13", types
        self.sock.sendall(b"\x13")
        assert self.take(2) == b"\0\2"
        self.sock.sendall(b"\0\2")
        assert self.take(1) == b"\0" and self.take(5) == b"\1\0\0\1\5"
        self.sock.sendall(b"\0\0\1\5")
        assert self.take(1) == b"\1"
        self.sock = tls.wrap_socket(self.sock, server_hostname=host)

    def take(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise Refused("the server hung up")
            data += more
        return data

    def want(self, *encodings):
        self.sock.sendall(struct.pack(">BBHBBBBHHHBBBxxx", 0, 0, 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)[:20])
        self.sock.sendall(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    def ask(self, incremental=True):
        self.sock.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def resize(self, width, height):
        self.sock.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 1, 0, 0, width, height, 0))

    def copy(self, text):
        """As one of before the extended clipboard: in Latin-1."""
        data = text.encode("latin-1")
        self.sock.sendall(struct.pack(">BxxxI", 6, len(data)) + data)

    def copy_utf8(self, text):
        data = text.replace("\n", "\r\n").encode() + b"\0"
        stream = zlib.compressobj()  # which does not end with it, as those of clients
        data = stream.compress(struct.pack(">I", len(data)) + data) + stream.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(struct.pack(">BxxxiI", 6, -4 - len(data), 1 << 28 | 1) + data)

    def offer_utf8(self):
        """Say that text of up to 1 MiB may come without being asked for; after want(ENCODING_CLIPBOARD)."""
        self.sock.sendall(struct.pack(">BxxxiII", 6, -8, 0x1f << 24 | 1, 1 << 20))

    def pasted(self):
        """The text that comes next; messages of other kinds must not."""
        while True:
            kind, length = struct.unpack(">Bxxxi", self.take(8))
            assert kind == 3, kind
            if length >= 0:
                return self.take(length).decode("latin-1")
            data = self.take(-length)
            if struct.unpack(">I", data[:4])[0] >> 24 & 0x11 == 0x10:  # provide, and not what it can
                plain = zlib.decompressobj().decompress(data[4:])
                text = plain[4:4 + struct.unpack(">I", plain[:4])[0]]
                assert text.endswith(b"\0")
                return text[:-1].decode().replace("\r\n", "\n")

    def update(self):
        """Take one; messages of other kinds are passed over."""
        while True:
            kind = self.take(1)[0]
            if kind == 0:
                break
            if kind == 3:
                self.take(struct.unpack(">xxxI", self.take(7))[0])
            else:
                assert kind == 2, kind
        for _ in range(struct.unpack(">xH", self.take(3))[0]):
            if not self.rectangle(*struct.unpack(">HHHHi", self.take(12))):
                break

    def rectangle(self, x, y, width, height, encoding):
        if encoding == ENCODING_RAW:
            for row in range(y, y + height):
                self.picture[row][4 * x:4 * (x + width)] = self.take(4 * width)
        elif encoding == ENCODING_CURSOR:
            self.cursor = (x, y, width, height, self.take(width * height * 4))
            self.take((width + 7) // 8 * height)
        elif encoding in (ENCODING_DESKTOP_SIZE, ENCODING_EXTENDED_SIZE):
            if encoding == ENCODING_EXTENDED_SIZE:
                self.screens = [self.take(16) for _ in range(self.take(4)[0])]
                self.statuses.append((x, y))
            if (width, height) != (self.width, self.height):
                self.width, self.height = width, height
                self.picture = [bytearray(width * 4) for _ in range(height)]
        else:
            assert encoding == -224, encoding  # the last one
            return False
        return True

    def pixel(self, x, y):
        b, g, r, _ = self.picture[y][4 * x:4 * x + 4]
        return r << 16 | g << 8 | b


def pattern(seed, x, y):
    """As tests/boot/display_pattern.h."""
    return ((x * 73 + y * 151 + seed * 7919 + 1) * 2654435761 & 0xffffffff) >> 8
