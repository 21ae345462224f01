# SPDX-License-Identifier: MIT
"""A guest with a driver, by VNC: the sizes that clients ask for, all of them see, and the pointer that it leaves to them to draw."""
import queue
import re
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import PATIENT, ROOT, SLOWER, VZ
from test_window import DRIVERS

sys.path.insert(0, f"{ROOT}/tests/lib")
import rfb_client  # noqa: E402

LIMIT_S = 240 * SLOWER
CURSOR, HOT = 64, (7, 9)  # programs/desktop.c
ANSWER, FINE = 1, 0       # ExtendedDesktopSize: to who has asked, and how that went


class Guest:
    def __init__(self, kernel, initrd):
        self.p = subprocess.Popen([VZ, "run", "--kernel", kernel, "--initrd", initrd, "--memory", "256M", "--cmdline",
                                   f"console=ttyS0 quiet {PATIENT}", "--display", "800x600", "--vnc", "127.0.0.1", "--no-reboot"], text=True,
                                  bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()
        found = next(filter(None, (re.search(r":(\d+), password (\S+);", line) for line in self.p.stderr)))
        self.port, self.password, self.lines = int(found[1]), found[2], queue.Queue()
        threading.Thread(target=self.p.stderr.read, daemon=True).start()
        threading.Thread(target=self.hear, daemon=True).start()

    def hear(self):
        for line in self.p.stdout:
            self.lines.put(line.strip())

    def wait(self, pattern):
        while not (found := re.fullmatch(pattern, self.lines.get(timeout=LIMIT_S))):
            pass
        return found

    def tell(self, line):
        self.p.stdin.write(line + "\n")

    def client(self):
        c = rfb_client.Client(self.port, self.password)
        c.want(rfb_client.ENCODING_RAW, rfb_client.ENCODING_CURSOR, rfb_client.ENCODING_EXTENDED_SIZE)
        c.ask(incremental=False)
        return c

    def close(self):
        self.watchdog.cancel()
        self.p.kill()
        self.p.wait()


@pytest.fixture
def guest(kernels, initramfs, tmp_path):
    names = (*guest_drivers.VIRTIO, *DRIVERS)
    initrd = initramfs(guest_drivers.load(names) + "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\ndesktop\npoweroff -f\n",
                       guest_drivers.program(tmp_path, "tests/boot/programs/desktop.c"),
                       *guest_drivers.files(tmp_path, names, kernel="amd64"))
    g = Guest(kernels["amd64"], initrd)
    yield g
    g.close()


def until(client, condition):
    """Take updates till it is so."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        client.update()
        client.ask()


def shows(client, width, height, seed):
    if (client.width, client.height) != (width, height):
        return False
    return all(client.pixel(x, y) == rfb_client.pattern(seed, x, y)
               for x in range(0, width, 7) for y in (0, 1, height // 2, height - 1))


def test_sizes_that_clients_ask_for_and_the_guests_pointer(guest):
    seed = int(guest.wait(r"mode 800 600 (\d+)")[1])
    one, other = guest.client(), guest.client()
    assert one.name == b"vz run"
    for c in one, other:
        until(c, lambda: shows(c, 800, 600, seed))
    for width, height in (1000, 700), (641, 479):
        one.resize(width, height)
        seed = int(guest.wait(rf"mode {width} {height} (\d+)")[1])
        for c in one, other:
            until(c, lambda: shows(c, width, height, seed))
        assert (ANSWER, FINE) in one.statuses and (ANSWER, FINE) not in other.statuses
        assert len(one.screens) == 1 and one.screens[0][:4] != bytes(4)  # some clients take a number of 0 for none
    one.resize(2, 2)  # is too small for any display
    until(one, lambda: any(reason == ANSWER and status != FINE for reason, status in one.statuses))
    guest.tell("cursor 1")
    for c in one, other:
        until(c, lambda: c.cursor and c.cursor[:4] == (*HOT, CURSOR, CURSOR))
        assert all(c.cursor[4][i:i + 3] == b"\0\0\xff" for i in range(0, 4 * CURSOR * CURSOR, 4))  # red
    guest.tell("quit")
    assert guest.p.wait(timeout=LIMIT_S) == 0


def look_to_the_end(client):
    try:
        while True:
            client.ask()
            client.update()
    except (rfb_client.Refused, ConnectionError):
        pass


def test_the_last_picture_is_seen(guest):
    """A machine that ends waits for viewers to get it, for a moment."""
    guest.wait(r"mode 800 600 (\d+)")
    clients = [guest.client() for _ in range(2)]
    for c in clients:
        c.update()
    threads = [threading.Thread(target=look_to_the_end, args=[c]) for c in clients]
    for t in threads:
        t.start()
    guest.tell("last 77")
    for t in threads:
        t.join()
    assert [shows(c, 800, 600, 77) for c in clients] == [True, True]
    assert guest.p.wait(timeout=LIMIT_S) == 0
