# SPDX-License-Identifier: MIT
"""What is copied on one side is pasted on the other, by an agent in the guest that does as it is told."""
import subprocess

import pytest

import guest_drivers
from conftest import BUILD, SLOWER

DRIVERS = (*guest_drivers.VIRTIO, "virtio_console")
LIMIT_S = 240 * SLOWER


@pytest.fixture(scope="module")
def initrd(initramfs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clipboard")
    script = guest_drivers.load(DRIVERS) + "exec </dev/ttyS0 >/dev/ttyS0 2>&1\nstty -echo\nspiceagent\npoweroff -f\n"
    return initramfs(script, guest_drivers.program(folder, "tests/boot/programs/spiceagent.c"),
                     *guest_drivers.files(folder, DRIVERS))


def test_both_ways(kernels, initrd, tmp_path):
    r = subprocess.run([f"{BUILD}/tests/boot/clipboardvm", kernels["cloud"], initrd, tmp_path / "state"],
                       capture_output=True, text=True, timeout=LIMIT_S)
    assert r.returncode == 0 and "done" in r.stdout, r.stdout[-3000:] + r.stderr
