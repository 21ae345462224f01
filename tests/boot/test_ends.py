# SPDX-License-Identifier: MIT
"""How guests end: power-off, reset, panic; and what is said when they cannot go on."""
import os
import re
import subprocess

import pytest

import boots

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
@pytest.mark.parametrize("way", ["acpi", "kbd", "pci", "force"])
def test_every_way_to_reset(kernels, initramfs, way):
    r = boots.run(kernels["cloud"], initramfs("reboot -f\n"), "--no-reboot", "--cpus", 2,
                  cmdline=f"console=ttyS0 quiet reboot={way}")
    assert r.status == 0 and r.err == "", r


def test_triple_fault_ends_with_1_and_says_what_the_cpu_did(kernels, initramfs):
    r = boots.run(kernels["cloud"], initramfs("reboot -f\n"), "--cpus", 2,
                  cmdline="console=ttyS0 quiet reboot=triple")
    assert r.status == 1, r
    assert "triple fault" in r.err and re.search(r"rip", r.err, re.I), r


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
