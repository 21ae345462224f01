# SPDX-License-Identifier: MIT
"""How guests end: power-off, reset, panic; and what is said when they cannot go on."""
import re

import pytest

import boots


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
