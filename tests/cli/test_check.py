# SPDX-License-Identifier: MIT
"""What scripts/check does with a test program that hangs."""
import time

from conftest import script


def test_nothing_is_left_of_who_hangs(tmp_path):
    """Of groups of its own neither, as Check's tests have them: they keep the pipe, and would be waited for."""
    commands = f"set -m; sleep 1000 & echo $! >{tmp_path}/next; mv {tmp_path}/next {tmp_path}/pid; echo said; wait"
    started = time.monotonic()
    status, out, _ = script("check").run(["bash", "-c", commands], timeout=3)
    assert (status, out) == (None, "said\n") and time.monotonic() - started < 500
    pid = (tmp_path / "pid").read_text().strip()
    while time.monotonic() - started < 500:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                if f.read().rpartition(")")[2].split()[0] in "ZX":  # whoever is init here takes its time
                    return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")
