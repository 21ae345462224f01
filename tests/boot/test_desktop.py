# SPDX-License-Identifier: MIT
"""Desktops' servers in a guest, this host's own (Xorg, Weston), which it has as a share: known patterns on two displays, and
what is to be seen of them, to the pixel; a size of the viewer's that the guest follows."""
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time

import pytest

import guest_drivers
from conftest import LONG, PATIENT, ROOT, SLOWER, VZ
from test_browser import Guest
from test_sound import PARAMETERS
from test_window import DRIVERS

sys.path[:0] = [f"{ROOT}/tests/lib", f"{ROOT}/tests/cli"]
from machines import Control, make_folder  # noqa: E402
from pattern_picture import Pattern, Screen  # noqa: E402

LIMIT_S = 120 * SLOWER
FOLLOWED_S = 0.3 * SLOWER
XORG = """Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AutoAddGPU" "false"
EndSection
Section "Device"
  Identifier "vz"
  Driver "modesetting"
  Option "kmsdev" "/dev/dri/card0"
  Option "AccelMethod" "none"
EndSection
"""
WESTON = """[core]
idle-time=0
[shell]
background-image=/tmp/pattern.png
background-type=tile
panel-position=none
locking=false
startup-animation=none
"""
# The host's root, of which nothing can be changed, with the guest's own devices and folders for what is written.
SCRIPT = """exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
mkdir /h
mount -t virtiofs host /h
mount --bind /dev /h/dev
mount --bind /proc /h/proc
mount --bind /sys /h/sys
for d in tmp run var; do mount -t tmpfs tmpfs /h/$d; done
mkdir -m 1777 /h/tmp/.X11-unix
mkdir -p -m 700 /h/run/user /h/var/lib/xkb
cp /bin/xpattern /files/* /h/tmp
echo ready
while read -r _ line; do eval "$line"; done
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    yield home
    subprocess.run([VZ, "stop", "--now", "desk"], check=False, stderr=subprocess.DEVNULL)
    del os.environ["VZ_HOME"]


@pytest.fixture(scope="module")
def desk(home, kernels, initramfs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    modules, load = guest_drivers.Needs(folder)("virtio_pci", "virtio_gpu", "virtiofs")
    files = []
    for name, content in (("x.conf", XORG.encode()), ("weston.ini", WESTON.encode()),
                          ("pattern.png", Pattern(1024, 768, 7).png())):
        (folder / name).write_bytes(content)
        files.append((folder / name, f"files/{name}"))
    initrd = initramfs(load + SCRIPT, guest_drivers.program(folder, "tests/boot/programs/xpattern.c"), *modules, *files)
    make_folder(home / "desk.vz", "--kernel", kernels["amd64"], "--initrd", initrd, "--memory", "1G", "--cmdline",
                f"console=ttyS0 quiet {PATIENT}", "--display", "800x600,scanout=640x480", "--share", "host=/,ro")
    g = Guest("desk", home / "desk.vz")
    g.start()
    g.wait("ready")
    return g


@pytest.fixture
def screens(desk):
    control = Control(desk.folder)
    made = [Screen(control, display) for display in (0, 1)]
    yield made
    for s in made:
        s.channel.close()
    control.close()


@contextlib.contextmanager
def running(desk, command):
    """A program of the host's, in the guest, whose root that is."""
    desk.tell("sh", f"XDG_RUNTIME_DIR=/run/user setsid chroot /h {command} </dev/tty1 >/h/run/said 2>&1 & running=$!")
    yield
    desk.tell("sh", "kill $running; wait $running; echo stopped")
    desk.wait("stopped")


def descriptors(desk):
    """How many the machine has, but of files, which are the share's; a connection of before may be among them."""
    control = Control(desk.folder)
    folder = f"/proc/{control.call('info')['result']['pid']}/fd"
    control.close()
    found = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.lexists(f"{folder}/{name}")]
    return sum(not path.startswith("/") or path.startswith("/memfd:") for path in found)


def all_show(desk, screens, *sizes):
    """Each display has that mode, and what the guest has drawn there."""
    seeds = [int(desk.wait(rf"mode {i} {width} {height} (\d+)")[1]) for i, (width, height) in enumerate(sizes)]
    when = time.monotonic()
    for screen, size, seed in zip(screens, sizes, seeds):
        screen.wait(*size, seed, LIMIT_S)
    return when


