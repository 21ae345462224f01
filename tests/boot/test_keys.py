# SPDX-License-Identifier: MIT
"""Everything that can be typed and pointed is injected by the library, and compared with what Linux's evdev records of it."""
import collections
import os
import re
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import BUILD, PATIENT, SLOWER

os.environ["VZ_LIBRARY"] = f"{BUILD}/src/libvz.so"
pytestmark = [
    pytest.mark.skipif("VZ_SANITIZER" in os.environ, reason="the interpreter is not instrumented"),
    pytest.mark.skipif(not os.path.exists(f"{BUILD}/python/vz/_vz.py"),
                       reason="python3-cffi was missing when this was built")]
LIMIT_S = 120 * SLOWER
DRIVERS = ("xhci_pci", "usbhid", "hid_generic", "hid_apple", "hid_multitouch", "evdev")
INIT = """for i in $(seq 600); do [ $(ls -d /sys/class/input/event* 2>/dev/null | wc -l) -ge 8 ] && break; sleep 0.1; done
dmesg -n 1; stty -F /dev/console -opost
inputrecords
"""
EV_SYN, EV_KEY, EV_REL, EV_ABS, EV_MSC = range(5)
MSC_SCAN, SYN_DROPPED = 4, 3
AT_ONCE = 8  # keys: evdev keeps 64 events for who reads them, and each takes six
REL_X, REL_Y, REL_HWHEEL, REL_WHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES = 0, 1, 6, 8, 11, 12
KEY_F1, KEY_FN = 59, 0x1d0
# Usages of media keys that are none to Linux: a volume (0xc00e0) and a wheel (0xc0238).
NO_KEYS = (EV_ABS, 0x20), (EV_REL, REL_HWHEEL), (EV_REL, REL_HWHEEL_HI_RES)


class Guest:
    """A machine with all input devices, whose console says what evdev records."""

    def __init__(self, vz, kernel, initrd):
        self.vz, self.text, self.lock, self.at = vz, "", threading.Condition(), 0
        self.read_fd, write_fd = os.pipe()
        loader = vz.linux(str(kernel), str(initrd), f"console=ttyS0 quiet {PATIENT}")
        config = vz.Config(memory=256 * vz.MiB, boot_loader=loader, serial_ports=[vz.uart(vz.fd(-1, write_fd))],
                           keyboards=[vz.usb_keyboard(), vz.mac_keyboard()],
                           pointing_devices=[vz.usb_screen_coordinate(), vz.usb_mouse(), vz.trackpad()])
        self.machine = vz.Machine(config)
        threading.Thread(target=self.hear, daemon=True).start()
        self.machine.start()
        self.wait(r"^ready\r?$")
        self.names = {int(n): name for n, name in re.findall(r"^device (\d+) (.*?)\r?$", self.text, re.M)}
        self.maps = collections.defaultdict(dict)  # name of the keyboard -> scancode -> key, of all its devices
        for n, scancode, key in re.findall(r"^map (\d+) (\w+) (\w+)", self.text, re.M):
            self.maps[self.names[int(n)].split(" Keyboard")[0]][int(scancode, 16)] = int(key, 16)
        self.at = len(self.text)

    def hear(self):
        while data := os.read(self.read_fd, 65536):
            with self.lock:
                self.text += data.decode(errors="replace")
                self.lock.notify_all()

    def wait(self, pattern, count=1):
        end = time.monotonic() + LIMIT_S
        with self.lock:
            while len(re.findall(pattern, self.text[self.at:], re.M)) < count:
                assert self.lock.wait(max(0.0, end - time.monotonic())), (pattern, self.text[-2000:])

    def records(self):
        """What came since the last time."""
        with self.lock:
            said, self.at = self.text[self.at:], len(self.text)
        return [(int(n), int(kind, 16), int(code, 16), int(value))
                for n, kind, code, value in re.findall(r"^event (\d+) (\w+) (\w+) (-?\d+)", said, re.M)]


@pytest.fixture(scope="module")
def guest(kernels, initramfs, tmp_path_factory):
    sys.path.insert(0, f"{BUILD}/python")
    import vz
    files, load = guest_drivers.Needs(tmp_path_factory.mktemp("modules"))(*DRIVERS)
    program = guest_drivers.program(tmp_path_factory.mktemp("bin"), "tests/boot/programs/inputrecords.c")
    g = Guest(vz, kernels["amd64"], initramfs(load + INIT, *files, program))
    yield g
    g.machine.stop()
    g.machine.close()


