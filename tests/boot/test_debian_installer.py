# SPDX-License-Identifier: MIT
"""Debian's own installer, unattended, as it is packaged for network boot: started by firmware from a stick, it takes
everything from the mirror and puts Debian onto a disk, which then starts by its own boot loader. Only where VZ_LONG=1 asks
for it, and the mirror has the installer's parts."""
import os
import subprocess

import pexpect
import pytest

from conftest import SLOWER, VZ
from efi_disks import fill, firmware_is_there, grub  # noqa: F401

pytestmark = [firmware_is_there,
              pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes many minutes and the network: VZ_LONG=1")]
IMAGES = "/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"
MIRROR = os.environ.get("VZ_DEBIAN_MIRROR", "deb.debian.org")
PRESEED = f"""
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i netcfg/choose_interface select auto
d-i netcfg/get_hostname string installed
d-i netcfg/get_domain string test
d-i mirror/country string manual
d-i mirror/http/hostname string {MIRROR}
d-i mirror/http/directory string /debian
d-i mirror/http/proxy string
d-i passwd/make-user boolean false
d-i passwd/root-password password secret
d-i passwd/root-password-again password secret
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i time/zone string UTC
d-i partman-auto/disk string /dev/vda
d-i partman-auto/method string regular
d-i partman-auto/choose_recipe select atomic
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/install-recommends boolean false
d-i apt-setup/services-select multiselect
tasksel tasksel/first multiselect
d-i pkgsel/upgrade select none
d-i pkgsel/update-policy select none
popularity-contest popularity-contest/participate boolean false
d-i grub-installer/only_debian boolean true
d-i grub-installer/bootdev string default
d-i finish-install/reboot_in_progress note
d-i debian-installer/exit/poweroff boolean true
"""


@pytest.fixture
def stick(package, grub, tmp_path):  # noqa: F811
    images = package("debian-installer-12-netboot-amd64") + IMAGES
    (tmp_path / "preseed.cfg").write_text(PRESEED)
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"preseed.cfg\n", cwd=tmp_path, check=True,
                             stdout=subprocess.PIPE).stdout
    (tmp_path / "preseed.cpio").write_bytes(archive)
    (tmp_path / "grub.cfg").write_text(
        "linux /linux auto=true priority=critical preseed/file=/preseed.cfg DEBIAN_FRONTEND=text console=ttyS0 "
        "--- console=ttyS0\ninitrd /initrd.gz /preseed.cpio\nboot\n")
    fill(tmp_path / "stick.img", {"EFI/BOOT/BOOTX64.EFI": grub, "linux": f"{images}/linux",
                                  "initrd.gz": f"{images}/initrd.gz", "preseed.cpio": tmp_path / "preseed.cpio",
                                  "grub.cfg": tmp_path / "grub.cfg"})
    return tmp_path / "stick.img"


def run(tmp_path, *options):
    log = open(tmp_path / "console", "a", encoding="utf-8", errors="replace")
    argv = ["run", f"--efi={tmp_path}/variables.fd", "--cpus", "2", "--memory", "1G", "--net", "nat", "--rng",
            "--disk", f"{tmp_path}/disk.img", *map(str, options)]
    return pexpect.spawn(VZ, argv, timeout=7200 * SLOWER, encoding="utf-8", codec_errors="replace", logfile=log)


def test_it_installs_debian(stick, tmp_path):
    with open(tmp_path / "disk.img", "wb") as f:
        f.truncate(4 << 30)
    child = run(tmp_path, "--usb-disk", stick)
    try:
        seen = child.expect(["No kernel modules were found", "Bad archive mirror", "Downloading a file failed",
                             "Installation step failed", pexpect.EOF])
        if seen < 3:
            pytest.skip(f"the mirror {MIRROR} has not all of the installer's parts")
        assert seen == 4, child.before[-3000:]
        child.wait()
        assert child.exitstatus == 0, child.before[-3000:]
    finally:
        child.close(force=True)
    child = run(tmp_path)
    try:
        child.expect('BdsDxe: starting Boot[0-9A-F]+ "debian"')
        child.expect("installed login:")
    finally:
        child.close(force=True)
