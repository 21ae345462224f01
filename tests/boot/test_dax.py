# SPDX-License-Identifier: MIT
"""Files of a share that a Linux guest maps through the window of its device (DAX)."""
import os
import struct
import subprocess
import threading
import time

import pytest

import guest_drivers

from boots import run, trouble
from efi_disks import fill, firmware_is_there, grub  # noqa: F401 (a fixture)

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
PAGE, MIB = 4096, 1 << 20
# All kinds of soft CPU: one that is refused what stubs are not shown, one that translates, one that does not.
CPUS = {"direct": ("--accel", "soft", "--jit", "direct=always"),
        "translated": ("--accel", "soft", "--jit", "direct=off"),
        "interpreted": ("--accel", "soft", "--jit", "off")}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS), guest_drivers.program(folder, "tests/boot/programs/mapped.c")]


@pytest.fixture
def guest(kernels, initramfs, files):
    def go(script, *args, more=()):
        initrd = initramfs(guest_drivers.load(DRIVERS) + script + "\nsync\npoweroff -f\n", *files, *more)
        result = run(kernels["cloud"], initrd, "--memory", "256M", *args)
        assert result.status == 0 and not trouble(result.out), result
        return result

    return go


def pages(count, second=0):
    return b"".join(struct.pack("<II", n, second).ljust(PAGE, b"\0") for n in range(count))


def when_there(path, then, limit_s=600):
    """then(), on a thread, once the guest has made the file."""

    def wait():
        deadline = time.monotonic() + limit_s
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("cpu", CPUS)
def test_mapped_files_are_the_hosts(guest, tmp_path, cpu):
    """More of them than the window has room for, read and written, by a mount that is not told of DAX."""
    share = tmp_path / "share"
    share.mkdir()
    count = 256 if cpu == "interpreted" else 1024
    for n in range(12):
        (share / f"f{n}").write_bytes(pages(count))
    (share / "small").write_bytes(pages(1))
    result = guest("""
mount -t virtiofs work /mnt && cd /mnt
echo "== all"; for n in 0 1 2 3 4 5 6 7 8 9 10 11; do mapped all f$n; done
echo "== small"; mapped all small
echo "== end"
""", "--share", f"work={share},dax=16M", "--cpus", 2, *CPUS[cpu])
    assert result.section("all").splitlines() == ["dax yes", f"pages {count} wrong 0 other 0"] * 12, result
    assert result.section("small").splitlines() == ["dax no", "pages 1 wrong 0 other 0"], result
    for n in range(12):
        assert (share / f"f{n}").read_bytes() == pages(count, 1), n
    assert (share / "small").read_bytes() == pages(1, 1)


