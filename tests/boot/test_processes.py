# SPDX-License-Identifier: MIT
"""Work that starts many processes stays as fast as it began, and leaves nothing that grows."""
import re
import subprocess

import boots
from conftest import ROOT


def count(err, name):
    return int(re.search(rf"^cpu\.{name} +(\d+)$", err, re.M).group(1))


def test_a_thousand_processes_at_a_thousand_addresses(kernels, initramfs, tmp_path):
    """By the counters, since times on a shared host say little: finding a block takes as many steps
    however many processes have had the same code elsewhere."""
    spawns = tmp_path / "spawns"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-static-pie", f"{ROOT}/tests/boot/programs/spawns.c",
                    "-o", spawns], check=True)
    r = boots.run(kernels["cloud"], initramfs("/spawns\npoweroff -f\n", (spawns, "spawns")), "--accel", "soft",
                  "--stats")
    assert r.status == 0, r
    good, (first, last) = int(r.out.split()[0]), map(int, r.out.splitlines()[1].split())
    assert good == 1000, r
    assert count(r.err, "block_steps") < 4 * count(r.err, "block_lookups"), r
    assert last < 5 * first, r  # it was 15 and more
    # Blocks of a page are moved at once, not each when the main loop comes to it.
    assert count(r.err, "blocks") < count(r.err, "blocks_moved"), r
