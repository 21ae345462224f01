# SPDX-License-Identifier: MIT
"""A guest that tries to get out of its share, while the host moves folders and links about in it."""
import os
import stat
import threading
import time

import pytest

import guest_drivers

from boots import run, trouble

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
SAME = pytest.mark.skipif(os.geteuid() != 0, reason="to give files to the guest's users takes root")


def everything(folder):
    """What is there: types, modes, owners, times of change of each, and contents."""
    found = {}
    for top, folders, names in os.walk(folder):
        for name in (*folders, *names, "."):
            path = os.path.join(top, name)
            st = os.lstat(path)
            with open(path if stat.S_ISREG(st.st_mode) else os.devnull, "rb") as f:
                found[path] = (st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns, st.st_nlink, f.read(), os.listxattr(path))
    return found


def disturb(share, aside, stop):
    """Swap a folder with a link that leads outside, and move another one out of the share and back, until stop is set."""
    count = 0
    while not stop.is_set():
        os.rename(share / "swap", share / ".swap")
        os.symlink("../outside", share / "swap")
        os.rename(share / "moved", aside / "moved")
        os.rename(aside / "moved", share / "moved")
        (share / "swap").unlink()
        os.rename(share / ".swap", share / "swap")
        count += 1
    return count


def checked_powers(share):
    for top, folders, names in os.walk(share):
        for name in (*folders, *names):
            st = os.lstat(os.path.join(top, name))
            assert stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode) or stat.S_ISLNK(st.st_mode), (name, oct(st.st_mode))
            assert not st.st_mode & 0o6000, (name, oct(st.st_mode))


@pytest.mark.parametrize("how", ["cache=never", "cache=automatic,dax=16M", pytest.param("map=same,cache=never", marks=SAME)])
def test_there_is_no_way_out(kernels, initramfs, tmp_path, how):
    share, outside, aside = (tmp_path / name for name in ("share", "outside", "aside"))
    for folder in (share / "swap/deep", share / "moved/deep", outside / "deep", aside):
        folder.mkdir(parents=True)
    for folder in (outside, outside / "deep", aside, tmp_path):
        (folder / "secret").write_text("secret of the host\n")
    (share / "swap/inside").write_text("inside\n")
    (share / "hosts-link").symlink_to("../outside/secret")
    (share / "hosts-link-to-folder").symlink_to(outside)
    before = {**everything(outside), **everything(aside)}
    top = (tmp_path / "secret").stat()
    files = [*guest_drivers.files(tmp_path, DRIVERS), guest_drivers.program(tmp_path, "tests/boot/programs/escapes.c")]
    initrd = initramfs(guest_drivers.load(DRIVERS) + "mount -t virtiofs share /mnt\necho; escapes /mnt\npoweroff -f\n", *files)
    results, stop, counts = [], threading.Event(), []
    guest = threading.Thread(target=lambda: results.append(
        run(kernels["cloud"], initrd, "--memory", "256M", "--cpus", 2, "--share", f"share={share},{how}", limit_s=300)))
    host = threading.Thread(target=lambda: counts.append(disturb(share, aside, stop)))
    guest.start()
    for step in ("ready", "many"):
        while not (share / step).exists() and guest.is_alive():
            time.sleep(0.05)
        if step == "ready":
            host.start()
    stop.set()
    host.join()
    (share / "stop").touch()
    guest.join()
    (result,) = results
    assert result.status == 0 and not trouble(result.out), result
    assert "rounds many tries many opened many secrets 0\n" in result.out and counts[0] > 100, (result, counts)
    after = {**everything(outside), **everything(aside)}
    for seen in (before, after):
        del seen[f"{aside}/."]  # where the host itself was at work
    assert after == before
    assert (tmp_path / "secret").stat().st_mtime_ns == top.st_mtime_ns and (tmp_path / "secret").stat().st_nlink == 1
    checked_powers(share)
