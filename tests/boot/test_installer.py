# SPDX-License-Identifier: MIT
"""`make demo-install` in small: an installer comes on a CD-ROM, puts a system onto the disk by Debian's own tools (sfdisk,
mkfs, grub-install), and that starts by its own boot loader, by the entry which grub-install has left in firmware's
variables; then it has a new kernel, and starts again."""
import os
import re
import shutil
import subprocess

import pytest

import guest_drivers
from boots import trouble
from conftest import PATIENT, SLOWER
from efi_disks import firmware_is_there

LIMIT_S = 300 * SLOWER
TOOLS = ("/sbin/sfdisk", "/sbin/mkfs.vfat", "/sbin/mkfs.ext4", "/usr/sbin/grub-install")
MODULES = "/usr/lib/grub/x86_64-efi"

pytestmark = [firmware_is_there,
              pytest.mark.skipif(not all(map(os.path.exists, (*TOOLS, MODULES))) or not shutil.which("xorriso"),
                                 reason="grub2-common, dosfstools, e2fsprogs, fdisk or xorriso are not installed")]

DISKS = "virtio_pci", "virtio_blk", "nvme", "xhci_pci", "usb_storage", "sd_mod", "sr_mod"
SYSTEMS = "isofs", "vfat", "nls_cp437", "nls_ascii", "ext4", "crc32c_generic", "efivarfs"

INSTALL = """
export PATH=/usr/sbin:/sbin:/bin
for i in $(seq 300); do
    for d in /dev/vda /dev/nvme0n1 /dev/sda; do
        [ "$(head -c 12 $d 2>/dev/null)" != "install here" ] || disk=$d
    done
    [ -n "$disk" ] && mount -r -t iso9660 /dev/sr0 /cd 2>/dev/null && break; sleep 0.1
done
part=$disk; case $disk in *[0-9]) part=${disk}p ;; esac
set -e
trap 'echo "install: failed"; poweroff -f' EXIT
printf 'label: gpt\\nsize=40M, type=uefi\\ntype=linux\\n' | sfdisk -q --wipe always $disk
mkfs.vfat -n ESP ${part}1 >/dev/null
mkfs.ext4 -q -L installed ${part}2
mount -t ext4 ${part}2 /mnt
mkdir -p /mnt/boot/efi /mnt/boot/grub /mnt/bin /mnt/sbin /mnt/proc /mnt/sys /mnt/dev
mount -t vfat ${part}1 /mnt/boot/efi
cp /cd/system/vmlinuz /cd/system/initrd /mnt/boot/
cp /bin/busybox /mnt/bin/; cp /bin/busybox /mnt/bin/sh; cp /system-init /mnt/sbin/init
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
grub-install --target=x86_64-efi --efi-directory=/mnt/boot/efi --boot-directory=/mnt/boot --bootloader-id=installed
cp /system-grub.cfg /mnt/boot/grub/grub.cfg
umount /mnt/boot/efi /mnt
trap - EXIT
echo "install: done onto $disk"; poweroff -f
"""

START = """
for i in $(seq 300); do
    for root in /dev/vda2 /dev/nvme0n1p2 /dev/sda2; do mount -t ext4 $root /mnt 2>/dev/null && break 2; done; sleep 0.1
done
exec switch_root /mnt /sbin/init
"""

# At its first start it has another kernel put beside its own, as a package manager does, and starts again.
INIT = """#!/bin/sh
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
line=$(busybox cat /proc/cmdline)
echo "installed system: $line"
end=poweroff
case $line in *by=installed*)
    busybox cp /boot/vmlinuz /boot/vmlinuz-2; busybox cp /boot/initrd /boot/initrd-2
    busybox sed 's,/boot/vmlinuz,&-2,; s,/boot/initrd,&-2,; s,by=installed,by=update,' /boot/grub/grub.cfg >/boot/grub/new.cfg
    busybox mv /boot/grub/new.cfg /boot/grub/grub.cfg; end=reboot ;;
esac
echo written >/written && busybox sync; busybox mount -o remount,ro /
busybox $end -f
"""

GRUB = """
set timeout=0
menuentry installed {
    linux /boot/vmlinuz console=ttyS0 quiet by=installed
    initrd /boot/initrd
}
"""


@pytest.fixture(scope="module")
def medium(tmp_path_factory, kernels, initramfs):
    """A disc with GRUB, a kernel and an installer."""
    folder = tmp_path_factory.mktemp("medium")
    modules = guest_drivers.Needs(tmp_path_factory.mktemp("modules"))
    files, load = modules(*DISKS, *SYSTEMS)
    for name, text in (("system-init", INIT), ("system-grub.cfg", GRUB)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    grub = [(f"{MODULES}/{name}",) * 2 for name in os.listdir(MODULES)
            if name.endswith((".mod", ".lst", ".img")) or name == "modinfo.sh"]
    iso = folder / "iso"
    for name in ("boot/grub", "system"):
        (iso / name).mkdir(parents=True)
    shutil.copy(kernels["amd64"], iso / "system/vmlinuz")
    shutil.copy(initramfs(load + START, *files), iso / "system/initrd")
    shutil.copy(initramfs("mkdir -p /cd /usr/share/locale\n" + load + INSTALL, *files, *grub,
                          *guest_drivers.with_libraries(*TOOLS), (folder / "system-init", "system-init"),
                          (folder / "system-grub.cfg", "system-grub.cfg")), iso / "system/installer")
    (iso / "boot/grub/grub.cfg").write_text(f"linux /system/vmlinuz console=ttyS0 quiet {PATIENT}\n"
                                            "initrd /system/installer\nboot\n")
    subprocess.run(["grub-mkrescue", "-o", folder / "medium.iso", iso, "--", "-volid", "MEDIUM"], check=True,
                   capture_output=True)
    return folder / "medium.iso"


@pytest.mark.parametrize("how", ["--disk", "--nvme", "--usb-disk"])
def test_a_system_is_installed_and_starts(vz, medium, tmp_path, how):
    disk, store = tmp_path / "disk.img", tmp_path / "variables.fd"
    with open(disk, "wb") as f:
        f.write(b"install here")
        f.truncate(160 << 20)
    options = f"--efi={store}", "--memory", "512M", how, disk
    r = vz("run", *options, "--cdrom", medium, timeout=LIMIT_S)
    assert r.status == 0 and "install: done" in r.out and not trouble(r.out), r
    assert "installed" in vz("efi", "list", store).out
    r = vz("run", *options, timeout=LIMIT_S)
    assert r.status == 0 and not trouble(r.out), r
    starts = re.findall(r"[\r\n]installed system: BOOT_IMAGE=\S*(/boot/\S+) .*by=(\w+)", r.out)
    assert starts == [("/boot/vmlinuz", "installed"), ("/boot/vmlinuz-2", "update")], r
    assert len(re.findall(r"BdsDxe: starting Boot\w+ \"installed\"", r.out)) == 2, r