def known(vz, mac):
    """Every usage that the keyboard has."""
    usages = [vz.key(n) for n in range(4, 256)] + [vz.consumer_key(n) for n in range(1, 0x400)]
    return usages + [vz.system_key(n) for n in range(0x81, 0xb8)] + ([vz.KEY_FN] if mac else [])


def pressed(records):
    """[(scancode, key)] of what was pressed and let go, in order; nothing else came."""
    found, scan, down = [], {}, {}
    for device, kind, code, value in records:
        if kind == EV_MSC and code == MSC_SCAN:
            scan[device] = value & 0xffffffff
        elif kind == EV_KEY and value == 1:
            down[device, code] = scan[device]
        elif kind == EV_KEY and value == 0:
            assert down.pop((device, code)) == scan[device]
            found.append((scan[device], code))
        else:
            # Lights and repetition.
            others = (kind == EV_SYN and code != SYN_DROPPED) or kind in (0x11, 0x14) or (kind, code) in NO_KEYS
            assert others or (kind == EV_KEY and value == 2), (kind, code, value)
    assert not down
    return found


@pytest.mark.parametrize("keyboard,name", [(0, "vz vz USB"), (1, "vz vz Mac")])
def test_every_key_is_what_was_typed(guest, keyboard, name):
    """All usages of all pages, some at a time. Linux tells which usage it got, and which key that is."""
    vz, keymap = guest.vz, guest.maps[name]
    marks = vz.key(0x29), vz.consumer_key(0xe2)  # a group's end, of the keys' queue and of the media keys'
    usages = [u for u in known(vz, keyboard == 1) if u not in marks]
    told = []
    for at in range(0, len(usages), AT_ONCE):
        for usage in (*usages[at:at + AT_ONCE], *marks):
            guest.machine.send_key(usage, True, keyboard=keyboard)
            guest.machine.send_key(usage, False, keyboard=keyboard)
        for mark in marks:
            guest.wait(rf"^event \d+ 4 4 {mark}\r?\nevent \d+ 1 \w+ 0\r?$")
        records = guest.records()
        assert all(guest.names[device].startswith(name) for device, *_ in records), records
        told += [p for p in pressed(records) if p[0] not in marks]
    mapped = sorted(u for u in usages if keymap.get(u))  # 0 is no key
    assert sorted(scan for scan, _ in told) == mapped and len(mapped) > 300, (told, mapped)
    for scan, code in told:
        media = keyboard == 1 and keymap[scan] in (*range(KEY_F1, KEY_F1 + 10), 87, 88)  # hid-apple's, of F1 to F12
        assert code == keymap[scan] or media, (hex(scan), code, keymap[scan])


def test_fn_makes_function_keys_of_a_mac_keyboards_media_keys(guest):
    """As hid-apple has it, which is how a Mac's keyboard is known."""
    vz, m = guest.vz, guest.machine
    f1 = vz.key(0x3a)
    for fn in (False, True):
        for usage, down in ((vz.KEY_FN, fn), (f1, True), (f1, False), (vz.KEY_FN, False)):
            m.send_key(usage, down, keyboard=1)
        guest.wait(rf"^event \d+ 4 4 {f1}\r?\nevent \d+ 1 \w+ 0\r?$")
        if fn:
            guest.wait(r"^event \d+ 1 1d0 0\r?$")
        keys = [code for _, kind, code, value in guest.records() if kind == EV_KEY and value == 1]
        assert keys == ([KEY_FN, KEY_F1] if fn else [224]), keys  # KEY_BRIGHTNESSDOWN


def moves(records):
    """Sums of what was moved and turned, and where axes are at the end."""
    total = collections.Counter()
    for _, kind, code, value in records:
        if kind == EV_REL:
            total[code] += value
    return total, {code: value for _, kind, code, value in records if kind == EV_ABS}