def test_what_the_host_writes_is_seen_at_once(guest, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    (share / "f").write_bytes(b"a" * 3 * MIB)

    def write():
        with open(share / "f", "r+b") as f:
            f.write(b"b")

    thread = when_there(share / "ready", write)
    result = guest("""
mount -t virtiofs -o dax=always work /mnt && grep -c dax=always /proc/mounts
echo "== watch"; mapped watch /mnt/f & sleep 2; touch /mnt/ready; wait; echo "== end"
""", "--share", f"work={share},dax=32M")
    thread.join()
    assert result.section("watch").splitlines() == ["dax yes", "ready", "seen"], result


def test_a_read_only_share_is_not_written(guest, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    (share / "f").write_bytes(pages(512))
    before = os.stat(share / "f")
    result = guest("""
mount -t virtiofs work /mnt; echo "== sum"; mapped sum /mnt/f; mapped all /mnt/f 2>&1
echo "== end"
""", "--share", f"work={share},ro,dax=16M")
    lines = result.section("sum").splitlines()
    assert lines[:2] == ["dax yes", "pages 512 wrong 0"] and "Read-only" in lines[2], result
    after = os.stat(share / "f")
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
    assert (share / "f").read_bytes() == pages(512)


@pytest.mark.parametrize("cpu", CPUS)
def test_files_that_the_host_cuts_short_end_nothing(guest, tmp_path, cpu):
    """While the guest uses them, again and again; and then they are as the host has them."""
    share = tmp_path / "share"
    share.mkdir()
    (share / "f").write_bytes(pages(700))

    def cut():
        end = time.monotonic() + 8
        n = 0
        while time.monotonic() < end:
            n += 1
            os.truncate(share / "f", n * 12345 % (700 * PAGE) if n % 3 else 0)
            time.sleep(0.01)
            os.truncate(share / "f", 700 * PAGE)
            time.sleep(0.01)
        (share / "stop").touch()

    def fill():
        with open(share / "f", "r+b") as f:
            f.write(pages(700))
        (share / "filled").touch()

    threads = when_there(share / "ready", cut), when_there(share / "over", fill)
    result = guest("""
mount -t virtiofs work /mnt
mapped use /mnt/f /mnt/stop & mapped use /mnt/f /mnt/stop & sleep 1; touch /mnt/ready; wait
touch /mnt/over; while [ ! -e /mnt/filled ]; do usleep 100000; done; sleep 2
echo "== after"; mapped all /mnt/f; echo "== end"
""", "--share", f"work={share},dax=16M", "--cpus", 2, *CPUS[cpu])
    for thread in threads:
        thread.join()
    assert result.out.count("rounds some") == 2, result
    assert result.section("after").splitlines() == ["dax yes", "pages 700 wrong 0 other 0"], result


PROGRAM = """
#include <stdio.h>
int main(void) {{ puts("this is {0}"); return 0; }}
"""


@pytest.mark.parametrize("cpu", CPUS)
def test_programs_run_from_the_window_and_are_what_the_host_makes_of_them(guest, tmp_path, cpu):
    share = tmp_path / "share"
    share.mkdir()
    made = []
    for word in ("one", "two"):
        (tmp_path / f"{word}.c").write_text(PROGRAM.format(word))
        subprocess.run(["cc", "-O2", "-static", "-o", tmp_path / word, tmp_path / f"{word}.c"], check=True)
        made.append((tmp_path / word).read_bytes().ljust(2 * MIB, b"\0"))
    (share / "program").write_bytes(made[0])
    (share / "program").chmod(0o755)

    def replace():
        with open(share / "program", "r+b") as f:  # in its place, as no linker does
            f.write(made[1])
        (share / "done").touch()

    thread = when_there(share / "go", replace)
    result = guest("""
mount -t virtiofs work /mnt && cd /mnt && echo "== runs"
./program; ./program; touch go; while [ ! -e done ]; do usleep 100000; done; sleep 2; ./program; ./program
echo "== end"
""", "--share", f"work={share},dax=16M", *CPUS[cpu])
    thread.join()
    assert result.section("runs").splitlines() == ["this is one"] * 2 + ["this is two"] * 2, result


def test_disks_read_and_write_mapped_files(guest, tmp_path):
    """Devices that have nothing to do with shares find buffers in the window (O_DIRECT from a mapped page)."""
    share, disk = tmp_path / "share", tmp_path / "disk"
    share.mkdir()
    (share / "f").write_bytes(pages(512))
    disk.write_bytes(bytes(4 * MIB))
    folder = tmp_path / "drivers"
    folder.mkdir()
    more = [*guest_drivers.files(folder, ("virtio_blk",)),
            guest_drivers.program(tmp_path, "tests/boot/programs/maptodisk.c")]
    result = guest(guest_drivers.load(("virtio_blk",)) + """
mount -t virtiofs work /mnt; echo "== disk"; maptodisk /mnt/f /dev/vda; echo "== end"
""", "--share", f"work={share},dax=16M", "--disk", disk, more=more)
    assert result.section("disk").splitlines() == ["written 2097152", "read 2097152"], result
    assert disk.read_bytes()[:2 * MIB] == pages(512)
    assert (share / "f").read_bytes() == bytes(2 * MIB)  # what the disk's second half had


@firmware_is_there
@pytest.mark.parametrize("memory", ["256M", "4G"])
def test_firmware_leaves_the_window_alone(vz, kernels, initramfs, files, grub, tmp_path, memory):  # noqa: F811
    """Two of them, where UEFI firmware gives BARs their places; mounted more than once."""
    disk, config = tmp_path / "disk.img", tmp_path / "grub.cfg"
    config.write_text("set timeout=0\nmenuentry x {\n linux /vmlinuz console=ttyS0\n initrd /initrd\n}\n")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_bytes(pages(600))
    initrd = initramfs(guest_drivers.load(DRIVERS) + """
echo "== trouble"; dmesg | grep -E "can't|failed|conflict|BUG|WARNING" | grep -v "Kernel image"
dmesg -n 1; mkdir /a /b
for n in 1 2 3; do for d in a b; do
    mount -t virtiofs $d /$d || echo "no $d"
    mapped sum /$d/f | tr '\\n' ' '; [ $n != 3 ] || mapped all /$d/f; umount /$d
done; done
echo "== end"; poweroff -f
""", *files)
    fill(disk, {"EFI/BOOT/BOOTX64.EFI": grub, "vmlinuz": kernels["cloud"], "initrd": initrd, "grub.cfg": config})
    r = vz("run", "--efi", "--memory", memory, "--disk", disk, "--net", "nat", "--share", f"a={tmp_path}/a,dax=16M",
           "--share", f"b={tmp_path}/b,dax=64M", timeout=300)
    told = r.out.replace("\r", "").partition("== trouble\n")[2].partition("== end")[0]
    assert r.status == 0 and told.startswith("dax yes"), r
    assert told.count("dax yes pages 600 wrong 0 ") == 6 and told.count("pages 600 wrong 0 other 0") == 2, told
    for name in ("a", "b"):
        assert (tmp_path / name / "f").read_bytes() == pages(600, 1)
