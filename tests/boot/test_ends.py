# SPDX-License-Identifier: MIT
"""How guests end: power-off, reset, panic; and what is said when they cannot go on."""
import contextlib
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import boots
import guest_drivers
from conftest import VZ


def reboots(kernels, initrd, cmdline="console=ttyS0 quiet"):
    """The machine boots to init twice; then leave with Ctrl-A x."""
    with boots.spawn(kernels["cloud"], initrd, cmdline=cmdline) as child:
        child.expect("vz-init-here")
        child.expect("vz-init-here")
        child.send("\x01x")
        child.expect(boots.pexpect.EOF)
        child.wait()
        return child.exitstatus


@pytest.mark.parametrize("how", ["reboot -f", "echo b >/proc/sysrq-trigger",
                                 "echo c >/proc/sysrq-trigger"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_reset_with_no_reboot_ends_with_0(kernels, initramfs, how, cpus):
    script = f"echo 1 >/proc/sys/kernel/sysrq\necho going\nsleep 0.3\n{how}\nsleep 10000\n"
    r = boots.run(kernels["cloud"], initramfs(script), "--no-reboot", "--cpus", cpus,
                  cmdline="console=ttyS0 quiet panic=1")
    assert r.status == 0 and r.out.count("going") == 1, r
    assert ("sysrq triggered crash" in r.out) == how.startswith("echo c"), r


def test_reset_reboots(kernels, initramfs):
    assert reboots(kernels, initramfs("echo vz-init-here\nsleep 0.5\nreboot -f\n")) == 0


def test_panic_reboots(kernels, initramfs):
    script = "echo vz-init-here\nsleep 0.5\nexit 3\n"  # init must not
    assert reboots(kernels, initramfs(script), "console=ttyS0 quiet panic=1") == 0


# Ways the kernel knows to reset a PC.
@pytest.mark.parametrize("way", ["acpi", "kbd", "pci", "force", "bios"])
def test_every_way_to_reset(kernels, initramfs, way):
    r = boots.run(kernels["cloud"], initramfs("reboot -f\n"), "--no-reboot", "--cpus", 2,
                  cmdline=f"console=ttyS0 quiet reboot={way}")
    assert r.status == 0 and r.err == "", r


def test_triple_fault_ends_with_3_and_says_what_the_cpu_did(kernels, initramfs):
    r = boots.run(kernels["cloud"], initramfs("reboot -f\n"), "--cpus", 2,
                  cmdline="console=ttyS0 quiet reboot=triple")
    assert r.status == 3, r
    assert "triple fault" in r.err and re.search(r"rip", r.err, re.I), r


CRASH = "echo 1 >/proc/sys/kernel/sysrq\necho going\necho c >/proc/sysrq-trigger\nsleep 10000\n"


@pytest.fixture(scope="module")
def panicking(initramfs, tmp_path_factory):
    """An initramfs whose kernel panics with its pvpanic driver loaded."""
    drivers = ("pvpanic", "pvpanic-mmio")
    files = guest_drivers.files(tmp_path_factory.mktemp("modules"), drivers)
    assert len(files) == len(drivers)
    return initramfs(guest_drivers.load(drivers) + CRASH, *files)


@pytest.mark.parametrize("cmdline", ["panic=0", "panic=1"])
def test_a_panic_that_the_guest_tells_ends_with_3(kernels, panicking, cmdline):
    r = boots.run(kernels["cloud"], panicking, cmdline=f"console=ttyS0 quiet {cmdline}")
    assert r.status == 3 and "panicked" in r.err and r.err.count("\n") == 1, r
    assert "sysrq triggered crash" in r.out, r


def test_a_panic_may_be_ignored(kernels, panicking):
    r = boots.run(kernels["cloud"], panicking, "--ignore-panic", "--no-reboot",
                  cmdline="console=ttyS0 quiet panic=1")
    assert r.status == 0 and r.err == "" and r.out.count("going") == 1, r


def test_time_is_over(kernels, initramfs):
    started = time.monotonic()
    r = boots.run(kernels["cloud"], initramfs("sleep 100000\n"), "--timeout", "3s")
    assert r.status == 124 and "--timeout" in r.err, r
    assert time.monotonic() - started >= 3


# Without a program that listens to the button the kernel does, and nothing comes of it.
BUTTON = ("button", "evdev")
LISTENS = "head -c 96 /dev/input/event0 >/dev/null; echo pressed\n"


@pytest.fixture(scope="module")
def with_button(initramfs, tmp_path_factory):
    files = guest_drivers.files(tmp_path_factory.mktemp("modules"), BUTTON)
    return lambda script: initramfs(guest_drivers.load(BUTTON) + "echo up\n" + script, *files)


@contextlib.contextmanager
def started(kernel, initrd, *more):
    """vz without a terminal, once the guest is up."""
    p = subprocess.Popen([VZ, "run", "--kernel", kernel, "--initrd", initrd, "--cmdline",
                          "console=ttyS0 quiet", *more], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(boots.BOOT_LIMIT_S, p.kill)
    watchdog.start()
    try:
        assert any(line.startswith("up") for line in p.stdout)
        time.sleep(1)
        yield p
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_asks_the_guest(kernels, with_button, sig):
    with started(kernels["cloud"], with_button(LISTENS + "echo bye; poweroff -f\n")) as p:
        p.send_signal(sig)
        out, err = p.communicate()
        assert p.returncode == -sig
        assert "pressed\nbye\n" in out and "asked the guest" in err, out + err


def test_a_second_signal_pulls_the_plug(kernels, with_button):
    with started(kernels["cloud"], with_button("sleep 100000\n")) as p:
        p.send_signal(signal.SIGTERM)
        assert "asked the guest" in p.stderr.readline()
        p.send_signal(signal.SIGTERM)  # as timeout(1) sends it twice: the same wish
        time.sleep(1)
        assert p.poll() is None
        p.send_signal(signal.SIGTERM)
        assert p.wait(60) == -signal.SIGTERM


def test_a_guest_that_does_not_shut_down_is_turned_off(kernels, with_button):
    with started(kernels["cloud"], with_button("sleep 100000\n"), "--stop", "2s") as p:
        p.send_signal(signal.SIGTERM)
        _, err = p.communicate(timeout=60)
        assert p.returncode == -signal.SIGTERM and "has not shut down" in err, err


def test_stop_now_does_not_ask(kernels, with_button):
    with started(kernels["cloud"], with_button(LISTENS + "sleep 100000\n"), "--stop=now") as p:
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=60)
        assert p.returncode == -signal.SIGTERM and err == "" and "pressed" not in out, out + err


def test_keys_ask_the_guest(kernels, with_button):
    initrd = with_button(LISTENS + LISTENS + "echo bye; poweroff -f\n")
    with boots.spawn(kernels["cloud"], initrd) as child:
        child.expect("up")
        time.sleep(1)
        child.send("\x01s")  # presses, and stays
        child.expect("pressed the guest's power button")
        child.expect("pressed")
        child.send("\x01z")
        child.expect("Ctrl-A z is no key")
        child.send("\x01x")
        child.expect("asked the guest")
        child.expect("bye")
        child.expect(boots.pexpect.EOF)
        assert child.wait() == 0


def test_another_prefix_key(kernels, initramfs):
    with boots.spawn(kernels["cloud"], initramfs("echo up; read x; echo \"$x\" | hexdump -C\n"
                                                 "sleep 100000\n"), "--escape", "ctrl-b") as child:
        child.expect("up")
        child.send("a\x01xb\r")
        child.expect("61 01 78 62")
        child.send("\x02h")
        child.expect("Ctrl-B x")
        child.send("\x02x")
        child.expect(boots.pexpect.EOF)
        assert child.wait() == 0


def test_serial_to_a_file(kernels, initramfs, tmp_path):
    log = tmp_path / "log"
    r = boots.run(kernels["cloud"], initramfs("echo to the file\npoweroff -f\n"),
                  "--serial", f"file:{log}")
    assert r.status == 0 and r.out == "", r
    assert b"to the file" in log.read_bytes()


def test_stats_are_printed(kernels, initramfs):
    r = boots.run(kernels["cloud"], initramfs("poweroff -f\n"), "--stats", "--serial", "null")
    assert r.status == 0 and r.out == "", r
    assert re.search(r"^machine\.resets +0$", r.err, re.M), r


def test_what_happens_can_be_traced(kernels, initramfs):
    """VZ_TRACE: layers that are named, and no others; a name that is none is said to be none."""
    argv = [VZ, "run", "--kernel", kernels["cloud"], "--initrd", initramfs("poweroff -f\n"), "--rng",
            "--accel", "soft", "--cmdline", "console=ttyS0 quiet"]
    p = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, errors="replace", timeout=600,
                       env={**os.environ, "VZ_TRACE": "machine,chipset,pci,irqs"})
    line = re.compile(r"^vz: \d+\.\d{6} (\w+) \S+:[0-9a-f]{4} (.*)$", re.M)
    events = line.findall(p.stderr)
    assert p.returncode == 0, p.stderr[-3000:]
    assert {layer for layer, _ in events} == {"machine", "chipset", "pci"}, p.stderr[-3000:]
    assert ("machine", "running, was starting") in events, events[-20:]
    assert ("chipset", "the guest turns itself off") in events, events[-20:]
    assert "there is no layer 'irqs'" in p.stderr


def test_every_layer_counts(kernels, initramfs, tmp_path):
    """--stats: what was written to the console and read from a disk is what was counted."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    argv = [VZ, "run", "--kernel", kernels["cloud"], "--initrd", initramfs("poweroff -f\n"),
            "--disk", f"{disk},filter=log+delay:5ms", "--rng", "--net", "nat", "--stats", "--cmdline", "console=ttyS0"]
    p = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=600)
    stats = dict(re.findall(r"^(\S+) +(\d+)$", p.stderr.decode(), re.M))
    assert p.returncode == 0, p.stderr[-3000:]
    assert {"block.reads", "block.bytes_read", "net.sent_frames", "net.dropped", "virtio.queue_turns",
            "virtio.interrupts", "char.bytes_to_guest", "bus.port_writes"} <= set(stats), stats
    assert int(stats["char.bytes_from_guest"]) == len(p.stdout), stats
    assert stats["virtio.broken"] == stats["block.errors"] == "0", stats
    argv[argv.index("--disk") + 1] = f"{disk},filter=nonsense"
    p = subprocess.run(list(map(str, argv)), stdin=subprocess.DEVNULL, capture_output=True, timeout=600)
    assert p.returncode != 0 and b"filter 'nonsense' is none: log, delay:TIME" in p.stderr, p.stderr
