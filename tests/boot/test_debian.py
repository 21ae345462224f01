# SPDX-License-Identifier: MIT
"""Debian's kernels boot, see the machine they were promised, and have nothing to complain of."""
import calendar
import os
import re
import time

import pytest

import boots

LOOK = r"""
dmesg -n 1
say() { echo "== $1"; }
say dmesg; dmesg
say cpuinfo; cat /proc/cpuinfo
say meminfo; cat /proc/meminfo
say vulnerabilities; (cd /sys/devices/system/cpu/vulnerabilities; grep . *)
say clocksource; cat /sys/devices/system/clocksource/clocksource0/current_clocksource
say dmi; (cd /sys/class/dmi/id; grep . sys_vendor product_name product_uuid)
say kernel; uname -r
for cpu in $(seq 0 $(($(nproc) - 1))); do taskset $((1 << cpu)) sleep 0.2; done
say interrupts; cat /proc/interrupts
say rtc; hwclock -r -u; date -u +%s
clocks() { for i in 1 2 3 4 5 6 7 8 9 10; do
    echo "clocks $(date -u +%s) $(cut -d ' ' -f 1 /proc/uptime)"; sleep 0.1; done; }
say begin; clocks
sleep 2
say end; clocks
say after; dmesg | tail -n 3
poweroff -f
"""

MACHINES = [("cloud", 1, "512M"), ("cloud", 2, "1G"), ("cloud", 4, "3G"), ("cloud", 8, "5G"),
            ("cloud", 1, "96M"), ("amd64", 1, "1G"), ("amd64", 2, "6G")]


def is_busy(cpus):
    """Is there more to run than the host has CPUs? Then being late is the host's doing."""
    return max(cpus, os.getloadavg()[0]) > (os.cpu_count() or 1)


@pytest.fixture(scope="module", params=MACHINES, ids=lambda m: "-".join(map(str, m)))
def machine(request, kernels, initramfs):
    """One boot of each machine, looked at by all tests: (result, kernel's name, CPUs, memory)"""
    name, cpus, memory = request.param
    r = boots.run(kernels[name], initramfs(LOOK), "--cpus", cpus, "--memory", memory)
    return r, name, cpus, memory


def test_powers_off_with_status_0(machine):
    r, *_ = machine
    assert r.status == 0 and r.err == "", r


def test_is_the_kernel_that_was_given(machine, kernels):
    r, name, *_ = machine
    with open(os.path.dirname(kernels[name]) + "/version") as f:
        assert r.section("kernel").strip() == f.read().strip()


def test_kernel_has_nothing_to_complain_of(machine):
    r, *_ = machine
    assert boots.trouble(r.section("dmesg") + r.section("after")) == []


def test_has_its_cpus_and_memory(machine):
    r, _, cpus, memory = machine
    assert len(re.findall(r"^processor", r.section("cpuinfo"), re.M)) == cpus
    kib = int(re.search(r"MemTotal: *(\d+)", r.section("meminfo")).group(1))
    wanted = int(memory[:-1]) * (1024 if memory[-1] == "M" else 1024 * 1024)
    # What the kernel itself takes: some 36 MiB, and a 64th for its page structures.
    assert wanted * 0.97 - 64 * 1024 < kib <= wanted


def test_no_costly_mitigations(machine):
    r, *_ = machine
    v = dict(line.split(":", 1) for line in r.section("vulnerabilities").strip().splitlines())
    assert v["meltdown"] == "Not affected"
    assert v["spectre_v2"].startswith("Mitigation: Enhanced / Automatic IBRS")
    assert "etpoline" not in r.section("vulnerabilities")
    assert "SW loop" not in v["spectre_v2"]
    for name in set(v) - {"spectre_v1", "spectre_v2"}:
        assert v[name] == "Not affected", name


def test_keeps_time_by_the_tsc(machine):
    r, *_ = machine
    assert r.section("clocksource").strip() == "tsc"


def test_smbios_identity(machine):
    r, *_ = machine
    uuid = re.search(r"product_uuid:([0-9a-f-]{36})$", r.section("dmi"), re.M)
    assert uuid and uuid.group(1)[14] == "4", r.section("dmi")  # a random one
    assert "product_name:Virtual Machine" in r.section("dmi")


def test_interrupts_arrive(machine):
    r, _, cpus, _ = machine
    rows = dict(re.findall(r"^ *(\w+): +([\d ]+)", r.section("interrupts"), re.M))
    count = {name: [int(n) for n in rows[name].split()] for name in rows}
    assert len(count["LOC"]) == cpus and min(count["LOC"]) > 0
    assert sum(count["4"]) > 0  # the serial port's
    if cpus > 1:
        assert max(count["RES"]) + max(count["CAL"]) > 0
    for bad in ("NMI", "SPU", "ERR", "MIS"):
        assert not any(count.get(bad, [0])), bad


def test_clocks_run_at_the_right_speed(machine):
    r, _, cpus, _ = machine
    readings = [(at, *map(float, line.split()[1:])) for at, line in r.lines
                if line.startswith("clocks ")]
    assert len(readings) == 20, r
    begin, end = readings[:10], readings[10:]
    # A line comes late or very late, never early: the one that was fastest tells the clocks apart.
    drift = (min(host - uptime for host, _, uptime in end) -
             min(host - uptime for host, _, uptime in begin))
    assert abs(drift) < (1 if is_busy(cpus) else 0.1)
    date_drift = (max(date - uptime for _, date, uptime in end) -
                  max(date - uptime for _, date, uptime in begin))
    assert abs(date_drift) < 1.1  # it is in whole seconds
    slept = end[0][2] - begin[-1][2]
    assert 2.08 <= slept <= (10 if is_busy(cpus) else 2.5)


def test_real_time_clock_is_right(machine):
    r, _, cpus, _ = machine
    written, system = r.section("rtc").splitlines()[:2]
    rtc = time.strptime(written.rsplit("  ", 1)[0], "%a %b %d %H:%M:%S %Y")
    late = 10 if is_busy(cpus) else 0
    assert -1 <= int(system) - calendar.timegm(rtc) <= 2 + late
    since = time.time() - time.monotonic()
    assert r.when("== rtc") + since - 2 - late <= int(system)
    assert int(system) <= r.when("== begin") + since + 1 + late