def test_pointers_are_where_they_were_put(guest):
    vz, m = guest.vz, guest.machine
    for x, y in ((1, 1), (vz.POINTER_MAX, 0), (0, vz.POINTER_MAX), (12345, 54), (vz.POINTER_MAX, vz.POINTER_MAX), (77, 78)):
        m.send_pointer(0, x=x, y=y)
        guest.wait(rf"^event \d+ 3 1 {y}\r?\nevent \d+ 0 0 0|^event \d+ 3 0 {x}\r?\nevent \d+ 0 0 0")
        where = moves(guest.records())[1]
        assert where.get(0, x) == x and where.get(1, y) == y and where
    for bit, code in ((1, 0x110), (2, 0x111), (4, 0x112), (8, 0x113), (16, 0x114)):
        for device in (0, 1):
            m.send_pointer(device, x=77, y=78, buttons=bit)
            m.send_pointer(device, x=77, y=78)
            guest.wait(rf"^event \d+ 1 {code:x} 0\r?$")
            assert [r[1:] for r in guest.records() if r[1] == EV_KEY] == [(EV_KEY, code, 1), (EV_KEY, code, 0)]


def test_wheels_turn_finely_and_by_notches(guest):
    vz, m = guest.vz, guest.machine
    for device in (0, 1):
        for _ in range(12):  # three notches up in twelve parts, and as many to the left
            m.send_pointer(device, x=77, y=78, wheel=vz.WHEEL_NOTCH // 4, wheel_horizontal=-vz.WHEEL_NOTCH // 4)
        m.send_pointer(device, x=77, y=78, buttons=1)
        m.send_pointer(device, x=77, y=78)
        guest.wait(r"^event \d+ 1 110 0\r?$")
        total, _ = moves(guest.records())
        assert {code: total[code] for code in (REL_WHEEL, REL_HWHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES)} == \
               {REL_WHEEL: 3, REL_HWHEEL: -3, REL_WHEEL_HI_RES: 360, REL_HWHEEL_HI_RES: -360}, total


def test_a_mouse_moves_as_far_as_it_was_moved(guest):
    m = guest.machine
    for dx, dy in ((1, 0), (-1, -1), (3000, -2000), (20000, 5), (-20000, -5)):
        m.send_pointer(1, dx=dx, dy=dy)
    m.send_pointer(1, buttons=1)
    m.send_pointer(1)
    guest.wait(r"^event \d+ 1 110 0\r?$")
    total, _ = moves(guest.records())
    assert (total[REL_X], total[REL_Y]) == (3000, -2001), total


def test_fingers_are_where_they_were_put(guest):
    """A trackpad's, by hid-multitouch: five at once, each by its own number."""
    vz, m = guest.vz, guest.machine
    fingers = [vz.Touch(n, 1000 * n, 2000 * n) for n in range(1, 6)]
    for k in range(1, 6):
        m.send_touches(fingers[:k], device=2)
    m.send_touches(fingers, device=2, pressed=True)
    m.send_touches([], device=2)
    guest.wait(r"^event \d+ 1 14a 0\r?$")  # BTN_TOUCH
    slot, places, ids = 0, collections.defaultdict(dict), []
    for _, kind, code, value in guest.records():
        if kind != EV_ABS:
            continue
        if code == 0x2f:
            slot = value
        elif code == 0x39:
            ids += [slot] if value >= 0 else []
        elif code in (0x35, 0x36):
            places[slot][code] = value
    assert sorted(ids) == [0, 1, 2, 3, 4], ids
    scale = places[4][0x35] / 5000, places[4][0x36] / 10000
    for n in range(5):
        assert abs(places[n][0x35] - 1000 * (n + 1) * scale[0]) <= 1 and abs(places[n][0x36] - 2000 * (n + 1) * scale[1]) <= 1


def loop_switches():
    """How often the machine's loop has gone to sleep."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm", encoding="utf-8") as f:
            if f.read().strip() != "vz-loop":
                continue
        with open(f"/proc/self/task/{task}/status", encoding="utf-8") as f:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])
    assert total, "there is no loop"
    return total


def test_nobody_is_woken_while_nobody_types(guest):
    """With five devices whose drivers wait for reports the controller moves nothing, and the loop has the guest's own timers to
    look after and nothing else."""
    def state():
        stats = guest.machine.stats()
        return loop_switches(), stats["irqchip.timer_fires"], {k: v for k, v in stats.items() if k.startswith("xhci.")}

    switches, timers, counted = state()
    time.sleep(3)  # what is counted
    after, timers_after, still = state()
    assert counted and still == counted, (counted, still)
    assert after - switches <= timers_after - timers + 3, (after - switches, timers_after - timers)
