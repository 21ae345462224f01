# SPDX-License-Identifier: MIT
"""A machine in a window (vz run --view), on an X server without a monitor: the guest's pixels on the screen, its mode
that follows the window, what is typed and pointed, and how the window is closed."""
import os
import queue
import signal
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import BUILD, LONG, PATIENT, ROOT, SLOWER, VZ

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import sway  # noqa: E402
import x_display  # noqa: E402
from machines import Control, home  # noqa: E402, F401

LIMIT_S = 60 * SLOWER
DRIVERS = ("drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf", "virtio-gpu",
           "button", "usb-common", "usbcore", "xhci-hcd", "xhci-pci", "hid", "hid-generic", "usbhid", "hid-multitouch",
           "evdev")
ABS_X, ABS_Y, REL_X, REL_Y, REL_WHEEL, REL_WHEEL_HI_RES = 0, 1, 0, 1, 8, 11
LEFT_CTRL, LEFT_ALT, KEY_POWER, BTN_LEFT = 29, 56, 116, 272

pytestmark = pytest.mark.skipif(not os.path.exists(f"{BUILD}/vz-view"),
                                reason="vz-view is not built: there is no GTK 4 (libgtk-4-dev)")


@pytest.fixture(scope="module")
def initrd(tmp_path_factory, initramfs):
    folder = tmp_path_factory.mktemp("window")
    files = guest_drivers.files(folder, (*guest_drivers.VIRTIO, *DRIVERS), kernel="amd64")
    script = (guest_drivers.load((*guest_drivers.VIRTIO, *DRIVERS)) +
              "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\n"
              "for i in $(seq 100); do grep -qE 'Tablet|Mouse' /proc/bus/input/devices && "
              "grep -q Keyboard /proc/bus/input/devices && break; sleep 0.1; done\n"
              "sleep 0.5\ndesktop\npoweroff -f\n")
    return initramfs(script, guest_drivers.program(folder, "tests/boot/programs/desktop.c"), *files)


@pytest.fixture
def screen(tmp_path):
    d = x_display.Display(str(tmp_path))
    yield d
    d.close()


def pattern(seed, x, y):
    """display_pattern.h"""
    return ((x * 73 + y * 151 + seed * 7919 + 1) * 2654435761 & 0xffffffff) >> 8


