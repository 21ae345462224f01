# SPDX-License-Identifier: MIT
"""Shares that are full, and what is large, deep or many in them."""
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import guest_drivers

from boots import BOOT_LIMIT_S, run, trouble
from conftest import PATIENT, SLOWER, VZ

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
IS_LONG = "VZ_LONG" in os.environ
CACHES = pytest.mark.parametrize("cache", ["automatic", "always"])
GIB = 1 << 30


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS), guest_drivers.program(folder, "tests/boot/programs/limits.c")]


@pytest.fixture
def limits(kernels, initramfs, files, tmp_path):
    """limits(WHAT, SHARE, OPTIONS) is what the guest's program says about it, as lines."""

    def go(what, share, options="", within=(), kernel="cloud", drivers=files, limit_s=BOOT_LIMIT_S):
        initrd = initramfs(guest_drivers.load(DRIVERS) + f"""
mount -t virtiofs share /mnt; set -- {what}; word=$1; shift; echo "== said"; limits $word /mnt $*
umount /mnt || echo busy; poweroff -f
""", *drivers)
        result = run(kernels[kernel], initrd, "--memory", "256M", "--share", f"share={share}{options}", within=within,
                     limit_s=limit_s)
        assert result.status == 0 and not trouble(result.out), result
        said = result.section("said").split("limits: end\n")
        assert len(said) == 2 and "busy" not in said[1], result
        return said[0].splitlines()

    return go


@pytest.fixture
def share(tmp_path):
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


# ---- Full ------------------------------------------------------------------------------------------------------------------

FULL = ["fallocate: ENOSPC", "remove: ok", "write again: ok", "close: ok", "create: ENOSPC", "mkdir: ENOSPC",
        "mknod: ENOSPC", "symlink: ENOSPC", "create again: ok"]


@CACHES
def test_a_full_disk(limits, share, cache):
    """A file system in memory, with room for 3 MiB in 100 files: also where the guest's kernel writes later."""
    there = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", share], capture_output=True).returncode == 0
    if not there:
        pytest.skip("this user may not mount anything in a namespace")
    within = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=3m,nr_inodes=100 x "{share}" && exec "$@"', "sh"]
    assert limits("full", share, f",cache={cache}", within) == ["write: ENOSPC", *FULL]


