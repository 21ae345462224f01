# SPDX-License-Identifier: MIT
"""`make demo-install`: a live Debian, started by UEFI firmware from a USB drive, installs itself onto a disk, which then starts
by its own boot loader; it gets another kernel by apt, and starts again with that. It takes many minutes and the network, so
only where VZ_LONG=1 asks for it."""
import os
import re
import subprocess

import pytest

from conftest import ROOT, VZ

pytestmark = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes many minutes and the network: VZ_LONG=1")

KERNEL = "linux-image-6.12-amd64"  # the live system has Debian 12's own, 6.1


@pytest.mark.parametrize("disk,disc", [("disk", "cdrom"), ("nvme", "usb-disk"), ("usb-disk", "cdrom")])
def test_debian_is_installed_and_starts(disk, disc):
    wish = {"DISK": disk, "DISC": disc, "UPDATE": KERNEL}
    # It has limits of its own, which heed how busy the host is.
    r = subprocess.run([f"{ROOT}/scripts/demo-install", VZ], env={**os.environ, **wish}, text=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if r.returncode == 3:
        pytest.skip(r.stderr.strip().rsplit("\n", 1)[-1])
    assert r.returncode == 0, r
    assert re.search(r"starts from its own disk.*kernel 6\.1\d\S* runs, where it was kernel 6\.1\.", r.stdout, re.S), r