class Compositor:
    """Wayland without a monitor (Weston), whose pixels are `scale` times as many."""

    def __init__(self, folder, scale):
        self.env = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "WAYLAND_DISPLAY": "wayland-vz",
                    "GDK_BACKEND": "wayland", "GTK_A11Y": "none"}
        self.env.pop("DISPLAY", None)
        folder.chmod(0o700)
        self.p = subprocess.Popen(["weston", "--backend=headless-backend.so", "--width=3200", "--height=2000",
                                   f"--scale={scale}", "--socket=wayland-vz", "--idle-time=0", f"--log={folder}/log"],
                                  env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        end = time.monotonic() + LIMIT_S
        while not (folder / "wayland-vz").exists():
            assert time.monotonic() < end and self.p.poll() is None
            time.sleep(0.1)

    def close(self):
        self.p.terminate()
        self.p.wait(timeout=60)


class Machine:
    """In a window, and what its guest says."""

    def __init__(self, screen, kernel, initrd, *options):
        """kernel: None, and one of the options is --restore."""
        own = ["--kernel", kernel, "--initrd", initrd, "--memory", "512M", "--cmdline", f"console=ttyS0 quiet {PATIENT}",
               "--keyboard", "--display", "800x600"] if kernel else []
        self.screen = screen
        self.p = subprocess.Popen([VZ, "run", *own, "--view", *map(str, options)], env=screen.env, text=True, bufsize=1,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.watchdog = threading.Timer(LIMIT_S, self.p.kill)
        self.watchdog.start()
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self.hear, daemon=True).start()
        threading.Thread(target=self.p.stderr.read, daemon=True).start()

    def hear(self):
        for line in self.p.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def line(self, timeout=LIMIT_S):
        line = self.lines.get(timeout=timeout)
        assert line is not None, self.said
        self.said.append(line)
        return line

    def wait(self, start, timeout=LIMIT_S):
        """The first line that begins so; split."""
        while True:
            line = self.line(timeout)
            if line.startswith(start):
                return line.split()

    def tell(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def settle(self, seconds=0.5):
        """What it says till it says nothing for a while but that keys repeat."""
        found, end = [], time.monotonic() + seconds * SLOWER
        while (left := end - time.monotonic()) > 0:
            try:
                line = self.line(timeout=left)
            except queue.Empty:
                break
            if line != "syn" and not (line.startswith("key") and line.endswith(" 2")):
                found.append(line)
                end = time.monotonic() + seconds * SLOWER
        return found

    def events(self, kind, count):
        """So many at least of that kind, as (code, value), and what comes soon after; keys without repetitions."""
        found = []
        while len(found) < count:
            line = self.wait(kind)
            if kind != "key" or line[2] != "2":
                found.append((int(line[1]), int(line[2])))
        return found + [(int(c), int(v)) for k, c, v in (line.split() for line in self.settle()) if k == kind]

    def keys(self, want):
        got = self.events("key", len(want))
        assert got == want

    def keys_in_any_order(self, *want):
        got = self.events("key", len(want))
        assert sorted(got) == sorted(want)

    def window(self, name="vz run"):
        return self.screen.window(name, self.p, time.monotonic() + LIMIT_S)

    def focus(self):
        self.screen.xdo("windowfocus", self.window())
        self.settle()

    def place(self, width, height, seed):
        """Where on the screen the guest's picture is, of which all pixels are right."""
        end = time.monotonic() + 60 * SLOWER
        while True:
            rows = self.screen.pixels(0, 0, 1600, 1000)
            want = [tuple(pattern(seed, x, y) & 0xffffff for x in range(width)) for y in range(height)]
            for top in range(0, 1000 - height):
                for left in range(0, 40):
                    if rows[top][left:left + width] == want[0] and \
                            all(rows[top + y][left:left + width] == want[y] for y in range(height)):
                        return left, top
            assert time.monotonic() < end, "the guest's picture is not on the screen"
            time.sleep(0.2)

    def close(self):
        self.watchdog.cancel()
        self.p.kill()
        self.p.wait()


@pytest.fixture
def machine(screen, kernels, initrd):
    made = []

    def make(*options):
        made.append(Machine(screen, kernels["amd64"], initrd, *options))
        return made[-1]

    yield make
    for m in made:
        m.close()


def first_mode(m, seconds):
    """Wait until the guest's picture is the window's size: that, and its seed."""
    m.wait("devices")
    m.wait("mode")
    m.settle(seconds)
    return map(int, [line for line in m.said if line.startswith("mode")][-1].split()[1:])


def show_picture(m):
    """Wait for the guest's picture; its size, and where it is on the screen."""
    width, height, seed = first_mode(m, 1)
    return width, height, *m.place(width, height, seed)


def test_the_guest_follows_the_window_to_the_pixel(machine, screen):
    m = machine("--pointer")
    window = m.window()
    width, height, left, top = show_picture(m)
    border_x, border_y = 1280 - width, 847 - height  # of the window's first size
    assert 0 <= border_x < 40 and 20 < border_y < 100
    for want_x, want_y in ((900, 700), (1333, 777), (700, 501), (1500, 900), (640, 480)) * LONG:
        begin = time.monotonic()
        screen.xdo("windowsize", window, want_x, want_y)
        while (line := m.wait("mode"))[1:3] != [str(want_x - border_x), str(want_y - border_y)]:
            pass
        print(f"{want_x} x {want_y} after {time.monotonic() - begin:.3f} s")
    assert m.place(want_x - border_x, want_y - border_y, int(line[3])) == (left, top)
    for n in range(30):  # the last of many counts
        screen.xdo("windowsize", window, 600 + 13 * n, 900 - 11 * n)
    while (line := m.wait("mode"))[1:3] != [str(977 - border_x), str(581 - border_y)]:
        pass
    m.place(977 - border_x, 581 - border_y, int(line[3]))


@pytest.mark.parametrize("scale", (1, 2))
def test_on_wayland_the_guest_has_the_monitors_pixels(kernels, initrd, tmp_path, scale):
    compositor = Compositor(tmp_path, scale)
    m = Machine(compositor, kernels["amd64"], initrd, "--pointer")
    try:
        width, height, _ = first_mode(m, 2)
        assert width == 1280 * scale and 760 * scale < height < 830 * scale and height % scale == 0
        m.tell("quit")
        assert m.p.wait(timeout=LIMIT_S) == 0
    finally:
        m.close()
        compositor.close()


@pytest.fixture
def seat(tmp_path):
    """Wayland with a keyboard and a pointer."""
    if not sway.is_possible():
        pytest.skip("sway is not installed, or root's and no user namespace may be made")
    folder = tmp_path / "sway"
    folder.mkdir()
    c = sway.Compositor(folder)
    yield c
    c.close()


def test_on_wayland_keys_are_where_they_are_and_never_stuck(kernels, initrd, seat):
    keyboard = seat.input
    m = Machine(seat, kernels["amd64"], initrd, "--pointer")
    try:
        first_mode(m, 1)
        for layout in "us", "de", "fr", "us(dvorak)", "ru":
            keyboard.layout(layout)
            keyboard.type(16, 44, 86, 39, 100)
            m.keys([(c, v) for c in (16, 44, 86, 39, 100) for v in (1, 0)])
        keyboard.layout("us")
        # The compositor's own keys are the guest's.
        keyboard.key(125, 1)
        keyboard.modifiers(sway.SUPER)
        keyboard.type(45)
        keyboard.modifiers(0)
        keyboard.key(125, 0)
        m.keys([(125, 1), (45, 1), (45, 0), (125, 0)])
        for code in 29, 42, 30:
            keyboard.key(code, 1)
        keyboard.modifiers(sway.CTRL | sway.SHIFT)
        m.keys([(29, 1), (42, 1), (30, 1)])
        seat.tell("workspace", "2")  # the focus goes, with keys held
        m.keys_in_any_order((29, 0), (30, 0), (42, 0))
        for code in 30, 42:
            keyboard.key(code, 0)
        keyboard.modifiers(sway.CTRL)
        keyboard.key(125, 1)
        keyboard.modifiers(sway.SUPER | sway.CTRL)
        keyboard.modifiers(sway.SUPER)
        keyboard.type(45)  # is the compositor's here
        keyboard.modifiers(sway.CTRL)
        keyboard.key(125, 0)
        m.keys([])
        assert seat.has_taken()
        seat.tell("workspace", "1")  # and comes back with Ctrl held
        time.sleep(0.3)
        keyboard.type(46)
        m.keys([(LEFT_CTRL, 1), (46, 1), (46, 0)])
        keyboard.key(29, 0)
        keyboard.modifiers(0)
        m.keys([(LEFT_CTRL, 0)])
        keyboard.key(30, 1)
        m.keys([(30, 1)])
        os.kill(seat.window_pid(), signal.SIGKILL)  # the window dies with a key held
        m.keys([(30, 0)])
    finally:
        m.close()


def test_on_wayland_the_pointer_is_where_the_users_is(kernels, initrd, seat):
    pointer = seat.input
    m = Machine(seat, kernels["amd64"], initrd, "--pointer")
    try:
        width, height, _ = first_mode(m, 1)
        top = sway.HEIGHT - height  # the window fills the screen, and its bar is above
        assert width == sway.WIDTH and 20 < top < 100

        def goes_to(x, y):
            pointer.move(width // 3, top + height // 3)
            m.events("abs", 2)
            pointer.move(x, top + y)
            assert dict(m.events("abs", 2)) == {ABS_X: round(x * 32767 / (width - 1)), ABS_Y: round(y * 32767 / (height - 1))}

        for x, y in ((width // 2, height // 2), (16, 16), (width - 17, height - 17), (16, height - 17), (width - 17, 16)):
            goes_to(x, y)
        seat.tell("fullscreen", "enable")
        m.wait(f"mode {sway.WIDTH} {sway.HEIGHT}")
        top, height = 0, sway.HEIGHT
        for x, y in ((0, 0), (width - 1, height - 1), (0, height - 1), (width - 1, 0)):
            goes_to(x, y)
        seat.tell("fullscreen", "disable")
        m.wait(f"mode {sway.WIDTH}")
        m.settle()
        pointer.move(300, 300)
        m.settle()
        for code in 272, 274, 273, 275, 276:
            pointer.button(code, 1)
            pointer.button(code, 0)
        m.keys([(c, v) for c in (272, 274, 273, 275, 276) for v in (1, 0)])
        for _ in range(10):
            pointer.wheel(-1)
        rel = []
        while sum(v for c, v in rel if c == REL_WHEEL) < 10:  # GDK may make one of several
            rel += m.events("rel", 1)
        assert sum(v for c, v in rel if c == REL_WHEEL) == 10 and sum(v for c, v in rel if c == REL_WHEEL_HI_RES) == 1200
        pointer.button(BTN_LEFT, 1)
        m.keys([(BTN_LEFT, 1)])
        seat.tell("workspace", "2")  # with a button held
        m.keys([(BTN_LEFT, 0)])
        pointer.button(BTN_LEFT, 0)
    finally:
        m.close()


def test_at_scale_2_the_guest_has_the_monitors_pixels(machine, screen):
    """On X11, where a pixel of the guest is to be one of the screen all the same."""
    screen.env["GDK_SCALE"] = "2"
    m = machine("--pointer")
    screen.xdo("windowsize", m.window(), 1400, 900)
    width, height, left, top = show_picture(m)
    assert 1300 < width <= 1400 and 600 < height < 900 and left % 2 == top % 2 == 0


def test_keys_are_where_they_are_and_never_stuck(machine, screen):
    m = machine("--pointer")
    show_picture(m)
    m.focus()
    # q, z, the key beside left Shift, ö or ;, AltGr: whatever they mean, it is the guest's business
    for layout in (("us",), ("de",), ("fr",), ("us", "-variant", "dvorak"), ("ru",)):
        screen.do("setxkbmap", *layout)
        screen.xdo("key", "24", "52", "94", "47", "108", "133")
        m.keys([(c, v) for c in (16, 44, 86, 39, 100, 125) for v in (1, 0)])
    screen.do("setxkbmap", "us")
    screen.xdo("keydown", "38", "sleep", "1.5", "keyup", "38")  # X repeats it; the guest does so itself
    m.keys([(30, 1), (30, 0)])
    screen.xdo("keydown", "37", "keydown", "50", "keydown", "38")
    m.keys([(29, 1), (42, 1), (30, 1)])
    screen.xdo("mousemove", 1590, 990, "windowfocus", "1")  # it goes to where the pointer is, with keys held
    m.keys_in_any_order((29, 0), (30, 0), (42, 0))
    screen.xdo("keyup", "38", "keyup", "50", "key", "24")
    m.keys([])
    screen.xdo("windowfocus", m.window())  # and comes back with Ctrl held
    time.sleep(0.3)
    screen.xdo("key", "54")
    m.keys([(LEFT_CTRL, 1), (46, 1), (46, 0)])
    screen.xdo("keyup", "37", "key", "54")
    m.keys_in_any_order((LEFT_CTRL, 0), (46, 1), (46, 0))
    screen.xdo("key", "ctrl+alt+f")  # the full screen, whose F the guest does not see
    m.keys_in_any_order((LEFT_CTRL, 1), (LEFT_ALT, 1), (LEFT_ALT, 0), (LEFT_CTRL, 0))
    screen.xdo("keydown", "38")
    m.keys([(30, 1)])
    os.kill(int(screen.xdo("getwindowpid", m.window())), signal.SIGKILL)  # the window dies with a key held
    m.keys([(30, 0)])


def test_the_pointer_is_where_the_users_is(machine, screen):
    m = machine("--pointer")
    width, height, left, top = show_picture(m)
    m.focus()

    screen.xdo("mousemove", left + width // 2, top + height // 2)
    middle = dict(m.events("abs", 2))
    assert abs(middle[ABS_X] - 16384) < 40 and abs(middle[ABS_Y] - 16384) < 40
    # Corners, but for the window's own edge, which is for resizing; view_geometry_test.c has the last pixels.
    for x, y in ((16, 16), (width - 17, height - 17), (16, height - 17), (width - 17, 16)):
        screen.xdo("mousemove", left + width // 3, top + height // 3)
        m.events("abs", 2)
        screen.xdo("mousemove", left + x, top + y)
        assert dict(m.events("abs", 2)) == {ABS_X: round(x * 32767 / (width - 1)),
                                            ABS_Y: round(y * 32767 / (height - 1))}
    screen.xdo("mousemove", left + 100, top + 100, "click", "1", "click", "2", "click", "3", "click", "8", "click", "9")
    m.keys([(c, v) for c in (272, 274, 273, 275, 276) for v in (1, 0)])
    screen.xdo("mousedown", "1", "mousemove", left + 200, top + 150)
    screen.xdo("mousemove", 1590, 990, "windowfocus", "1")  # with a button held
    m.keys([(BTN_LEFT, 1), (BTN_LEFT, 0)])
    screen.xdo("mouseup", "1")
    m.focus()
    screen.xdo("mousemove", left + 100, top + 100)
    screen.xdo("click", "--repeat", "10", "--delay", "30", "4")
    rel = m.events("rel", 20)
    assert sum(v for c, v in rel if c == REL_WHEEL) == 10 and sum(v for c, v in rel if c == REL_WHEEL_HI_RES) == 1200
    m.tell("cursor 1")
    m.wait("cursor")
    screen.xdo("mousemove", left + 300, top + 200)
    end = time.monotonic() + 60 * SLOWER
    while screen.pixels(left + 300 - 7, top + 200 - 9, 64, 64) != [(0xff0000,) * 64] * 64:  # by its hot spot
        assert time.monotonic() < end, "the guest's pointer is not to be seen"
        time.sleep(0.1)


def test_a_mouse_takes_the_pointer_and_gives_it_back(machine, screen):
    m = machine("--mouse")
    width, height, left, top = show_picture(m)
    m.focus()

    def moved(count):
        found = {REL_X: 0, REL_Y: 0}
        for code, value in m.events("rel", count):
            found[code] += value
        return found

    screen.xdo("mousemove", left + width // 2, top + height // 2)
    assert moved(0) == {REL_X: 0, REL_Y: 0}
    screen.xdo("click", "1")
    m.keys([])  # it was for the window
    for dx, dy in ((10, 0), (0, -7), (-25, 30)):
        screen.xdo("mousemove_relative", "--", dx, dy)
        assert moved(1 if dx == 0 or dy == 0 else 2) == {REL_X: dx, REL_Y: dy}
    for _ in range(20):  # far beyond the screen
        screen.xdo("mousemove_relative", "--", 100, 0, "sleep", "0.1")
    assert moved(20)[REL_X] > 1900
    screen.xdo("click", "1")
    m.keys([(BTN_LEFT, 1), (BTN_LEFT, 0)])
    screen.xdo("keydown", "37", "keydown", "64", "keyup", "64", "keyup", "37")
    m.keys([(LEFT_CTRL, 1), (LEFT_ALT, 1), (LEFT_ALT, 0), (LEFT_CTRL, 0)])
    screen.xdo("mousemove_relative", "--", 30, 30)
    assert moved(0) == {REL_X: 0, REL_Y: 0}


def ask_to_close(m, width):
    """By the button in the window's corner; the question's window."""
    m.screen.xdo("mousemove", width - 28, 27, "click", "1")
    return m.window("Close")


def choose(m, dialog, letter):
    m.screen.xdo("windowfocus", dialog)
    time.sleep(0.5)
    m.screen.xdo("key", letter)


def test_closing_asks_what_is_to_become_of_it(machine, screen):
    m = machine("--pointer")
    show_picture(m)
    choose(m, ask_to_close(m, 1280), "Escape")
    time.sleep(0.5)
    assert not screen.windows("Close") and screen.windows("vz run")
    choose(m, ask_to_close(m, 1280), "alt+l")  # leave running
    end = time.monotonic() + 60
    while screen.windows("vz run"):
        assert time.monotonic() < end
        time.sleep(0.1)
    m.settle()
    m.tell("cursor 0")
    m.wait("cursor")
    assert m.p.poll() is None
    m.tell("quit")
    assert m.p.wait(timeout=LIMIT_S) == 0


def test_power_off_from_the_question(machine):
    m = machine("--pointer")
    show_picture(m)
    choose(m, ask_to_close(m, 1280), "alt+p")
    assert m.events("key", 1)[0] == (KEY_POWER, 1)  # the guest hears its power button, and does as it likes
    m.tell("quit")
    assert m.p.wait(timeout=LIMIT_S) == 0


def test_save_from_the_question(machine, tmp_path):
    m = machine("--pointer", "--save", tmp_path / "state")
    show_picture(m)
    choose(m, ask_to_close(m, 1280), "alt+s")
    assert m.p.wait(timeout=LIMIT_S) == 0
    assert (tmp_path / "state").stat().st_size > 1 << 20


def test_without_a_desktop_it_says_what_helps(vz, kernels, initrd, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    r = vz("run", "--kernel", kernels["amd64"], "--initrd", initrd, "--view")
    assert r.status == 1 and "no desktop" in r.err and "--vnc" in r.err
    monkeypatch.setenv("DISPLAY", ":4711")
    r = vz("run", "--kernel", kernels["amd64"], "--initrd", initrd, "--view", "--serial", "null", "--timeout", "3s")
    assert "no desktop to open a window on" in r.err  # vz-view's own word; the machine runs on


def test_vz_view_shows_a_machine_in_the_background(vz, home, screen, kernels, initrd):
    r = vz("create", "desk", "--kernel", kernels["amd64"], "--initrd", initrd, "--memory", "512M",
           "--display", "800x600", "--keyboard", "--pointer", "--cmdline", f"console=ttyS0 quiet {PATIENT}")
    assert r.status == 0, r
    assert vz("start", "desk").status == 0
    try:
        viewer = subprocess.Popen([VZ, "view", "desk"], env=screen.env)
        end = time.monotonic() + LIMIT_S
        window = screen.window("desk", viewer, end)
        while "mode 1270" not in (log := vz("logs", "desk").out):
            assert time.monotonic() < end, log
            time.sleep(0.5)
        assert vz("pause", "desk").status == 0
        screen.window("desk \\(paused\\)", viewer, end)
        assert vz("resume", "desk").status == 0
        control = Control(home / "desk.vz")
        assert "result" in control.call("subscribe")
        screen.xdo("windowfocus", window, "mousemove", 1280 - 28, 27, "click", "1")
        screen.xdo("windowfocus", screen.window("Close", viewer, end), "sleep", "0.5", "key", "alt+s")
        assert viewer.wait(timeout=LIMIT_S) == 0
        assert vz("wait", "desk", "--for", "stop", "--timeout", "120s").status == 0
        assert (home / "desk.vz/saved.state").stat().st_size > 1 << 20
        told = [e for e in iter(control.line, None) if e.get("event") == "progress"]
        assert told and all(e["of"] == "save" and 0 <= e["done"] <= e["total"] for e in told)
    finally:
        viewer.kill()
        vz("stop", "desk", "--now")


class Menu:
    """The window's, by the letters that are underlined in it."""

    def __init__(self, screen, name):
        self.screen, self.name = screen, name

    def press(self, *letters):
        self.screen.xdo("windowfocus", self.screen.windows(self.name)[-1], "mousemove", 1280 - 156, 27, "click", "1")
        for letter in letters:
            time.sleep(0.7 * SLOWER)
            self.screen.xdo("key", letter)

    def choose(self, title, path):
        end = time.monotonic() + LIMIT_S
        while not self.screen.windows(title):
            assert time.monotonic() < end
            time.sleep(0.1)
        self.screen.xdo("windowfocus", self.screen.windows(title)[-1], "sleep", "0.5", "type", path)
        self.screen.xdo("sleep", "1", "key", "Return")


def test_disks_and_discs_by_the_menu(vz, home, screen, kernels, initrd, tmp_path):
    r = vz("create", "desk", "--kernel", kernels["amd64"], "--initrd", initrd, "--memory", "512M", "--display", "800x600",
           "--cdrom", "empty", "--keyboard", "--cmdline", f"console=ttyS0 quiet {PATIENT}")
    assert r.status == 0, r
    assert vz("start", "desk").status == 0
    viewer = subprocess.Popen([VZ, "view", "desk"], env=screen.env, stderr=subprocess.DEVNULL)
    stick, disc = tmp_path / "a_stick.img", tmp_path / "disc.iso"
    stick.write_bytes(bytes(1 << 20))
    disc.write_bytes(bytes(1 << 20))
    try:
        control = Control(home / "desk.vz")
        end = time.monotonic() + LIMIT_S
        while "mode 1270" not in vz("logs", "desk").out:
            assert time.monotonic() < end
            time.sleep(0.5)
        menu = Menu(screen, "desk")

        def until(what):
            end = time.monotonic() + LIMIT_S
            while not what(control.call("usb-devices")["result"]["devices"]):
                assert time.monotonic() < end
                time.sleep(0.1)

        menu.press("d", "a")
        menu.choose("Attach a USB Disk", str(stick))
        until(lambda devices: [d["kind"] for d in devices] == ["cdrom", "disk"])
        menu.press("d", "i")
        menu.choose("Insert a Disc", str(disc))
        until(lambda devices: devices[0]["disc"])
        menu.press("d", "e")
        until(lambda devices: not devices[0]["disc"])
        menu.press("d", "t")
        until(lambda devices: [d["kind"] for d in devices] == ["cdrom"])
        menu.press("d", "a")
        menu.choose("Attach a USB Disk", str(tmp_path / "stick"))  # which is not there
        time.sleep(1)
        assert viewer.poll() is None and len(control.call("usb-devices")["result"]["devices"]) == 1
    finally:
        viewer.kill()
        viewer.wait()
        vz("stop", "desk", "--now")
