# SPDX-License-Identifier: MIT
"""Block devices of the host as disks, by path and by an open descriptor: loop devices, of which root has some."""
import json
import os
import subprocess

import pytest

import boots
from conftest import BUILD

MIB = 1 << 20
RIG = f"{BUILD}/tests/disk/diskrig"


@pytest.fixture
def loop(tmp_path):
    """loop(BLOCK) is a loop device with blocks of that size, on a file of 16 MiB."""
    devices = []

    def make(block):
        path = tmp_path / f"loop{len(devices)}"
        with open(path, "wb") as f:
            f.truncate(16 * MIB)
        r = subprocess.run(["/sbin/losetup", "-f", "--show", "-b", str(block), path], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        if r.returncode:
            pytest.skip(f"no loop devices: {r.stderr.strip()}")
        devices.append(r.stdout.strip())
        return devices[-1]

    yield make
    for d in devices:
        subprocess.run(["/sbin/losetup", "-d", d])


@pytest.mark.parametrize("block", [512, 4096])
@pytest.mark.parametrize("cache", ["cached", "uncached"])
def test_by_path(loop, tmp_path, block, cache):
    """Requests of any size at random, also smaller than the device's own blocks."""
    device, expected, now = loop(block), tmp_path / "expected", tmp_path / "now"
    env = {**os.environ, "CACHE": cache}
    subprocess.run([RIG, "random", device, expected, "5", "400"], check=True, env=env)
    subprocess.run([RIG, "read", device, now], check=True, env=env)
    assert now.read_bytes() == expected.read_bytes() and any(expected.read_bytes())


def test_one_that_is_mounted_is_not_written(vz, loop, tiny_kernel, tmp_path):
    device, at = loop(512), tmp_path / "mnt"
    at.mkdir()
    subprocess.run(["/sbin/mke2fs", "-q", device], check=True)
    if subprocess.run(["mount", device, at]).returncode:
        pytest.skip("nothing can be mounted")
    try:
        r = vz("run", "--kernel", tiny_kernel(b"\xfa\xf4"), "--disk", device)
        assert r.status == 1 and device in r.err and "mounted" in r.err, r
    finally:
        subprocess.run(["umount", at], check=True)


def test_by_descriptor_behind_nvme(loop, kernels, initramfs, tmp_path):
    """Who may open the device need not be who runs the machine; blocks of 4096 bytes on both sides."""
    device, config = loop(4096), tmp_path / "config"
    with open(device, "r+b", buffering=0) as f:
        os.pwrite(f.fileno(), b"by descriptor".ljust(4096, b"\0"), 0)
        config.write_text(json.dumps({"storageDevices": [{"type": "nvme", "blockSize": 4096, "attachment": {
            "type": "blockDevice", "descriptor": f.fileno()}}]}))
        script = ("for i in $(seq 600); do [ -b /dev/nvme0n1 ] && break; sleep 0.1; done\n"
                  "head -c 13 /dev/nvme0n1; cat /sys/block/nvme0n1/size; cat /sys/block/nvme0n1/queue/*cal_block_size\n"
                  "echo written | dd of=/dev/nvme0n1 bs=4096 seek=5 conv=sync oflag=direct 2>/dev/null; sync; poweroff -f\n")
        r = boots.run(kernels["cloud"], initramfs(script), "--config", config, "--serial", "stdio", pass_fds=[f.fileno()])
        assert r.status == 0 and "by descriptor32768" in r.out and r.out.count("4096") == 2, r
        assert os.pread(f.fileno(), 8, 5 * 4096) == b"written\n"
