# SPDX-License-Identifier: MIT
"""Programs of the guest on the host's own processor (docs/direct.md): what of it shows from outside."""
import os
import re
import signal
import subprocess
import time

import pytest

import boots
from conftest import BUILD, VZ

ALWAYS = ("--accel", "soft", "--jit", "direct=always")


def children(pid):
    """{pid: name} of all processes below one."""
    parents, names = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as f:
                name, rest = re.fullmatch(r"\d+ \((.*)\) (.*)", f.read().strip(), re.S).groups()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(entry)], names[int(entry)] = int(rest.split()[1]), name
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return {p: names[p] for p in found - {pid}}


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def busiest(pid):
    """The stub that runs: the one that has had most of the processor in half a second. 0: none has."""
    before = {p: cpu_ticks(p) for p in children(pid)}
    time.sleep(0.5)
    used = {p: cpu_ticks(p) - before[p] for p in children(pid) if p in before}
    return max((p for p in used if used[p]), key=used.get, default=0)


@pytest.fixture(scope="module")
def judged(kernels, initramfs):
    """What a machine says of this host: why programs do not run directly, or nothing."""
    r = boots.run(kernels["cloud"], initramfs("poweroff -f\n"), "--stats", *ALWAYS)
    counts = dict(re.findall(r"^cpu\.(direct_\w+) +(\d+)", r.err, re.M))
    why = re.search(".*do not run directly.*", r.err)
    assert why or (int(counts["direct_stubs"]) > 0 and int(counts["direct_traps"]) > 0), r
    return why and why[0]


@pytest.fixture
def serving(judged):
    return not judged


@pytest.fixture
def serves(judged):
    if judged:
        pytest.skip(judged)


def with_libraries(*programs):
    """Programs and what they load: (file here, its path in a guest)."""
    found = {p: p for p in programs}
    for program in programs:
        out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        found |= {path: path for path in re.findall(r"(/\S+) \(", out)}
    return [(os.path.realpath(here), there) for here, there in found.items()]


def test_programs_run_directly_in_a_machine_in_a_machine(serving, kernels, initramfs):
    """Ours is a processor that serves, whatever the one below does: so hosts that do not, test all the same."""
    if serving:
        pytest.skip("the host lets programs run directly, so all tests of that are run on it")
    guests = {"mappings": "cpus=2 steps=100", "shootdowns": "cpus=2 rounds=10", "userfaults": "cpus=1"}
    files = with_libraries(VZ, f"{BUILD}/src/stub_test")
    files += [(f"{BUILD}/tests/guest/{name}.elf",) * 2 for name in guests]
    script = "mkdir -p /dev/shm; mount -t tmpfs tmp /dev/shm; ip link set lo up\n"
    script += f"{BUILD}/src/stub_test; echo stub_test $?\n"
    for name, words in guests.items():
        script += (f"{VZ} run --kernel {BUILD}/tests/guest/{name}.elf --cpus {words[5]} --memory 128M "
                   f"--jit direct=always --stats --debug-exit --no-reboot --cmdline '{words}'; echo {name} $?\n")
    r = boots.run(kernels["cloud"], initramfs(script + "poweroff -f\n", *files), "--cpus", "2", "--memory", "1G")
    ends = dict(re.findall(r"^(\w+) (\d+)\r?$", r.out, re.M))
    assert ends == {"stub_test": "0", **dict.fromkeys(guests, "1")}, r
    traps = [int(n) for n in re.findall(r"cpu\.direct_traps +(\d+)", r.out)]
    assert len(traps) == len(guests) and min(traps) > 100, r


def test_a_stub_that_is_killed_ends_the_machine_with_a_sentence(serves, kernels, initramfs):
    script = "echo running\nwhile :; do :; done\n"
    with boots.spawn(kernels["cloud"], initramfs(script), *ALWAYS) as child:
        child.expect("running")
        stub = 0
        while not stub:
            stub = busiest(child.pid)
        os.kill(stub, signal.SIGKILL)
        child.expect("the host has killed a process in which a program of the guest ran")
        child.expect(boots.pexpect.EOF)
        child.wait()
        assert child.exitstatus != 0


@pytest.mark.parametrize("mode", ("direct=always", "direct=check"))
def test_a_stub_that_is_stopped_keeps_no_machine_from_ending(serves, kernels, initramfs, mode):
    """Nor one that somebody else has frozen, which is the same to who waits for it."""
    script = "echo running\nwhile :; do :; done\n"
    with boots.spawn(kernels["cloud"], initramfs(script), "--accel", "soft", "--jit", mode, "--cpus", "2") as child:
        child.expect("running")
        stub = 0
        while not stub:
            stub = busiest(child.pid)
            stub = stub if stub != child.pid and not os.kill(stub, signal.SIGSTOP) else 0
        time.sleep(1)
        os.kill(child.pid, signal.SIGTERM)
        child.expect("turning the machine off")
        child.expect(boots.pexpect.EOF)
        child.wait()
        assert child.signalstatus == signal.SIGTERM, child


def test_stubs_have_the_machines_name(serves, kernels, initramfs):
    with boots.spawn(kernels["cloud"], initramfs("echo running\nwhile :; do :; done\n"), "--name", "web frontend 7 of 9",
                     *ALWAYS) as child:
        child.expect("running")
        deadline = time.monotonic() + 60
        while "web frontend 7 " not in children(child.pid).values() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "web frontend 7 " in children(child.pid).values(), children(child.pid)


def test_a_reset_leaves_no_stubs(serves, kernels, initramfs):
    script = "echo vz-init-here; sleep 1; reboot -f\n"
    with boots.spawn(kernels["cloud"], initramfs(script), *ALWAYS) as child:
        counts = []
        for _ in range(4):
            child.expect("vz-init-here")
            counts.append(len(children(child.pid)))
        assert counts[0] and counts[-1] <= counts[0] + 1, counts
        below = children(child.pid)
    deadline = time.monotonic() + 60
    while [p for p in below if os.path.exists(f"/proc/{p}")] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [p for p in below if os.path.exists(f"/proc/{p}")] == []
