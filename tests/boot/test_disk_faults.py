# SPDX-License-Identifier: MIT
"""Disks in trouble under Linux's driver: what could not be written is told, what was told to be
written is there; and disks under two CPUs at once."""
import os
import subprocess

import pytest

import boots
from test_disk import (LOAD, diskcheck, guest, image, modules, verify)  # noqa: F401: fixtures
from conftest import SLOWER, VZ

LIMIT_S = 900 * SLOWER  # only against hanging
MIB = 1 << 20


def on_a_small_disk(folder):
    """The start of a command that runs with 6 MiB of room in folder, for an image of 16 MiB."""
    prefix = ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=6m tmpfs {folder} && "
              f"truncate -s 16M {folder}/disk.img && exec \"$@\"", "-"]
    if subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount namespaces here")
    return prefix


def test_a_full_disk_of_the_host(kernels, initramfs, modules, tmp_path):
    prefix = on_a_small_disk(tmp_path)
    script = LOAD + (
        "head -c 10485760 /dev/urandom >/random\n"
        "dd if=/random of=/dev/vda bs=64k oflag=direct 2>/log && echo no error; cat /log\n"
        "n=$(sed -n 's/+.*records out//p' /log); echo written $n\n"
        "cmp -n $((n * 65536)) /random /dev/vda && echo what was written is there\n"
        "dd if=/random of=/dev/vda bs=64k seek=80 conv=fsync 2>/dev/null && echo no error\n"
        # room again: discarded blocks are the host's
        "blkdiscard /dev/vda 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches\n"
        "dd if=/random of=/dev/vda bs=64k count=40 oflag=direct 2>/dev/null && "
        "cmp -n 2621440 /random /dev/vda && echo works again\n"
        "echo alive; poweroff -f\n")
    r = subprocess.run([*prefix, VZ, "run", "--kernel", kernels["cloud"], "--initrd",
                        initramfs(script, *modules), "--cmdline", "console=ttyS0 quiet", "--disk",
                        tmp_path / "disk.img"], stdin=subprocess.DEVNULL, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                       errors="replace")
    assert r.returncode == 0 and "alive" in r.stdout, r.stdout
    assert "no error" not in r.stdout and "error" in r.stdout, r.stdout
    written = int(next(line for line in r.stdout.splitlines() if line.startswith("written")).split()[1])
    assert 40 <= written < 100 and "what was written is there" in r.stdout, r.stdout
    assert "works again" in r.stdout, r.stdout


def test_buffered_writes_that_fail_fail_the_sync(guest, image):
    """Nothing is reported on disk that is not: not by fsync, and not by the next one."""
    out = guest("dd if=/dev/zero of=/dev/vda bs=4k count=512 conv=fsync 2>/dev/null && echo no error\n"
                "dd if=/dev/zero of=/dev/vda bs=4k count=16 conv=fsync 2>/dev/null && echo well before\n",
                f"{image()},eio={MIB}+4096")
    assert "no error" not in out and "well before" in out, out


def test_a_write_outside_an_image_cut_short(guest, image):
    """The image shrinks while the guest writes: errors or a smaller disk, and the guest lives."""
    path = image()
    p = guest("echo ready; for i in $(seq 400); do [ $(cat /sys/block/vda/size) = 32768 ] || break; "
              "dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=4000 oflag=direct 2>/dev/null || break; "
              "sleep 0.1; done; dd if=/dev/vda bs=4k count=1 iflag=direct 2>/dev/null | wc -c; "
              "echo alive", path, start=True)
    for line in p.stdout:
        if "ready" in line:
            break
    os.truncate(path, 8 * MIB)
    out, err = p.communicate(timeout=LIMIT_S)
    assert p.returncode == 0 and "alive" in out and "4096" in out, out + err


def test_two_disks_and_two_cpus(kernels, initramfs, modules, diskcheck, image):
    paths = [image(name=f"{name}.img", size=24 * MIB) for name in ("a", "b")]
    steps = "seq rand:300 check flush:30 discard zero check"
    script = LOAD + (
        "ls /sys/block/vda/mq | wc -l\n"
        f"taskset 1 diskcheck /dev/vda 1 {steps} & taskset 2 diskcheck /dev/vdb 2 {steps} & wait\n"
        # and both CPUs on one disk
        "echo 3 >/proc/sys/vm/drop_caches\n"
        "taskset 1 sha256sum </dev/vda & taskset 2 sha256sum </dev/vda & wait; poweroff -f\n")
    r = boots.run(kernels["cloud"], initramfs(script, *modules, (diskcheck, "bin/diskcheck")),
                  "--cpus", 2, "--disk", paths[0], "--disk", paths[1])
    assert r.status == 0 and r.out.count("all is well") == 2, r.out + r.err
    sums = [line for line in r.out.splitlines() if line.endswith("  -")]
    assert len(sums) == 2 and sums[0] == sums[1], r.out
    assert r.out.splitlines()[0] == "2", r.out  # queues
    for seed, path in enumerate(paths, 1):
        assert "all is well" in verify(diskcheck, path, seed, steps)
