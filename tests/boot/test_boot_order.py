# SPDX-License-Identifier: MIT
"""Which disk firmware starts from: by options, for once, and by its variables."""
import os
import re
import select
import shutil
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
    (("--disk", "--usb-disk"), ["--boot-order", "disk"], "disk"), (("--usb-disk", "--nvme"), ["--boot-order", "disk,usb"], "nvme"),
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
