# SPDX-License-Identifier: MIT
"""Files that cannot be booted: one line that names the file, status 1, nothing left behind."""
import os
import struct
import subprocess

import pytest

from conftest import ROOT, VZ


def expect_refused(r, *named):
    assert r.status == 1, r
    assert r.out == "", r
    assert r.err.count("\n") == 1 and r.err.startswith("vz: "), r
    for name in named:
        assert str(name) in r.err, r


def cloud(kernels):
    with open(kernels["cloud"], "rb") as f:
        return bytearray(f.read())


def test_missing_kernel(vz, tmp_path):
    expect_refused(vz("run", "--kernel", tmp_path / "none"), tmp_path / "none")


def test_directory_as_kernel(vz, tmp_path):
    expect_refused(vz("run", "--kernel", tmp_path), tmp_path)


FOREIGN = {"empty": b"", "a byte": b"\0", "text": b"hello, kernel\n" * 1000, "short ELF": b"\x7fELF",
           "wild ELF": b"\x7fELF\x02\x01\x01" + b"\xff" * 5000, "noise": os.urandom(65536)}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_kernel(vz, tmp_path, what):
    path = tmp_path / "kernel"
    path.write_bytes(FOREIGN[what])
    expect_refused(vz("run", "--kernel", path), path)


@pytest.mark.parametrize("keep", [511, 1024, 16 * 1024, 1 << 20])
def test_truncated_bzimage(vz, kernels, tmp_path, keep):
    path = tmp_path / "kernel"
    path.write_bytes(cloud(kernels)[:keep])
    expect_refused(vz("run", "--kernel", path), path)


def test_damaged_payload(vz, kernels, tmp_path):
    data = cloud(kernels)
    setup = (data[0x1f1] or 4) * 512 + 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    middle = setup + offset + length // 2
    data[middle:middle + 65536] = b"\xff" * 65536
    path = tmp_path / "kernel"
    path.write_bytes(data)
    expect_refused(vz("run", "--kernel", path), path)


def test_single_bit_of_the_payload(vz, kernels, tmp_path):
    data = cloud(kernels)
    setup = (data[0x1f1] or 4) * 512 + 512
    offset, length = struct.unpack_from("<II", data, 0x248)
    data[setup + offset + length // 3] ^= 4
    path = tmp_path / "kernel"
    path.write_bytes(data)
    expect_refused(vz("run", "--kernel", path), path)


def test_missing_initrd(vz, kernels, tmp_path):
    expect_refused(vz("run", "--kernel", kernels["cloud"], "--initrd", tmp_path / "none"),
                   tmp_path / "none")


def test_pipes_that_cannot_be_booted(kernels):
    script = 'exec "$0" run --kernel <(head -c 100000 /dev/zero)'
    r = subprocess.run(["bash", "-c", script, VZ], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=120, text=True)
    assert r.returncode == 1 and "not a kernel format" in r.stderr, r
    script = 'exec "$0" run --kernel <(true)'
    r = subprocess.run(["bash", "-c", script, VZ], stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=120, text=True)
    assert r.returncode == 1 and "is empty" in r.stderr, r
    script = 'exec "$0" run --kernel "$1" --memory 64M --initrd <(head -c 100M /dev/zero)'
    r = subprocess.run(["bash", "-c", script, VZ, kernels["cloud"]], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=120, text=True)
    assert r.returncode == 1 and "is too large" in r.stderr, r


def test_a_fifo_without_writer_is_given_up(vz, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    r = vz("run", "--kernel", path)
    assert r.status == 1 and "waiting" in r.err and "timed out" in r.err, r


def test_initrd_that_does_not_fit(vz, kernels, tmp_path):
    path = tmp_path / "initrd"
    with open(path, "wb") as f:
        f.truncate(512 << 20)
    expect_refused(vz("run", "--kernel", kernels["cloud"], "--initrd", path, "--memory", "256M"),
                   path)


def test_kernel_that_does_not_fit(vz, kernels):
    expect_refused(vz("run", "--kernel", kernels["cloud"], "--memory", "8M"), kernels["cloud"])


MAGIC = {"qcow2": (0, b"QFI\xfb"), "VMDK": (0, b"KDMV"), "VHDX": (0, b"vhdxfile"),
         "VHD": ((1 << 20) - 512, b"conectix"), "VDI": (64, b"\x7f\x10\xda\xbe"),
         "ISO": (0x8001, b"CD001")}


def image_of(what, path):
    at, magic = MAGIC[what]
    with open(path, "wb") as f:
        f.truncate(1 << 20)
        f.seek(at)
        f.write(magic)
    return path


@pytest.mark.parametrize("what", MAGIC)
def test_disk_of_another_format(vz, kernels, tmp_path, what):
    path = image_of(what, tmp_path / "disk")
    expect_refused(vz("run", "--kernel", kernels["cloud"], "--disk", path), path, what,
                   "format=raw")
    raw = vz("run", "--check", "--kernel", kernels["cloud"], "--disk", f"{path},format=raw")
    assert raw.status == 0, raw


def test_iso_image_to_read(vz, kernels, tmp_path):
    path = image_of("ISO", tmp_path / "disk")
    r = vz("run", "--check", "--kernel", kernels["cloud"], "--disk", f"{path},ro")
    assert r.status == 0, r


def test_boot_disk_of_another_format(vz, tmp_path):
    path = image_of("qcow2", tmp_path / "disk")
    expect_refused(vz("run", "--boot-disk", path), path, "qcow2", "format=qcow2")


def test_serial_file_that_cannot_be_made(vz, kernels, tmp_path):
    path = tmp_path / "no" / "such" / "folder"
    expect_refused(vz("run", "--kernel", kernels["cloud"], "--serial", f"file:{path}"), path)


def test_nothing_is_left_behind(vz, tmp_path):
    before = set(os.listdir(tmp_path))
    vz("run", "--kernel", f"{ROOT}/LICENSE", cwd=tmp_path)
    assert set(os.listdir(tmp_path)) == before
