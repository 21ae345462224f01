# SPDX-License-Identifier: MIT
"""`make demo-install`: a live Debian, started by UEFI firmware from a USB drive, installs itself onto a disk, which then starts
by its own boot loader. It takes many minutes and the network, so only where VZ_LONG=1 asks for it."""
import os
import subprocess

import pytest

from conftest import ROOT, SLOWER, VZ

pytestmark = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes many minutes and the network: VZ_LONG=1")


@pytest.mark.parametrize("disk,disc", [("disk", "cdrom"), ("nvme", "usb-disk"), ("usb-disk", "cdrom")])
def test_debian_is_installed_and_starts(disk, disc):
    r = subprocess.run([f"{ROOT}/scripts/demo-install", VZ], env={**os.environ, "DISK": disk, "DISC": disc}, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=3600 * SLOWER)
    if r.returncode == 3:
        pytest.skip(r.stderr.strip().rsplit("\n", 1)[-1])
    assert r.returncode == 0, r
    assert "starts from its own disk" in r.stdout, r
