# SPDX-License-Identifier: MIT
"""When the host's changes are seen in the guest: the times that docs/shares.md says."""
import os
import subprocess
import threading
import time

import pytest

import guest_drivers

from boots import trouble
from conftest import PATIENT, SLOWER, VZ

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
BELIEVED_S = {"automatic": 1, "never": 0}  # that long a guest may believe what it knows
BUSY_S = 10 * SLOWER  # by which a busy host may have it late
# The guest knows each of these before the host changes it, looks again and again, and says when it has seen the change.
LOOK = """
look() { name=$1; shift; "$@" >/dev/null 2>&1; : >/mnt/known-$name
         until "$@" 2>/dev/null | grep -q new; do usleep 10000; done; : >/mnt/seen-$name; }
mount -t virtiofs share /mnt && cd /mnt && exec 3</mnt/open
look contents cat contents & look open dd bs=4096 skip=0 if=/proc/self/fd/3 & look replaced cat replaced &
look appears cat appears & look mode stat -c new-%a mode-new & look listed ls folder &
gone() { cat gone >/dev/null; : >known-gone; while [ -e gone ]; do usleep 10000; done; : >seen-gone; }
gone & back() { cat mode >/dev/null; : >known-mode2; until [ "$(stat -c %a mode)" = 640 ]; do usleep 10000; done; : >seen-mode2; }
back & wait; poweroff -f
"""


def change(share, name):
    """What the host does."""
    if name in ("contents", "open"):
        with open(share / name, "r+") as f:
            f.write("new and longer than what there was\n")
    elif name == "replaced":
        (share / "other").write_text("new\n")
        os.rename(share / "other", share / "replaced")
    elif name == "gone":
        (share / "gone").unlink()
    elif name == "mode2":
        (share / "mode").chmod(0o640)
    elif name == "listed":
        (share / "folder/new").touch()
    else:
        (share / {"appears": "appears", "mode": "mode-new"}[name]).write_text("new\n")


def until(condition, p, limit_s=120 * SLOWER):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end and p.poll() is None, p.stdout.read() if p.poll() is not None else "not in time"
        time.sleep(0.005)


def start(kernels, initrd, share, cache):
    p = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--initrd", str(initrd), "--memory", "256M", "--cpus", "2",
                          "--share", f"share={share},cache={cache}", "--cmdline", f"console=ttyS0 quiet {PATIENT}"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    watchdog = threading.Timer(600 * SLOWER, p.kill)
    watchdog.daemon = True
    watchdog.start()
    return p


@pytest.fixture
def share(tmp_path):
    share = tmp_path / "share"
    (share / "folder").mkdir(parents=True)
    for name in ("contents", "open", "replaced", "gone", "mode"):
        (share / name).write_text("old\n")
    (share / "mode").chmod(0o644)
    return share


@pytest.mark.parametrize("cache", BELIEVED_S)
def test_changes_are_seen_in_time(kernels, initramfs, tmp_path, share, cache):
    p = start(kernels, initramfs(guest_drivers.load(DRIVERS) + LOOK, *guest_drivers.files(tmp_path, DRIVERS)), share, cache)
    late = {}
    for name in ("contents", "open", "replaced", "appears", "mode", "listed", "gone", "mode2"):
        until((share / f"known-{name}").exists, p)
        began = time.monotonic()
        change(share, name)
        until((share / f"seen-{name}").exists, p)
        late[name] = time.monotonic() - began
    out = p.stdout.read().decode(errors="replace")
    assert p.wait() == 0 and not trouble(out), out
    assert all(s < BELIEVED_S[cache] + BUSY_S for s in late.values()), late


def test_what_is_cached_for_good_is_kept_until_it_is_forgotten(kernels, initramfs, tmp_path, share):
    """cache=always: what the guest knows stays, for longer than the other ways would have it."""
    script = guest_drivers.load(DRIVERS) + """
mount -t virtiofs share /mnt && cd /mnt && cat contents >/dev/null && ls gone && : >known
read x; usleep 1500000; cat contents; ls gone
echo 3 >/proc/sys/vm/drop_caches; echo; cat contents; ls gone; echo over; poweroff -f
"""
    p = start(kernels, initramfs(script, *guest_drivers.files(tmp_path, DRIVERS)), share, "always")
    until((share / "known").exists, p)
    for name in ("contents", "gone"):
        change(share, name)
    p.stdin.write(b"\n")  # not by the share: that a file is not there is kept, too
    p.stdin.flush()
    out = p.stdout.read().decode(errors="replace").replace("\r", "")
    before, after = out.split("\n\n")[-2:]
    assert p.wait() == 0 and not trouble(out), out
    assert before.endswith("old\ngone") and after.startswith("new and longer") and "No such file" in after, out
