# SPDX-License-Identifier: MIT
"""Which disk firmware starts from: by options, for once, and by its variables."""
import os
import re
import select
import shutil
import struct
import subprocess
import time

import pytest

from conftest import SLOWER, VZ
from efi_disks import fill, firmware_is_there, grub  # noqa: F401

pytestmark = firmware_is_there
LIMIT_S = 60 * SLOWER


@pytest.fixture
def image(grub, tmp_path):  # noqa: F811
    path = tmp_path / "image.img"
    fill(path, {"EFI/BOOT/BOOTX64.EFI": grub})
    return path


def until(pattern, *options):
    """What firmware says until that is among it, and how long it took."""
    p = subprocess.Popen([VZ, "run", "--memory", "256M", *map(str, options)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    begin, out = time.monotonic(), ""
    try:
        while not re.search(pattern, out) and time.monotonic() < begin + LIMIT_S:
            if select.select([p.stdout], [], [], 1)[0]:
                data = os.read(p.stdout.fileno(), 4096)
                out += data.decode(errors="replace")
                if not data:
                    break
    finally:
        p.kill()
        p.communicate()
    assert re.search(pattern, out), out
    return out, time.monotonic() - begin


def tried(*options):
    """The kind of device that firmware tries first."""
    out, _ = until(r"BdsDxe: (failed to load|loading|starting) [^\n]*\n", *options)
    line = re.search(r"BdsDxe: [^\n]*\n", out).group(0)
    return "cdrom" if "CD-ROM" in line else "usb" if "USB" in line else "nvme" if "NVMe" in line else "disk"


@pytest.mark.parametrize("devices, order, expected", [
    (("--disk", "--nvme", "--usb-disk"), [], "usb"), (("--usb-disk", "--cdrom", "--disk"), [], "cdrom"),
    (("--disk", "--usb-disk"), ["--boot-order", "disk"], "disk"),
    (("--usb-disk", "--nvme"), ["--boot-order", "disk,usb"], "nvme"),
    (("--disk", "--cdrom", "--usb-disk"), ["--boot-order", "usb"], "usb"),
    (("--disk", "--cdrom"), ["--boot-once", "disk"], "disk"),
])
def test_the_order_of_kinds(image, devices, order, expected):
    options = []
    for name in devices:
        path = image.with_name(f"{name[2:]}.img")
        shutil.copyfile(image, path)
        options += [name, path]
    assert tried("--efi", *order, *options) == expected


def test_once_is_once(vz, image, tmp_path):
    store, other = tmp_path / "variables.fd", tmp_path / "other.img"
    shutil.copyfile(image, other)
    options = [f"--efi={store}", "--disk", image, "--usb-disk", other]
    assert tried(*options, "--boot-order", "disk") == "disk"
    assert tried(*options) == "disk"  # the variables say so now
    assert tried(*options, "--boot-once", "usb") == "usb"
    assert tried(*options, "--boot-once", "usb") == "usb"
    assert tried(*options) == "disk"
    assert "KeptBootOrder" not in vz("efi", "list", store).out


def test_a_machine_in_a_folder_uses_it_up(vz, image, tmp_path, monkeypatch):
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    folder = tmp_path / "m.vz"
    folder.mkdir()
    config = vz("run", "--print-config", "--efi", "--memory", "64M", "--disk", image)
    (folder / "config.json").write_text(config.out)
    assert vz("set", "m", "boot-once=network,disk").status == 0
    assert "bootOnce" in (folder / "config.json").read_text()
    r = vz("start", "m")
    assert r.status == 0, r
    assert vz("stop", "--now", "m").status == 0
    text = (folder / "config.json").read_text()
    assert "bootOnce" not in text and "bootLoader" in text


@pytest.mark.parametrize("option, text", [
    ("--boot-order=floppy", "usb, cdrom, disk and network"), ("--boot-once=usb,usb", "each once"),
    ("--boot-menu-wait=3", "such as 3s"), ("--boot-menu-wait=66s", "up to 65s")])
def test_words_that_are_none(vz, option, text):
    r = vz("run", "--efi", option)
    assert r.status == 2 and text in r.err, r


def test_what_was_tried_when_nothing_starts(tmp_path):
    path = tmp_path / "empty.img"
    with open(path, "wb") as f:
        f.truncate(1 << 20)
    out, _ = until("BdsDxe: No bootable option or device was found|UEFI Interactive Shell", "--efi", "--disk", path)
    assert re.search(r"BdsDxe: failed to load Boot\w+ \"[^\"]*\" from PciRoot[^\n]*: Not Found", out), out


def test_the_menu_waits(image):
    _, quick = until("BdsDxe: (loading|starting)", "--efi", "--disk", image)
    _, slow = until("BdsDxe: (loading|starting)", "--efi", "--disk", image, "--boot-menu-wait", "6s")
    assert slow > quick + 4, (quick, slow)


def make_disc(path, loader):
    """An ISO 9660 image with nothing in it but what El Torito has firmware start: a FAT file system with a boot loader."""
    fat = path.with_name("fat.img")
    with open(fat, "wb") as f:
        f.truncate(8 << 20)
    subprocess.run(["mkfs.vfat", fat], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mmd", "-i", fat, "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", fat, loader, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    size = os.stat(fat).st_size
    total = 20 + size // 2048
    primary = bytearray(2048)
    primary[:7] = b"\x01CD001\x01"
    primary[80:88] = struct.pack("<I", total) + struct.pack(">I", total)
    primary[128:132] = struct.pack("<H", 2048) + struct.pack(">H", 2048)
    boot = bytearray(2048)
    boot[:7] = b"\x00CD001\x01"
    boot[7:30] = b"EL TORITO SPECIFICATION"
    boot[71:75] = struct.pack("<I", 19)
    catalog = bytearray(2048)
    catalog[:32] = b"\x01\xef" + bytes(26) + struct.pack("<H", (-0xef01 - 0xaa55) & 0xffff) + b"\x55\xaa"
    catalog[32:44] = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, min(size // 512, 0xffff), 20)
    path.write_bytes(bytes(16 * 2048) + primary + boot + (b"\xffCD001\x01" + bytes(2041)) + catalog + fat.read_bytes())


def test_an_installer_runs_from_its_disc(vz, image, grub, tmp_path, monkeypatch):  # noqa: F811
    """Until there is something on the disk that firmware can start."""
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    make_disc(tmp_path / "disc.iso", grub)
    assert vz("create", "one", "--from", tmp_path / "disc.iso", "--disk", "64M", "--memory", "256M").status == 0
    log = tmp_path / "one.vz" / "console.log"
    for installed in (False, True):
        if installed:
            shutil.copyfile(image, tmp_path / "one.vz" / "disk.img")
            log.unlink()
        assert vz("start", "one").status == 0
        end, line = time.monotonic() + LIMIT_S, None
        while not line and time.monotonic() < end:
            time.sleep(0.2)
            line = re.search("BdsDxe: starting [^\n]*\n", log.read_text(errors="replace"))
        assert vz("stop", "--now", "one").status == 0
        assert line and ("CD-ROM" in line.group(0)) != installed and "Shell" not in line.group(0), line
