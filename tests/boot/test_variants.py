# SPDX-License-Identifier: MIT
"""Ways through the kernel that a plain boot does not take: other timers and interrupt controllers,
costlier mitigations, code patched while it runs, CPUs that come and go, NMIs."""
import hashlib
import re

import pytest

import boots

LOOK = r"""
echo "== look"
cat /sys/devices/system/clocksource/clocksource0/current_clocksource
sleep 1
seq 1 5000 | sha256sum
grep -E 'timer|LOC' /proc/interrupts
echo "== dmesg"; dmesg
poweroff -f
"""

# What the kernel says where it does as it is told, and the clock source.
VARIANTS = {
    "lapic=notscdeadline": (r"", "tsc"),
    "noapic": (r"", "tsc"),
    "nolapic": (r"", "tsc"),
    "clocksource=acpi_pm": (r"Switched to clocksource acpi_pm", "acpi_pm"),
    "nolapic_timer": (r"", "tsc"),
    "nohz=off highres=off": (r"", "tsc"),
    "pti=on": (r"page tables isolation: (force )?enabled", "tsc"),
    "pti=on nopcid": (r"page tables isolation: (force )?enabled", "tsc"),
    "spectre_v2=retpoline": (r"Mitigation: Retpolines", "tsc"),
    "noxsave": (r"", "tsc"),
    "nosmap nosmep nogbpages nofsgsbase pci=nomsi,conf1": (r"", "tsc"),
    "acpi=off": (r"", "tsc"),
}


@pytest.mark.parametrize("words", VARIANTS)
def test_boots_with(kernels, initramfs, words):
    said, clock = VARIANTS[words]
    # Without ACPI there is no power-off, and the kernel only halts: reset instead.
    script = LOOK.replace("poweroff", "reboot") if "acpi=off" in words else LOOK
    r = boots.run(kernels["cloud"], initramfs("dmesg -n 1\n" + script), "--cpus", 2, "--memory",
                  "256M", "--no-reboot", cmdline=f"console=ttyS0 quiet {words}")
    assert r.status == 0, r
    look = r.section("look").splitlines()
    assert look[0] == clock
    numbers = "".join(f"{i}\n" for i in range(1, 5001)).encode()
    assert look[1] == hashlib.sha256(numbers).hexdigest() + "  -"
    assert re.search(said, r.section("dmesg")), said
    assert boots.trouble(r.section("dmesg")) == []


# Code memory that is emptied all the time, the JIT without what hides its mistakes, and in lockstep
# with the interpreter; and programs on the host's own processor.
@pytest.mark.parametrize("words", ["cache=64K", "no-chain,no-indirect,no-liveness", "check=8", "direct=on",
                                   "direct=always"])
def test_boots_with_jit(kernels, initramfs, words):
    r = boots.run(kernels["cloud"], initramfs("dmesg -n 1\n" + LOOK), "--cpus", 2, "--memory", "256M",
                  "--jit", words)
    assert r.status == 0, r
    numbers = "".join(f"{i}\n" for i in range(1, 5001)).encode()
    assert r.section("look").splitlines()[1] == hashlib.sha256(numbers).hexdigest() + "  -"
    assert boots.trouble(r.section("dmesg")) == []


@pytest.mark.parametrize("kernel", ["cloud", "amd64"])
def test_boots_in_strict_memory(kernels, initramfs, monkeypatch, kernel):
    """Who writes guest memory without having asked for it (src/mem/mem.h) ends vz."""
    monkeypatch.setenv("VZ_STRICT_MEMORY", "1")
    r = boots.run(kernels[kernel], initramfs("dmesg -n 1\n" + LOOK), "--cpus", 2, "--memory", "256M",
                  "--accel", "soft")
    assert r.status == 0, r
    assert boots.trouble(r.section("dmesg")) == []


TRACE = r"""
dmesg -n 1
mount -t tracefs t /sys/kernel/tracing || mount -t debugfs d /sys/kernel/debug
cd /sys/kernel/tracing || cd /sys/kernel/debug/tracing
(while :; do seq 1 500 | sha256sum; done) >/dev/null &
echo function >current_tracer; sleep 0.2; echo nop >current_tracer
echo function_graph >current_tracer; sleep 0.2; echo nop >current_tracer
echo 'p:one do_sys_openat2' >kprobe_events; echo 'r:two do_sys_openat2 $retval' >>kprobe_events
echo 1 >events/kprobes/enable
for i in 1 2 3 4 5; do cat /proc/uptime >/dev/null; done
echo "== hits"; cat kprobe_profile
echo 0 >events/kprobes/enable; echo >kprobe_events
kill %1
echo "== dmesg"; dmesg
poweroff -f
"""


@pytest.mark.parametrize("cpus", [1, 2])
def test_kernel_code_patched_while_it_runs(kernels, initramfs, cpus):
    r = boots.run(kernels["cloud"], initramfs(TRACE), "--cpus", cpus)
    assert r.status == 0, r
    hits = dict(re.findall(r"^ *(\w+) +(\d+) +\d+$", r.section("hits"), re.M))
    assert int(hits["one"]) >= 5 and int(hits["two"]) >= 4, hits
    assert boots.trouble(r.section("dmesg")) == []


HOTPLUG = r"""
dmesg -n 1
echo 1 >/proc/sys/kernel/sysrq
for i in 1 2 3; do
    echo 0 >/sys/devices/system/cpu/cpu1/online; nproc
    echo 1 >/sys/devices/system/cpu/cpu1/online; nproc
done
taskset 2 true && echo there
echo "== nmi"; (taskset 2 sh -c 'while :; do :; done') & sleep 0.3
echo l >/proc/sysrq-trigger; sleep 0.3
grep NMI /proc/interrupts
echo "== dmesg"; dmesg
poweroff -f
"""


def test_cpus_come_and_go_and_take_nmis(kernels, initramfs):
    r = boots.run(kernels["cloud"], initramfs(HOTPLUG), "--cpus", 2)
    assert r.status == 0, r
    assert r.out.startswith("1\n2\n1\n2\n1\n2\nthere\n"), r
    assert "NMI backtrace for cpu" in r.section("dmesg"), r
    assert sum(map(int, re.findall(r"\b\d+\b", r.section("nmi")))) > 0