@pytest.mark.skipif(not shutil.which("Xorg"), reason="there is no X server (package xserver-xorg-core)")
def test_an_x_server_on_two_displays_follows_its_viewers(desk, screens):
    first, second = (800, 600), (640, 480)
    with running(desk, "Xorg :0 -config /tmp/x.conf -logfile /run/x.log -ac -nolisten tcp -noreset -novtswitch "
                 "-sharevts vt1"):
        desk.tell("sh", "chroot /h /tmp/xpattern follow & drawing=$!")
        all_show(desk, screens, first, second)
        before, taken, times = descriptors(desk), screens[0].memory_taken(), []
        for n in range(12 * LONG):
            size, began = (500 + 57 * n % 800, 400 + 83 * n % 500), time.monotonic()
            screens[0].resize(*size)
            times.append(all_show(desk, screens, size, second) - began)
        print(f"followed after {statistics.median(times):.3f} s, and {max(times):.3f} s at worst")
        screens[0].resize(*first)
        all_show(desk, screens, first, second)
        after, now_taken = descriptors(desk), screens[0].memory_taken()
        desk.tell("sh", "kill $drawing")
    assert after < before + 6 and now_taken <= taken + (1 << 20)
    assert min(times) < FOLLOWED_S, times


@pytest.mark.skipif(not shutil.which("weston"), reason="there is no Wayland compositor (package weston)")
def test_a_wayland_compositor_on_two_displays(desk, screens):
    """It keeps the mode that it has found: another one is for its next start."""
    for size in ((800, 600), (1003, 701), (640, 400)):
        screens[0].resize(*size)
        with running(desk, "weston --backend=drm-backend.so --tty=1 --use-pixman --continue-without-input "
                     "--config=/tmp/weston.ini"):
            screens[0].wait(*size, 7, LIMIT_S)
            screens[1].wait(640, 480, 7, LIMIT_S)


@pytest.fixture
def noisy(home, kernels, initramfs, tmp_path):
    """A machine with a picture that follows its viewers, and a sound card."""
    names = (*guest_drivers.VIRTIO, *guest_drivers.SOUND, *DRIVERS)
    programs = [guest_drivers.program(tmp_path, f"tests/boot/programs/{p}.c") for p in ("desktop", "tone")]
    script = (guest_drivers.load(names, virtio_snd=PARAMETERS) +
              "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\nmkfifo /desktop\nexec 4<>/desktop\n"
              'desktop </desktop &\nwhile read -r _ line; do eval "$line"; done\n')
    make_folder(home / "noisy.vz", "--kernel", kernels["newer"], "--initrd",
                initramfs(script, *programs, *guest_drivers.files(tmp_path, names, kernel="newer")), "--memory", "512M",
                "--cmdline", f"console=ttyS0 quiet {PATIENT}", "--display", "800x600", "--sound", "output=none,input=none")
    g = Guest("noisy", home / "noisy.vz")
    g.start()
    yield g
    g.stop()


def test_the_screen_and_the_sound_survive_pauses_saves_and_rewinds(noisy):
    def screen():
        control = Control(noisy.folder)
        found = Screen(control)
        control.close()
        return found

    def follow(width, height):
        s = screen()
        s.resize(width, height)
        seed = noisy.mode(width, height)
        s.wait(width, height, seed, LIMIT_S)
        s.channel.close()
        return width, height, seed

    def still_shows(picture):
        s = screen()
        s.wait(*picture, LIMIT_S)
        s.channel.close()
        noisy.tell("sh", "tone play /dev/snd/pcmC0D0p 1")
        noisy.wait("tone: play took .*")

    def vz(*words):
        subprocess.run([VZ, *words], check=True)

    noisy.mode(800, 600)
    picture = follow(1003, 701)
    vz("pause", "noisy")
    s = screen()
    s.wait(*picture, LIMIT_S)
    s.channel.close()
    vz("resume", "noisy")
    still_shows(picture)
    vz("snapshot", "noisy", "then")
    follow(640, 480)
    vz("rewind", "noisy", "then")
    still_shows(picture)
    follow(900, 600)
    picture = follow(777, 555)
    vz("save", "noisy")
    vz("start", "noisy")
    still_shows(picture)
    follow(800, 600)
