# SPDX-License-Identifier: MIT
"""Shared directories, by Linux's own driver."""
import fcntl
import hashlib
import os
import shutil
import threading
import time

import pytest

import guest_drivers

from boots import run, trouble
from conftest import ROOT

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    return guest_drivers.files(tmp_path_factory.mktemp("drivers"), DRIVERS)


@pytest.fixture
def guest(kernels, initramfs, drivers):
    """guest(SCRIPT, ARG..., files=()) boots with the drivers loaded, runs it, and returns a Timed."""

    def go(script, *args, files=()):
        initrd = initramfs(guest_drivers.load(DRIVERS) + script + "\npoweroff -f\n", *drivers, *files)
        result = run(kernels["cloud"], initrd, "--memory", "256M", *args)
        assert result.status == 0 and not trouble(result.out), result
        return result

    return go


def test_read_and_write(guest, tmp_path):
    share = tmp_path / "share"
    share.mkdir()
    (share / "from-host").write_text("hello guest\n")
    result = guest("""
mount -t virtiofs work /mnt && cd /mnt && echo "== read" && cat from-host
echo "hello host" > from-guest
mkdir d && cp from-host d/copy && ln d/copy d/hard && ln -s copy d/soft && mv d e
echo "== names" && ls -1 e && cat e/soft
dd if=/dev/urandom of=big bs=1M count=20 2>/dev/null && cp big big2 && cmp big big2 && echo "== same"
chown 5:6 from-guest && chmod 4751 from-guest && mknod null c 1 3 && echo x > null
echo "== owners" && stat -c '%u:%g:%a %F' from-guest null
rm big2 && umount /mnt 2>/dev/null; cd / && umount /mnt && mount -t virtiofs work /mnt
echo "== again" && stat -c '%u:%g:%a %F %t,%T' /mnt/from-guest /mnt/null && ls -1 /mnt
sync
""", "--share", f"work={share}", "--cpus", 2)
    assert result.section("read") == "hello guest", result
    assert result.section("names") == "copy\nhard\nsoft\nhello guest", result
    assert "== same\n" in result.out, result
    assert result.section("owners") == "5:6:4751 regular file\n0:0:644 character special file", result
    again = result.section("again").splitlines()
    assert again[:2] == ["5:6:4751 regular file 0,0", "0:0:644 character special file 1,3"], result
    assert again[2:7] == ["big", "e", "from-guest", "from-host", "null"], result
    assert (share / "from-guest").read_text() == "hello host\n"
    assert (share / "e/soft").is_symlink() and os.readlink(share / "e/soft") == "copy"
    assert (share / "big").stat().st_size == 20 << 20
    assert (share / "from-guest").stat().st_mode & 0o7000 == 0
    assert (share / "null").is_file() and (share / "null").stat().st_size == 0
    assert os.stat(share / "from-guest").st_uid == os.geteuid()


