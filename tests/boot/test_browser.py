# SPDX-License-Identifier: MIT
"""A machine in a browser (vz view --web): noVNC's page in headless Chromium, from the address with its token to the
guest's pixels, keys, pointer, clipboard and sizes, and back when the connection has broken."""
import contextlib
import functools
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers
from conftest import LONG, PATIENT, ROOT, SLOWER, VZ
from test_window import DRIVERS

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
import browser as chromium  # noqa: E402
import others_sockets  # noqa: E402
from machines import Control, make_folder  # noqa: E402

LIMIT_S = 120 * SLOWER
ABS_X, ABS_Y, BTN_LEFT = 0, 1, 272

pytestmark = [pytest.mark.skipif(not chromium.possible(), reason="there is no browser (package chromium)"),
              pytest.mark.skipif(not os.path.exists("/usr/share/novnc/vnc.html"), reason="there is no page (package novnc)")]

# The guest's picture, as page scripts see it: the worst difference of any color of any pixel. Its noise comes as JPEG.
DIFFERENCE = """(() => {
  const canvas = document.querySelector('#noVNC_container canvas');
  const [width, height, seed] = [%d, %d, %d];
  if (!canvas || canvas.width != width || canvas.height != height)
    return 'the size ' + (canvas ? canvas.width + 'x' + canvas.height : 'of nothing');
  const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  let worst = 0;
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i += 4) {
      const p = Math.imul(x * 73 + y * 151 + seed * 7919 + 1, 2654435761 | 0) >>> 8;
      worst = Math.max(worst, Math.abs(data[i] - (p >> 16)), Math.abs(data[i + 1] - (p >> 8 & 255)),
                       Math.abs(data[i + 2] - (p & 255)));
    }
  return worst;
})()"""
CLOSE_ENOUGH = 16
CONNECTED = "document.documentElement.classList.contains('noVNC_connected')"
UI = "import('/app/ui.js').then(m => m.default)"
SOCKET = """new Promise(done => {
  const s = new WebSocket('%s');
  s.onopen = () => done(true);
  s.onerror = () => done(false);
})"""


class Guest:
    """A machine in the background, whose guest says on its console what it shows, hears and pastes."""

    def __init__(self, name, folder):
        self.name, self.folder, self.said, self.at = name, folder, [], 0

    def start(self):
        subprocess.run([VZ, "start", self.name], check=True)
        self.read()
        self.at = len(self.said)

    def stop(self):
        subprocess.run([VZ, "stop", "--now", self.name], check=False, stderr=subprocess.DEVNULL)

    def read(self):
        try:
            text = (self.folder / "console.log").read_text(errors="replace")
        except FileNotFoundError:
            text = ""
        self.said = text.replace("\r", "").split("\n")[:-1]

    def wait(self, pattern):
        """The match of the next line that is so."""
        end = time.monotonic() + LIMIT_S
        while True:
            self.read()
            while self.at < len(self.said):
                self.at += 1
                if m := re.fullmatch(pattern, self.said[self.at - 1]):
                    return m
            assert time.monotonic() < end, (pattern, self.said[-30:])
            time.sleep(0.05)

    def skip(self, seconds=0.5):
        """What it says till it says nothing for so long."""
        began, end = self.at, time.monotonic() + seconds * SLOWER
        while time.monotonic() < end:
            time.sleep(0.1)
            self.read()
            if len(self.said) > self.at:
                self.at, end = len(self.said), time.monotonic() + seconds * SLOWER
        return self.said[began:]

    def keys(self, *want):
        """These keys, and no others but what repeats."""
        for code, value in want:
            m = self.wait(r"key (\d+) ([01])")
            assert (int(m[1]), int(m[2])) == (code, value), self.said[-30:]

    def mode(self, width, height):
        """Wait until it shows a picture of that size; its seed."""
        return int(self.wait(rf"mode {width} {height} (\d+)")[1])

    def tell(self, who, line):
        c = Control(self.folder)
        c.call("console")
        with socket.socket(fileno=c.fds[0]) as console:
            console.sendall(f"{who} {line}\n".encode())
            time.sleep(0.3)
        c.close()

    def address(self):
        """Of the page, for one browser. Pictures are to come with little loss."""
        view = json.loads(subprocess.check_output([VZ, "view", self.name, "--web", "--json"]))
        return view["url"] + "&quality=9"

    def drop_viewers(self, port):
        """Break its connections at its own end, as a network does; False: this process may not."""
        control = Control(self.folder)
        pid, dropped = control.call("info")["result"]["pid"], 0
        control.close()
        for s in others_sockets.sockets(pid):
            if s.family == socket.AF_INET and s.getsockname()[1] == port:
                with contextlib.suppress(OSError):  # the one that listens
                    s.shutdown(socket.SHUT_RDWR) if s.getpeername() else None
                    dropped += 1
        return dropped > 0


