# SPDX-License-Identifier: MIT
"""Linux's own driver on NVMe controllers: what it writes is in the image, what fails is told, and a reset
in the middle of everything loses nothing."""
import os
import re
import subprocess

import pytest

import boots
from conftest import ROOT, SLOWER

MIB = 1 << 20
HERE = os.path.dirname(__file__)
LIMIT_S = 900 * SLOWER
WAIT = "for i in $(seq 600); do [ -b /dev/nvme0n1 ] && break; sleep 0.1; done\n"
STEPS = "seq check rand:400 check flush:40 discard zero check"


@pytest.fixture(scope="session")
def diskcheck(tmp_path_factory):
    program = tmp_path_factory.mktemp("bin") / "diskcheck"
    subprocess.run(["gcc", "-O2", "-static", f"{HERE}/diskcheck.c", "-o", program], check=True)
    return program


@pytest.fixture
def guest(kernels, initramfs, diskcheck, monkeypatch):
    """guest(SCRIPT, OPTION...) runs it to its end, in memory that no device writes without asking."""
    monkeypatch.setenv("VZ_STRICT_MEMORY", "1")

    def run(script, *options):
        initrd = initramfs(WAIT + script + "\ndmesg | grep -i 'nvme.*\\(timeout\\|abort\\|error\\|fail\\)'\n"
                           "poweroff -f\n", (diskcheck, "bin/diskcheck"))
        r = boots.run(kernels["cloud"], initrd, "--cpus", 2, *options, limit_s=LIMIT_S)
        assert r.status == 0 and not boots.trouble(r.out), r
        return r.out

    return run


@pytest.fixture
def image(tmp_path):
    def make(size=16 * MIB, name="disk.img"):
        path = tmp_path / name
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    return make