def test_read_only_and_several(guest, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n")
    result = guest("""
mkdir /ro /several
mount -t virtiofs ro /ro && mount -t virtiofs several /several && echo "== mounted"
for d in /ro /several /several/a; do touch $d/new 2>/dev/null && echo "$d: written"; done
touch /several/b/new && ln /several/a/file /several/b/x 2>/dev/null && echo "linked"
echo "== seen" && cat /ro/file /several/a/file /several/b/file && ls /several
""", "--share", f"ro={tmp_path}/a,ro", "--share", f"several=multiple,dir=a:{tmp_path}/a:ro,dir=b:{tmp_path}/b")
    assert "== mounted\n" in result.out, result
    assert result.section("seen").startswith("a\na\nb\n"), result
    assert sorted(os.listdir(tmp_path / "a")) == ["file"]
    assert sorted(os.listdir(tmp_path / "b")) == ["file", "new"]


SAME = pytest.param("automatic,map=same", marks=pytest.mark.skipif(
    os.geteuid() != 0, reason="to give files to the guest's users takes root"))


@pytest.mark.parametrize("cache", ["automatic", "never", "always", SAME])
def test_every_call_as_on_a_local_file_system(guest, tmp_path, cache):
    share = tmp_path / "share"
    share.mkdir()
    share.chmod(0o755)
    result = guest("""
mkdir /local && mount -t tmpfs -o mode=755 local /local && mount -t virtiofs share /mnt
fscheck /local 7 >/tmp/local && fscheck /mnt 7 >/tmp/share || echo "== failed"
grep random: /tmp/share
diff /tmp/local /tmp/share >/tmp/diff && echo "== the same"
cat /tmp/diff
""", "--share", f"share={share},cache={cache}", "--cpus", 2,
                   files=[guest_drivers.program(tmp_path, "tests/boot/programs/fscheck.c")])
    assert "random: 0\n" in result.out and "== the same\n" in result.out, result
    for folder, _, names in os.walk(share):  # whatever the guest did has no power here
        for name in names:
            st = os.lstat(f"{folder}/{name}")
            assert (st.st_uid == os.geteuid() or "same" in cache) and not st.st_mode & 0o7000, name


def test_a_root_file_system(guest, tmp_path):
    root = tmp_path / "root"
    for folder in ("bin", "dev", "proc", "sbin"):
        (root / folder).mkdir(parents=True)
    shutil.copy(f"{ROOT}/cache/busybox", root / "bin/busybox")
    (root / "sbin/init").write_text("""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "== root"; /bin/busybox grep ' / ' /proc/mounts | /bin/busybox grep -c virtiofs
echo written > /new; /bin/busybox chown 3:4 /new; /bin/busybox stat -c %u:%g /new
/bin/busybox poweroff -f
""")
    (root / "sbin/init").chmod(0o755)
    result = guest("mount -t virtiofs root /mnt && exec switch_root /mnt /sbin/init", "--share", f"root={root}")
    assert result.section("root").startswith("1\n3:4\n"), result
    assert (root / "new").read_text() == "written\n"


TWO = """
mount -t virtiofs share /mnt && cd /mnt && echo x >ready-$ME
while [ ! -e go ]; do usleep 50000; done
two $ME && echo "== whole"
md5sum big | cut -d' ' -f1 >sum-$ME
"""


@pytest.mark.parametrize("cache", ["automatic", "never"])
def test_two_guests_at_once_and_the_host(kernels, initramfs, drivers, tmp_path, cache):
    """One directory, changed by two machines at the same time: locks hold, names are made once, nothing is lost."""
    share = tmp_path / "share"
    share.mkdir()
    (share / "counter").write_text("000000\n")
    (share / "lock").touch()
    (share / "big").write_bytes(os.urandom(3 << 20))
    initrd = initramfs(guest_drivers.load(DRIVERS) + TWO + "\npoweroff -f\n", *drivers,
                       guest_drivers.program(tmp_path, "tests/boot/programs/two.c"))
    results = {}

    def guest(me):
        results[me] = run(kernels["cloud"], initrd, "--memory", "256M", "--share", f"share={share},cache={cache}",
                          cmdline=f"console=ttyS0 quiet ME={me}")

    guests = [threading.Thread(target=guest, args=(me,)) for me in "ab"]
    for t in guests:
        t.start()
    while not all((share / f"ready-{me}").exists() for me in "ab") and any(t.is_alive() for t in guests):
        time.sleep(0.1)
    (share / "go").touch()
    for _ in range(100):  # the host as a third
        with open(share / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            count = int((share / "counter").read_text())
            (share / "counter").write_text(f"{count + 1:06}\n")
    for t in guests:
        t.join()
    for me, r in results.items():
        assert r.status == 0 and "== whole" in r.out and not trouble(r.out), (me, r)
    won = [int(r.out.split("== won ")[1].split()[0]) for r in results.values()]
    assert (share / "counter").read_text() == "000300\n", results
    assert sum(won) == 100, won
    assert sorted(p.name for p in share.glob("once-*")) == sorted(f"once-{i}" for i in range(100)), won
    log = (share / "log").read_text().splitlines()
    assert sorted(log) == sorted(f"{me} {i}" for me in "ab" for i in range(100))
    sums = {(share / f"sum-{me}").read_text() for me in "ab"}
    assert len(sums) == 1 and sums.pop().strip() == hashlib.md5((share / "big").read_bytes()).hexdigest()
    assert (share / "shared").read_text()[2:] == "99\n" and not list(share.glob("new-*"))