class Page:
    """noVNC's, by an address that has just been handed out."""

    def __init__(self, tab, guest):
        self.tab, self.guest, self.url = tab, guest, guest.address()
        self.origin = re.match(r"https?://[^/]+", self.url)[0]
        self.port = int(self.origin.rsplit(":", 1)[1])
        assert tab.go(self.url) == 200
        tab.until(CONNECTED)

    def shows(self, width, height, seed):
        end = time.monotonic() + LIMIT_S
        while True:
            found = self.tab.js(DIFFERENCE % (width, height, seed))
            if isinstance(found, (int, float)) and found <= CLOSE_ENOUGH:
                return
            assert time.monotonic() < end, found
            time.sleep(0.2)

    def paste(self, text):
        """Put it into the page's panel."""
        self.tab.js(f"(e => {{ e.value = {json.dumps(text)}; e.dispatchEvent(new Event('change')); }})"
                    "(document.getElementById('noVNC_clipboard_text'))")

    def has_copied(self, text):
        self.tab.until(f"document.getElementById('noVNC_clipboard_text').value === {json.dumps(text)}")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    yield home
    for name in "desk", "other":
        subprocess.run([VZ, "stop", "--now", name], check=False, stderr=subprocess.DEVNULL)
    del os.environ["VZ_HOME"]


@pytest.fixture(scope="module")
def guest(home, kernels, initramfs, tmp_path_factory):
    folder, names = tmp_path_factory.mktemp("guest"), (*guest_drivers.VIRTIO, "virtio_console", *DRIVERS)
    files = guest_drivers.files(folder, names, kernel="amd64")
    script = (guest_drivers.load(names) + "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\n"
              "for i in $(seq 100); do grep -qE 'Tablet|Mouse' /proc/bus/input/devices && "
              "grep -q Keyboard /proc/bus/input/devices && break; sleep 0.1; done\nsleep 0.5\n"
              "mkfifo /agent /desktop\nexec 3<>/agent 4<>/desktop\necho follow >&3\n"
              "spiceagent </agent &\ndesktop </desktop &\n"
              'while read -r who rest; do echo "$rest" >"/$who"; done\npoweroff -f\n')
    programs = [guest_drivers.program(folder, f"tests/boot/programs/{p}.c") for p in ("desktop", "spiceagent")]
    initrd = initramfs(script, *programs, *files)
    make_folder(home / "desk.vz", "--kernel", kernels["amd64"], "--initrd", initrd, "--memory", "256M", "--cmdline",
                f"console=ttyS0 quiet {PATIENT}", "--display", "800x600", "--keyboard", "--pointer", "--clipboard")
    g = Guest("desk", home / "desk.vz")
    g.start()
    g.wait("devices [1-9].*")
    g.mode(800, 600)
    return g


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    b = chromium.Browser(tmp_path_factory.mktemp("browser"), LIMIT_S)
    yield b
    b.close()


@pytest.fixture(scope="module")
def page(browser, guest):
    """Of the window's first size, which the guest has followed."""
    p = Page(browser.tab(), guest)
    p.shows(1000, 700, guest.mode(1000, 700))
    return p


def test_without_the_token_there_is_nothing(guest, browser):
    tab, origin = browser.tab(), re.match(r"http://[^/]+", guest.address())[0]
    for path in "/vnc.html", "/vnc.html?token=" + "0" * 32, "/vnc_lite.html", "/core/rfb.js", "/":
        assert tab.go(origin + path) == 403
        assert tab.js("document.querySelectorAll('canvas').length") == 0
    assert not tab.js(SOCKET % f"ws://{origin[7:]}/websockify")
    tab.close()