def verify(diskcheck, path, seed, steps):
    return subprocess.run([diskcheck, "--verify", path, str(seed), *steps.split()], text=True,
                          stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("mode", ["", ",block-size=4096", ",cache=uncached"])
def test_what_the_guest_wrote_is_in_the_image(guest, image, diskcheck, mode):
    path = image()
    out = guest(f"cat /sys/block/nvme0n1/queue/logical_block_size\ndiskcheck /dev/nvme0n1 7 {STEPS}",
                "--nvme", f"{path}{mode}")
    assert "all is well" in out and "timeout" not in out, out
    assert ("4096" if "4096" in mode else "512") == out.split()[0], out
    assert "all is well" in verify(diskcheck, path, 7, STEPS)
    assert "differs" in verify(diskcheck, path, 8, STEPS)  # the check can fail


def test_linux_sees_a_sane_device(guest, image):
    out = guest("cd /sys/class/nvme/nvme0; cat serial model state; cat /sys/block/nvme0n1/size "
                "/sys/block/nvme0n1/queue/write_cache; ls /sys/block/nvme0n1/mq | wc -l; "
                "cat /sys/block/nvme1n1/ro; cat /sys/class/nvme/nvme1/serial; ls /sys/class/nvme\n"
                "grep -c nvme0q /proc/interrupts",
                "--nvme", f"{image()},id=first", "--nvme", f"{image(name='second')},ro")
    assert out.split()[:14] == ["first", "vz", "NVMe", "controller", "live", "32768", "write", "back", "2",
                                "1", "vz1", "nvme0", "nvme1", "3"], out


def test_disks_of_one_controller(guest, image, diskcheck):
    """Three namespaces, of which one has larger blocks; each has its own bytes, speed limit and size."""
    a, b, c = image(name="a"), image(name="b"), image(size=8 * MIB, name="c")
    out = guest("for n in 2 3; do for i in $(seq 600); do [ -b /dev/nvme0n$n ] && break; sleep 0.1; done; done\n"
                "ls -d /sys/class/nvme/*; cat /sys/block/nvme0n?/queue/logical_block_size /sys/block/nvme0n?/size; "
                "cat /sys/block/nvme0n3/ro; cat /sys/block/nvme?n?/uuid | sort -u | wc -l\n"
                f"diskcheck /dev/nvme0n1 1 {STEPS} & diskcheck /dev/nvme0n2 2 {STEPS}; wait",
                "--nvme", f"{a},id=one", "--disk", f"{c},ro", "--nvme-namespace", f"{b},block-size=4096",
                "--nvme-namespace", f"{c},controller=one,ro", "--nvme", f"{image(name='d')},limit-bytes=1G")
    words = out.split()
    assert words[:2] == ["/sys/class/nvme/nvme0", "/sys/class/nvme/nvme1"], out
    assert words[2:10] == ["512", "4096", "512", "32768", "32768", "16384", "1", "4"], out
    assert out.count("all is well") == 2, out
    assert "all is well" in verify(diskcheck, a, 1, STEPS) and "all is well" in verify(diskcheck, b, 2, STEPS)


def test_a_limit_holds_the_guest_back_and_all_is_counted(kernels, initramfs, image):
    script = (WAIT + "a=$(cut -d. -f1 /proc/uptime); dd if=/dev/nvme0n1 of=/dev/null bs=64k count=48 iflag=direct 2>/dev/null; "
              "b=$(cut -d. -f1 /proc/uptime); echo took $((b - a)) s; poweroff -f\n")
    r = boots.run(kernels["cloud"], initramfs(script), "--nvme", f"{image()},limit-bytes=1M", "--stats", limit_s=LIMIT_S)
    assert r.status == 0 and int(r.out.split("took ")[1].split()[0]) >= 2, r  # 3 MiB, a tenth of a second's at once
    count = {words[0]: int(words[1]) for words in map(str.split, r.err.splitlines()) if words and words[0].startswith("disk0.")}
    assert count["disk0.limited"] > 30 and count["disk0.bytes_read"] >= 3 * MIB and count["disk0.errors"] == 0
    # The last of them waited for most of a sixteenth of a second, which is what its bytes take.
    assert count["disk0.read_ns_max"] > 30e6 and count["disk0.read_ns"] > 1e9
    assert sum(n for name, n in count.items() if name.startswith("disk0.read_us_")) == count["disk0.reads"]


def test_debian_boots_from_it(vz, tmp_path):
    """systemd on a root file system behind NVMe, with Debian's kernel and initrd given; nothing of it is kept."""
    made = subprocess.run([f"{ROOT}/scripts/make-debian-image"], text=True, stderr=subprocess.PIPE)
    if made.returncode == 3:
        pytest.skip(made.stderr.strip().splitlines()[-1])
    image = f"{ROOT}/cache/debian.img"
    listing = subprocess.run(["/sbin/debugfs", "-R", "ls -p /boot", image], check=True, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    version = sorted(re.findall(r"/vmlinuz-([^/]+)/", listing))[-1]
    for name in ("vmlinuz", "initrd.img"):
        subprocess.run(["/sbin/debugfs", "-R", f"dump /boot/{name}-{version} {tmp_path}/{name}", image], check=True,
                       stderr=subprocess.DEVNULL)
    r = vz("run", "--kernel", tmp_path / "vmlinuz", "--initrd", tmp_path / "initrd.img", "--nvme", f"{image},ephemeral",
           "--memory", "512M", "--timeout", f"{LIMIT_S}s", "--cmdline",
           "root=/dev/nvme0n1 console=ttyS0 quiet systemd.run=\"/bin/sh -c 'findmnt -no SOURCE,FSTYPE / >/dev/console; "
           "dd if=/dev/urandom of=/root/x bs=1M count=4 conv=fsync && echo is written >/dev/console'\"", timeout=LIMIT_S)
    assert r.status == 0 and "/dev/nvme0n1 ext4" in r.out and "is written" in r.out, r


def test_a_reset_under_load_loses_nothing(guest, image, diskcheck):
    path = image()
    out = guest("diskcheck /dev/nvme0n1 5 seq rand:3000 check & "
                "for i in 1 2 3 4 5 6; do sleep 0.3; echo 1 >/sys/class/nvme/nvme0/reset_controller; done\n"
                "wait; cat /sys/class/nvme/nvme0/state; dmesg | grep -c 'nvme nvme0: 2/0/0'",
                "--nvme", path)
    assert "all is well" in out and "live" in out, out
    assert int(out.split("live")[1].split()[0]) >= 7, out
    assert "all is well" in verify(diskcheck, path, 5, "seq rand:3000")


def test_the_driver_comes_and_goes(guest, image):
    out = guest("cd /sys/bus/pci/drivers/nvme; d=$(ls -d 0000:*)\n"
                "for i in 1 2 3; do echo $d >unbind; ls /dev/nvme* 2>/dev/null; echo $d >bind; "
                "for k in $(seq 100); do [ -b /dev/nvme0n1 ] && break; sleep 0.1; done; "
                "dd if=/dev/nvme0n1 of=/dev/null bs=64k count=16 iflag=direct 2>&1 | grep -c records; done",
                "--nvme", image())
    assert out.split()[:3] == ["2", "2", "2"], out


def test_ext4_gives_back_what_is_trimmed(guest, image):
    path = image(size=32 * MIB)
    out = guest("mke2fs -F /dev/nvme0n1 >/dev/null; mount -t ext4 /dev/nvme0n1 /mnt && "
                "dd if=/dev/urandom of=/mnt/n bs=64k count=100 2>/dev/null; rm /mnt/n; sync\n"
                "fstrim -v /mnt; umount /mnt; echo ended", "--nvme", path)
    assert "trimmed" in out and "ended" in out, out
    assert subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0
    assert os.stat(path).st_blocks * 512 < 4 * MIB


def test_errors_of_the_host_are_the_guests(guest, image):
    out = guest("dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 skip=3 iflag=direct || echo read-failed\n"
                "dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=1 oflag=direct && echo wrote",
                "--nvme", f"{image()},filter=fault:eio:read:skip=200")
    out2 = guest("dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=1 oflag=direct || echo write-failed",
                 "--nvme", f"{image()},filter=fault:enospc:write")
    assert "wrote" in out and "write-failed" in out2, out + out2


def test_two_cpus_on_queues_of_their_own(guest, image, diskcheck):
    a, b = image(name="a"), image(name="b")
    out = guest("for i in 1 2 3 4 5 6 7 8; do dd if=/dev/nvme1n1 of=/dev/null bs=4k iflag=direct 2>/dev/null & done\n"
                "diskcheck /dev/nvme0n1 9 seq rand:300 check; wait; grep nvme1q /proc/interrupts",
                "--nvme", a, "--nvme", b)
    assert "all is well" in out, out
    used = [line for line in out.splitlines()
            if "nvme1q" in line and "q0" not in line and sum(map(int, line.split()[1:3])) > 0]
    assert len(used) == 2, out
