# SPDX-License-Identifier: MIT
"""Machines on layers that are thrown away: they share an image, leave it as it is, and start as fast
whatever its size."""
import hashlib
import os
import statistics
import subprocess
import time

import pytest

import boots
from conftest import VZ
from test_disk import LOAD, modules  # noqa: F401 (a fixture)

MIB = 1 << 20
EXIT = bytes.fromhex("66baf400 b000 ee f4 ebfd".replace(" ", ""))  # out 0 to port 0xf4: the end


def image(path, kind):
    path.write_bytes(b"base" * (4 * MIB // 4))
    if kind == "raw":
        return path
    new = path.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", path, new], check=True)
    return new


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_machines_share_a_base_and_leave_it_alone(kernels, initramfs, modules, tmp_path, monkeypatch, kind):
    base, scratch = image(tmp_path / "base.img", kind), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = digest(base)
    # The second machine starts and ends while the first one is there.
    script = LOAD + ("head -c 4 /dev/vda; echo; echo mine | dd of=/dev/vda bs=512 seek=100 conv=notrunc 2>/dev/null\n"
                     "sync; dd if=/dev/vda bs=512 skip=100 count=1 2>/dev/null | head -c 4; echo\n"
                     "dd if=/dev/vda bs=512 skip=101 count=1 2>/dev/null | head -c 4; echo\n"
                     "echo ready; [ \"$wait\" ] && sleep 15; poweroff -f\n")
    initrd = initramfs(script, *modules)
    first = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--initrd", initrd, "--cmdline",
                              "console=ttyS0 quiet wait=1", "--disk", base, "--ephemeral"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    out = ""
    while "ready" not in out:
        line = first.stdout.readline()
        assert line, out
        out += line
    r = boots.run(kernels["cloud"], initrd, "--disk", f"{base},ephemeral")
    assert r.status == 0 and r.out.split()[:4] == ["base", "mine", "base", "ready"], r.out + r.err
    assert first.poll() is None  # they were there together
    first.terminate()
    first.communicate()
    assert out.split()[:4] == ["base", "mine", "base", "ready"], out
    assert digest(base) == before and os.listdir(scratch) == []


def test_a_start_costs_the_same_whatever_the_size(vz, tiny_kernel, tmp_path):
    kernel, took = tiny_kernel(EXIT), {}
    disks = {}
    for size in ("1G", "1T"):
        disks[size] = [tmp_path / f"{size}.img", tmp_path / f"{size}.qcow2"]
        subprocess.run(["truncate", "-s", size, disks[size][0]], check=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disks[size][1], size], check=True)
    for n in range(7):
        for size, paths in disks.items():
            for path in paths:
                start = time.monotonic()
                r = vz("run", "--kernel", kernel, "--accel", "soft", "--memory", "64M", "--debug-exit",
                       "--disk", path, "--ephemeral")
                took.setdefault((size, path.suffix), []).append(time.monotonic() - start)
                assert r.status in (0, 1), r
    middle = {k: statistics.median(v) for k, v in took.items()}
    print({f"{a}{b}": f"{t * 1000:.0f} ms" for (a, b), t in middle.items()})
    for suffix in (".img", ".qcow2"):
        assert middle["1T", suffix] < 2 * middle["1G", suffix] + 0.2, middle