# A process whose calls answer as a file system does whose user has used up a quota.
NO_QUOTA_LEFT = """
import ctypes, os, struct, sys
error, *calls = map(int, sys.argv[1].split(","))
program = struct.pack("HBBI", 0x20, 0, 0, 0)  # the call's number
for i, call in enumerate(calls):
    program += struct.pack("HBBI", 0x15, len(calls) - i, 0, call)
program += struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000) + struct.pack("HBBI", 0x06, 0, 0, 0x50000 | error)
at = ctypes.create_string_buffer(program)
filter = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(at))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.create_string_buffer(filter), 0, 0) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""
PWRITEV2, FALLOCATE, MKDIRAT, SYMLINKAT = 328, 285, 258, 266


@CACHES
def test_a_quota_that_is_used_up(limits, share, cache):
    calls = ",".join(map(str, (errno.EDQUOT, PWRITEV2, FALLOCATE, MKDIRAT, SYMLINKAT)))
    said = dict(line.split(": ") for line in
                limits("full 3", share, f",cache={cache}", [sys.executable, "-c", NO_QUOTA_LEFT, calls]))
    assert {name: said[name] for name in ("write", "fallocate", "mkdir", "symlink", "create again")} == \
        {"write": "EDQUOT", "fallocate": "EDQUOT", "mkdir": "EDQUOT", "symlink": "EDQUOT", "create again": "ok"}


@CACHES
def test_more_open_files_than_there_may_be(limits, share, cache):
    """A quarter of what the process may open: others are refused, what is open goes on, and what is closed is free again."""
    assert limits("open 3000", share, f",cache={cache}", ["prlimit", "--nofile=1024:1024"]) == \
        ["open: ENFILE", "opened some", "stat: ok", "write: ok", "rename: ok", "open one more: ok", "open when closed: ok"]


# ---- Large, deep, many --------------------------------------------------------------------------------------------------------

@CACHES
def test_paths_longer_than_any_call_takes(limits, share, cache):
    said = limits("deep", share, f",cache={cache}", ["prlimit", "--nofile=256:256"])
    assert said == ["write: ok", "rename: ok", "chown: ok", "mknod: ok", "link: ok", "unlink: ok", "found: ok"]
    depth, where = 0, os.open(share, os.O_RDONLY)
    while (names := sorted(os.listdir(where))) and names[0].startswith("ddd"):
        below = os.open(names[0], os.O_RDONLY, dir_fd=where)
        os.close(where)
        where, depth = below, depth + 1
    with open(os.open("file2", os.O_RDONLY, dir_fd=where)) as f:
        assert (depth, names, f.read()) == (40, ["file2", "null"], "deep")
    os.close(where)


@CACHES
def test_a_file_of_100_gb_that_is_nearly_all_holes(limits, share, cache):
    said = limits("sparse", share, f",cache={cache}")
    assert said == ["truncate: ok", *["write: ok"] * 3, "sync: ok", f"size {100 * GIB} blocks few",
                    "data in GiB 5 of a block", "data in GiB 50 of a block", "data in GiB 99 of a block",
                    "no more data: ENXIO", "hole behind the end: ENXIO", "read: ok", "data", "mapped data", "msync: ok",
                    "punch: ok", "first data in GiB 50"]
    st = os.stat(share / "sparse")
    assert st.st_size == 100 * GIB and st.st_blocks < 2048
    with open(share / "sparse", "rb") as f:
        assert os.pread(f.fileno(), 4, 50 * GIB + 4096) == b"more" and os.pread(f.fileno(), 4, 100 * GIB - 4096) == b"data"


def test_times_of_birth_are_the_hosts(limits, share, tmp_path):
    """From Linux 6.6 on, whose FUSE asks for them."""
    (share / "born").write_text("x")
    os.utime(share / "born", (1, 1))
    born = subprocess.check_output(["stat", "-c", "%.9W", share / "born"], text=True).strip()
    newer = [*guest_drivers.files(tmp_path, DRIVERS, kernel="newer"),
             guest_drivers.program(tmp_path, "tests/boot/programs/limits.c")]
    if born == "0.000000000":
        pytest.skip("this file system keeps no time of birth")
    assert limits("born", share, kernel="newer", drivers=newer) == ["statx: ok", f"born known {born}", "syncfs: ok"]


def test_many_files(limits, share):
    """More than the guest has memory for and vz descriptors: 100 thousand; with VZ_LONG=1, 10 million."""
    folders, names = (1000, 10000) if IS_LONG else (50, 2000)
    for n in range(folders):
        (share / f"{n}").mkdir()
        folder = os.open(share / f"{n}", os.O_RDONLY)
        for i in range(names):
            os.mknod(f"a file of that number {i}", 0o644, dir_fd=folder)
        os.close(folder)
    (share / "7/a file of that number 7").write_text("seven")
    said = limits("many", share, "", ["prlimit", "--nofile=512:512"], limit_s=BOOT_LIMIT_S * (8 if IS_LONG else 1))
    shutil.rmtree(share)  # pytest would keep them
    assert said == ["walk: ok", f"found {folders * names} bytes 5"]


# ---- The end of the process --------------------------------------------------------------------------------------------------

@CACHES
@pytest.mark.parametrize("rounds", [25])
def test_what_was_synced_is_there_when_vz_is_killed(kernels, initramfs, files, share, cache, rounds):
    """At some moment, while the guest writes, syncs and then says so."""
    initrd = initramfs(guest_drivers.load(DRIVERS) + """
mount -t virtiofs share /mnt; cd /mnt; n=0
while :; do
    n=$((n + 1)); printf '%09d\\n' $n >>log; cp log copy.new; fsync log copy.new; mv copy.new copy; echo "synced $n"
done
""", *files)
    p = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--initrd", str(initrd), "--memory", "256M", "--share",
                          f"share={share},cache={cache}", "--cmdline", f"console=ttyS0 quiet {PATIENT}"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    watchdog = threading.Timer(300 * SLOWER, p.terminate)
    watchdog.daemon = True
    watchdog.start()
    last = 0
    for line in p.stdout:
        if line.startswith(b"synced"):
            last = int(line.split()[1])
        if last == rounds:
            p.send_signal(signal.SIGKILL)
    p.wait()
    log = (share / "log").read_text().splitlines()
    assert last >= rounds and len(log) >= last and log == [f"{n:09}" for n in range(1, len(log) + 1)], (last, log[-3:])
    assert (share / "copy").read_text().splitlines()[:last] == log[:last]
    assert p.returncode == -signal.SIGKILL
