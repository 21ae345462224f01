# SPDX-License-Identifier: MIT
"""Random calls on a share beside the same on the guest's own ext4, of several seeds: VZ_LONG=N has N times as many."""
import os
import subprocess

import pytest

import guest_drivers

from boots import run, trouble
from conftest import LONG

DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk", "fuse", "virtiofs")
SAME = pytest.mark.skipif(os.geteuid() != 0, reason="to give files to the guest's users takes root")


@pytest.mark.parametrize("how", ["cache=automatic", "cache=always", "cache=automatic,dax=16M",
                                 pytest.param("map=same", marks=SAME)])
def test_random_calls(kernels, initramfs, tmp_path, how):
    share, disk = tmp_path / "share", tmp_path / "disk"
    share.mkdir()
    with open(disk, "wb") as f:
        f.truncate(256 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", disk], check=True)
    seeds = range(1, 1 + 3 * LONG)
    files = [*guest_drivers.files(tmp_path, DRIVERS),
             *(guest_drivers.program(tmp_path, f"tests/boot/programs/{name}.c") for name in ("fsrandom", "fscheck"))]
    options = "-o dax=always" if "dax" in how else ""
    initrd = initramfs(guest_drivers.load(DRIVERS) + f"""
mkdir /local && mount -t ext4 /dev/vda /local && mount -t virtiofs {options} share /mnt; echo
for seed in {" ".join(map(str, seeds))}; do
    fsrandom /local /mnt $seed 1500; mkdir /mnt/x; fscheck /mnt/x $seed | grep random; rm -r /mnt/x
done
poweroff -f
""", *files)
    result = run(kernels["cloud"], initrd, "--memory", "256M", "--cpus", 2, "--disk", disk, "--share", f"share={share},{how}")
    assert result.status == 0 and not trouble(result.out), result
    assert [line for line in result.out.splitlines() if line.startswith(("seed", "step", "random"))] == \
        [line for seed in seeds for line in (f"seed {seed}: alike", "random: 0")], result