def test_an_address_is_for_one_browser(guest, browser, page):
    tab = browser.tab()
    assert tab.go(page.url) == 403
    tab.close()
    tab = browser.tab(beside=page.tab)  # with its cookies, it may come again
    assert tab.go(page.origin + "/vnc.html") == 200
    tab.close()


def test_another_sites_page_gets_nowhere(browser, page, tmp_path):
    """With the cookie, which browsers send to whatever port of a host, and from whatever port's page."""
    (tmp_path / "evil.html").write_text("<p>hello</p>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = browser.tab(beside=page.tab)
        for host in "127.0.0.1", "localhost":
            assert tab.go(f"http://{host}:{server.server_port}/evil.html") == 200
            assert not tab.js(SOCKET % f"ws://{page.origin[7:]}/websockify")
            assert not tab.js(f"fetch('{page.origin}/vnc.html', {{credentials: 'include'}}).then(r => r.ok, () => false)")
        assert page.tab.js(SOCKET % f"ws://{page.origin[7:]}/websockify")  # its own page's may
        tab.close()
        server.shutdown()


def test_keys_and_pointer_reach_the_guest(guest, page):
    guest.skip()
    for down in True, False:
        page.tab.key("KeyA", "a", 65, down)
    guest.keys((30, 1), (30, 0))
    page.tab.key("ShiftLeft", "Shift", 16, True, modifiers=8)
    for down in True, False:
        page.tab.key("KeyQ", "Q", 81, down, modifiers=8)
    page.tab.key("ShiftLeft", "Shift", 16, False)
    guest.keys((42, 1), (16, 1), (16, 0), (42, 0))
    for code, key, number, linux in (("Enter", "Enter", 13, 28), ("ArrowLeft", "ArrowLeft", 37, 105), ("F5", "F5", 116, 63)):
        for down in True, False:
            page.tab.key(code, key, number, down)
        guest.keys((linux, 1), (linux, 0))
    guest.skip()
    page.tab.pointer("mouseMoved", 250, 525)
    assert int(guest.wait(rf"abs {ABS_X} (\d+)")[1]) == 250 * 32767 // 999
    assert int(guest.wait(rf"abs {ABS_Y} (\d+)")[1]) == 525 * 32767 // 699
    page.tab.pointer("mousePressed", 250, 525, button="left", buttons=1, clickCount=1)
    page.tab.pointer("mouseReleased", 250, 525, button="left", clickCount=1)
    guest.keys((BTN_LEFT, 1), (BTN_LEFT, 0))
    page.tab.pointer("mouseWheel", 250, 525, deltaX=0, deltaY=-100)
    assert guest.wait(r"rel 8 (-?\d+)")[1] == "1"


def checksum(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) & 0xffffffff
    return value


def test_copy_and_paste(guest, page):
    for text in "zwei Zeilen,\näöüß", "ä€漢字 \U0001f600\nкириллица", "漢" * 100000:
        page.paste(text)
        data = text.encode()
        guest.wait(f"pasted 0 1 {len(data)} {checksum(data)}")
    page.paste("x" * (1 << 20))  # too long: it is not sent, and nobody hangs up
    page.tab.until(CONNECTED)
    page.tab.pointer("mouseMoved", 10, 10)  # the guest's goes to who is there
    guest.tell("agent", "offer 0 1 5000")
    copied = "".join(chr(ord("a") + (i * 7 + i // 251) % 26) for i in range(5000))
    page.has_copied(copied)
    unicode = "von dort: ä€漢字 \U0001f600\nund noch\neine Zeile"
    subprocess.run([VZ, "clipboard", "desk", "set"], input=unicode.encode(), check=True)  # another party's
    page.has_copied(unicode)


def test_the_guest_follows_the_page(guest, page):
    sizes = ((801, 555), (1237, 701), (640, 480)) if LONG == 1 else \
        [(500 + 37 * n % 800, 400 + 23 * n % 500) for n in range(20 * LONG)]
    for width, height in (*sizes, (1000, 700)):
        page.tab.size(width, height)
        page.shows(width, height, guest.mode(width, height))


def test_full_screen(guest, page):
    page.tab.js("document.getElementById('noVNC_fullscreen_button').click()", by_user=True)
    page.tab.until("document.fullscreenElement === document.documentElement")
    page.tab.until(CONNECTED)
    page.tab.js("document.getElementById('noVNC_fullscreen_button').click()", by_user=True)
    page.tab.until("!document.fullscreenElement")
    page.tab.size(640, 480)  # whatever size the screen had
    page.shows(640, 480, guest.mode(640, 480))
    page.tab.size(1000, 700)
    page.shows(1000, 700, guest.mode(1000, 700))


def test_two_viewers_at_once(guest, browser, page):
    second = Page(browser.tab(), guest)
    second.tab.size(900, 600)
    seed = guest.mode(900, 600)
    second.shows(900, 600, seed)
    page.shows(900, 600, seed)  # the guest has one size; who asked last has it
    guest.skip()
    for p, (code, key, number, linux) in ((page, ("KeyS", "s", 83, 31)), (second, ("KeyD", "d", 68, 32))):
        for down in True, False:
            p.tab.key(code, key, number, down)
        guest.keys((linux, 1), (linux, 0))
    second.tab.key("ControlLeft", "Control", 17, True, modifiers=2)
    guest.keys((29, 1))
    second.tab.close()  # with a key held
    guest.keys((29, 0))
    page.tab.size(1001, 700)
    page.shows(1001, 700, guest.mode(1001, 700))
    page.tab.size(1000, 700)
    page.shows(1000, 700, guest.mode(1000, 700))


def test_a_broken_connection_is_taken_up_again(guest, page):
    """Without an address: the browser is known."""
    page.tab.js("new MutationObserver(() => { window.broke = window.broke || "
                "document.documentElement.classList.contains('noVNC_reconnecting'); })"
                ".observe(document.documentElement, {attributes: true})")
    if not guest.drop_viewers(page.port):  # nobody may touch its sockets here: at this end, then
        page.tab.js(f"{UI}.then(ui => ui.rfb._sock._websocket.close())")
    page.tab.until("window.broke")
    page.tab.until(CONNECTED)
    guest.skip()
    for down in True, False:
        page.tab.key("KeyA", "a", 65, down)
    guest.keys((30, 1), (30, 0))
    page.tab.call("Page.reload")
    time.sleep(0.5)
    page.tab.until(CONNECTED)


def test_two_machines_in_one_browser(guest, browser, page, home, tiny_kernel):
    """Each by an address of its own on the same host; neither takes the other's place."""
    other = home / "other.vz"
    make_folder(other, "--kernel", tiny_kernel(b"\xfa\xf4\xeb\xfd"), "--memory", "16M", "--display", "800x600")
    subprocess.run([VZ, "start", "other"], check=True)
    second = Page(browser.tab(beside=page.tab), Guest("other", other))
    for p in page, second, page:
        p.tab.call("Page.reload")
        time.sleep(0.5)
        p.tab.until(CONNECTED)
        p.tab.until(f"document.title.startsWith('{p.guest.name} ')")
    second.tab.close()


def test_a_machine_that_ends_and_comes_back(guest, browser, page):
    guest.stop()
    page.tab.until(f"!{CONNECTED}")
    guest.start()
    again = Page(browser.tab(beside=page.tab), guest)  # in the same browser, whose cookie was the other run's
    again.shows(1000, 700, guest.mode(1000, 700))
    again.tab.close()


def test_by_tls(browser, home, tiny_kernel, tmp_path):
    p = subprocess.Popen([VZ, "run", "--kernel", tiny_kernel(b"\xfa\xf4\xeb\xfd"), "--memory", "16M", "--display", "800x600",
                          "--vnc=127.0.0.1", "--vnc-tls", "--serial", "null"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "XDG_DATA_HOME": str(tmp_path)})
    try:
        line = p.stderr.readline()
        url = re.search(r"in a browser (https://\S+)", line)[1]
        threading.Thread(target=p.stderr.read, daemon=True).start()
        tab = browser.tab()
        assert "CERT" in tab.go(url)  # nobody has told the browser of the certificate
        assert tab.go(url.replace("https:", "http:")) not in (200, 403)  # nor does anything go in plain
        tab.call("Security.setIgnoreCertificateErrors", ignore=True)
        assert tab.go(url) == 200
        tab.until(CONNECTED)
        tab.until("(c => c.width == 1000 && c.height == 700)(document.querySelector('#noVNC_container canvas'))")
        tab.close()
    finally:
        p.kill()
        p.wait()
