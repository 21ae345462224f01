# SPDX-License-Identifier: MIT
"""What the boot tests share: machines that run to their end, and machines on a terminal."""
import contextlib
import re
import subprocess
import threading
import time

import pexpect

from conftest import PATIENT, VZ, Result

BOOT_LIMIT_S = 900  # only against hanging: a shared host may be slow
SHELL = "setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1\npoweroff -f\n"

# What no kernel may say. Some harmless lines contain a word of these: they are named beside it.
TROUBLE = re.compile(r"BUG|WARNING|Oops|Call Trace|unchecked MSR|lockup|RCU.*stall|rcu.*stall|"
                     r"clocksource:.*unstable|TSC.*(warp|unstable)|APIC error|spurious|"
                     r"firmware bug|ACPI.*(Error|Warning)|general protection|segfault|invalid opcode|"
                     r"irq \d+: nobody cared|alg: .*(failed|mismatch|wrong)|"
                     r"divide error|double fault|hardware error", re.I)
HARMLESS = re.compile(r"if necessary, use \"pci=nocrs\" and report a bug|BHB clearing|"
                      r"This is not a bug|debug|kfence|warn_on|rcu_cpu_stall_timeout", re.I)


class Timed(Result):
    """A Result that also knows when each line of the serial port came: [(monotonic s, line)]."""

    def __init__(self, status, lines, err):
        super().__init__(status, "".join(line + "\n" for _, line in lines), err)
        self.lines = lines

    def when(self, line):
        return next(t for t, text in self.lines if text == line)

    def section(self, name):
        """What the guest printed after the line "== NAME", up to the next such line."""
        return self.out.split(f"== {name}\n", 1)[1].split("\n== ", 1)[0]


def run(kernel, initrd, *more, cmdline="console=ttyS0 quiet", limit_s=BOOT_LIMIT_S, pass_fds=(), within=()):
    """Boot, wait for the end, return a Timed. within: a command that runs others, and is to run vz."""
    argv = [*within, VZ, "run", "--kernel", kernel, "--initrd", str(initrd), "--cmdline",
            f"{cmdline} {PATIENT}", *map(str, more)]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, pass_fds=pass_fds)
    lines, deadline = [], time.monotonic() + limit_s
    watchdog = threading.Timer(limit_s, p.kill)
    watchdog.start()
    try:
        for line in p.stdout:
            text = line.decode(errors="replace").replace("\r", "").rstrip("\n")
            lines.append((time.monotonic(), text))
        err = p.stderr.read().decode(errors="replace")
        status = p.wait()
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()
    result = Timed(status, lines, err)
    assert time.monotonic() < deadline, f"expected an end within {limit_s} s, saw none: {result}"
    return result


def trouble(log):
    return [line for line in log.splitlines() if TROUBLE.search(line) and not HARMLESS.search(line)]


@contextlib.contextmanager
def spawn(kernel, initrd, *more, cmdline="console=ttyS0 quiet"):
    """Boot on a pseudo-terminal; with spawn(...) as child, which is gone after it."""
    child = pexpect.spawn(VZ, ["run", "--kernel", kernel, "--initrd", str(initrd), "--cmdline",
                               f"{cmdline} {PATIENT}", *map(str, more)], timeout=BOOT_LIMIT_S)
    try:
        yield child
    finally:
        child.close(force=True)
