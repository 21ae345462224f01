# SPDX-License-Identifier: MIT
"""--sandbox: what a machine's threads give up, seen from outside."""
import re
import subprocess
import time

import pytest

from conftest import VZ

SPIN = b"\xeb\xfe"  # jmp .
ADD_ONE = b"\xb8\x2a\x00\x00\x00\xe7\xf4\xf4"  # mov eax, 42; out 0xf4, eax; hlt


def threads(pid):
    """{name: {field: value}} of /proc/PID/task/*/status."""
    out = subprocess.run(["sh", "-c", f"cat /proc/{pid}/task/*/status"], capture_output=True, text=True, check=False).stdout
    return {re.search(r"Name:\t(.*)", part)[1]: dict(re.findall(r"(\w+):\t(.*)", part))
            for part in out.split("Name:")[1:] for part in ["Name:" + part]}


@pytest.fixture
def running(tiny_kernel, tmp_path):
    """running(ARG...): a machine that runs for ever, and its threads once its CPU does."""
    began = []

    def run(*args):
        p = subprocess.Popen([VZ, "run", "--kernel", str(tiny_kernel(SPIN)), "--accel", "soft", "--memory", "64M", *args],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        began.append(p)
        for _ in range(600):
            found = threads(p.pid)
            if found.get("vz-cpu0", {}).get("Seccomp") in ("0", "2") and "vz-loop" in found and \
                    ("on" not in args or found["vz-cpu0"]["Seccomp_filters"] == "2"):
                return p, found
            assert p.poll() is None
            time.sleep(0.1)
        raise AssertionError(f"it does not run: {found}")

    yield run
    for p in began:
        p.kill()
        p.wait()


def test_each_thread_is_locked(running, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    _, found = running("--sandbox", "on", "--disk", str(disk), "--net", "nat")
    ours = {name: t for name, t in found.items() if name.startswith("vz-")}
    assert {"vz-loop", "vz-cpu0", "vz-disk"} <= set(ours)
    for name, thread in ours.items():
        assert thread["Seccomp"] == "2", name
        assert thread["NoNewPrivs"] == "1", name
        assert int(thread["CapEff"], 16) == int(thread["CapPrm"], 16) == 0, name


def test_off_is_off(running):
    _, found = running("--sandbox", "off")
    assert all(t["Seccomp"] == "0" and t["NoNewPrivs"] == "0" for t in found.values())


@pytest.mark.parametrize("mode", ["on", "off", "log"])
def test_a_machine_runs_to_its_end(vz, tiny_kernel, mode):
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--accel", "soft", "--debug-exit", "--sandbox", mode)
    assert (r.status, r.err) == (85, ""), r


def test_what_it_is_not(vz, tiny_kernel):
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--sandbox", "maybe")
    assert r.status == 2 and "expected on, off or log" in r.err, r
