# SPDX-License-Identifier: MIT
"""Disks from which UEFI firmware boots: what its tests share. Import the fixtures by name."""
import glob
import os
import shutil
import subprocess

import pytest

from conftest import ROOT

GUID = "6a1f7c52-1d0b-4d6e-9b1a-0f1e2d3c4b5a"
VARIABLE = f"/vars/VzTest-{GUID}"
MOUNT = "insmod /mod/efivarfs.ko; mkdir -p /vars; mount -t efivarfs vars /vars\n"
END = "\npoweroff -f\n"
TEMPLATE = "/usr/share/OVMF/OVMF_VARS_4M.fd"

firmware_is_there = pytest.mark.skipif(not os.path.exists(TEMPLATE) or not shutil.which("mcopy"),
                                       reason="the packages ovmf and mtools are not installed")

@pytest.fixture(scope="session")
def efivarfs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-cloud/package.deb", folder], check=True)
    return glob.glob(f"{folder}/**/efivarfs.ko", recursive=True)[0], "mod/efivarfs.ko"


@pytest.fixture(scope="session")
def grub(tmp_path_factory):
    """GRUB as one EFI program, which reads /grub.cfg of the disk that has one."""
    folder = tmp_path_factory.mktemp("grub")
    (folder / "grub.cfg").write_text("search --file --set=root /grub.cfg\nconfigfile ($root)/grub.cfg\n")
    modules = "part_gpt fat linux normal search search_fs_file configfile"
    subprocess.run(["grub-mkstandalone", "-O", "x86_64-efi", "-o", folder / "grub.efi",
                    "--themes=", "--locales=", "--fonts=", f"--install-modules={modules} memdisk tar boot test",
                    f"--modules={modules}", f"boot/grub/grub.cfg={folder}/grub.cfg"], check=True)
    return folder / "grub.efi"


def fill(path, files):
    """Make path a disk with an EFI system partition, where it is none yet, and put files there, by their names on it."""
    if not path.exists():
        with open(path, "wb") as f:
            f.truncate(64 << 20)
        subprocess.run(["sfdisk", "-q", path], input=b"label: gpt\nstart=2048, type=uefi\n", check=True)
        subprocess.run(["mkfs.vfat", "--offset", "2048", path, "62000"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mmd", "-i", f"{path}@@1M", "::/EFI", "::/EFI/BOOT", "::/EFI/debian"], check=True)
    for target, source in files.items():
        subprocess.run(["mcopy", "-o", "-i", f"{path}@@1M", source, f"::/{target}"], check=True)


@pytest.fixture
def disk(tmp_path, grub, kernels, initramfs, efivarfs):
    """disk(SCRIPT) is a disk with an EFI system partition: GRUB, a kernel, and an initrd that runs SCRIPT, with files."""

    def make(script, command_line="console=ttyS0", files=()):
        path, config = tmp_path / "disk.img", tmp_path / "grub.cfg"
        config.write_text("set timeout=0\nmenuentry x {\n"
                          f" linux /vmlinuz {command_line}\n initrd /initrd\n}}\n")
        fill(path, {"EFI/BOOT/BOOTX64.EFI": grub, "vmlinuz": kernels["cloud"],
                    "initrd": initramfs(script + END, efivarfs, *files), "grub.cfg": config})
        return path

    return make
