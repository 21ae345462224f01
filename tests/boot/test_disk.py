# SPDX-License-Identifier: MIT
"""Linux's own driver on virtio block devices: what it writes is in the image, what fails is told."""
import glob
import hashlib
import os
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, SLOWER

LIMIT_S = 900  # only against hanging
MIB = 1 << 20
HERE = os.path.dirname(__file__)
DRIVERS = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
           "virtio_blk")
LOAD = "for m in " + " ".join(DRIVERS) + "; do insmod /mod/$m.ko || echo no $m; done\n"
STEPS = "seq check rand:400 check flush:40 discard zero check"


@pytest.fixture(scope="session")
def modules(tmp_path_factory):
    """Pairs of file and path in the guest, for initramfs()."""
    folder = tmp_path_factory.mktemp("modules")
    subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-cloud/package.deb", folder], check=True)
    return [(glob.glob(f"{folder}/**/{m}.ko", recursive=True)[0], f"mod/{m}.ko") for m in DRIVERS]


@pytest.fixture(scope="session")
def diskcheck(tmp_path_factory):
    program = tmp_path_factory.mktemp("bin") / "diskcheck"
    subprocess.run(["gcc", "-O2", "-static", f"{HERE}/diskcheck.c", "-o", program], check=True)
    return program


@pytest.fixture
def guest(kernels, initramfs, modules, diskcheck):
    """guest(SCRIPT, DISK...) runs it to its end; with start=True returns the process."""

    started = []

    def run(script, *disks, start=False, options=()):
        initrd = initramfs(LOAD + script + "\npoweroff -f\n", *modules, (diskcheck, "bin/diskcheck"))
        args = [f"{BUILD}/tests/boot/diskvm", *options, kernels["cloud"], initrd, "console=ttyS0 quiet",
                *map(str, disks)]
        p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(p)
        if start:
            return p
        out, err = p.communicate(timeout=LIMIT_S * SLOWER)
        assert p.returncode == 0, out + err
        return out

    yield run
    for p in started:
        p.kill()
        p.communicate()


@pytest.fixture
def image(tmp_path):
    def make(size=16 * MIB, name="disk.img", data=None):
        path = tmp_path / name
        path.write_bytes(data or b"")
        if data is None:
            os.truncate(path, size)
        return path

    return make


def verify(diskcheck, path, seed, steps):
    r = subprocess.run([diskcheck, "--verify", path, str(seed), *steps.split()], text=True,
                       stdout=subprocess.PIPE)
    return r.stdout


@pytest.mark.parametrize("mode", ["", ",threads", ",uncached", ",nosync", ",delay=2"])
def test_what_the_guest_wrote_is_in_the_image(guest, image, diskcheck, mode):
    steps = STEPS if "delay" not in mode else "seq rand:40 check"
    path = image()
    out = guest(f"diskcheck /dev/vda 7 {steps}", f"{path}{mode}")
    assert "all is well" in out, out
    assert "all is well" in verify(diskcheck, path, 7, steps)
    assert "differs" in verify(diskcheck, path, 8, steps)  # the check can fail


@pytest.mark.parametrize("mode", ["", ",threads", ",uncached"])
@pytest.mark.parametrize("kind", ["compat=v3", "compat=0.10", "extended_l2=on,lazy_refcounts=on",
                                  "cluster_size=4k"])
def test_what_the_guest_wrote_is_in_the_qcow2_image(guest, tmp_path, diskcheck, kind, mode):
    path, raw = tmp_path / "disk.qcow2", tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", kind, path, str(16 * MIB)],
                   check=True)
    out = guest(f"diskcheck /dev/vda 7 {STEPS}", f"{path}{mode}")
    assert "all is well" in out, out
    subprocess.run(["qemu-img", "check", "-q", path], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw], check=True)
    assert "all is well" in verify(diskcheck, raw, 7, STEPS)


def test_guest_memory_can_be_a_file(guest, image, diskcheck):
    """As other processes will map it: the same machine, one switch of the board."""
    path = image()
    out = guest("diskcheck /dev/vda 7 seq rand:40 check", path,
                options=["-s"])
    assert "all is well" in out, out
    assert "all is well" in verify(diskcheck, path, 7, "seq rand:40 check")


def test_write_through(guest, image, diskcheck):
    path = image()
    out = guest("echo 'write through' >/sys/block/vda/cache_type; cat /sys/block/vda/cache_type\n"
                "diskcheck /dev/vda 3 seq rand:100 check", path)
    assert "write through" in out and "all is well" in out, out
    assert "all is well" in verify(diskcheck, path, 3, "seq rand:100")


def test_linux_sees_what_was_promised(guest, image):
    out = guest("cd /sys/block/vda; cat size serial; echo; cat ro queue/write_cache "
                "queue/logical_block_size queue/physical_block_size; ls /sys/block/vdb/mq; "
                "cat queue/discard_max_bytes",
                image(), image(name="second.img"))
    assert out.split()[:9] == ["32768", "disk-0", "0", "write", "back", "512", "4096", "0",
                               str(1 << 30)], out


def test_read_only_disks_stay_as_they_are(guest, image):
    data = os.urandom(MIB)
    path = image(data=data)
    out = guest("cat /sys/block/vda/ro; dd if=/dev/zero of=/dev/vda bs=4k count=1 && echo wrote\n"
                "sha256sum </dev/vda", f"{path},ro")
    assert "wrote" not in out and "not permitted" in out, out
    assert hashlib.sha256(data).hexdigest() in out, out
    assert path.read_bytes() == data


def test_ext4(guest, image):
    out = guest("mke2fs -F /dev/vda >/dev/null; mount -t ext4 /dev/vda /mnt && seq 1 100000 >/mnt/n\n"
                "umount /mnt; mount -t ext4 /dev/vda /mnt; sha256sum </mnt/n; rm /mnt/n; sync\n"
                "fstrim -v /mnt; umount /mnt; echo ended", path := image(size=32 * MIB))
    want = hashlib.sha256("".join(f"{i}\n" for i in range(1, 100001)).encode()).hexdigest()
    assert want in out and "trimmed" in out and "ended" in out, out
    assert subprocess.run(["/sbin/e2fsck", "-fn", path], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0
    assert os.stat(path).st_blocks * 512 < 4 * MIB  # what was trimmed is the host's again


def test_errors_of_the_host_are_the_guests(guest, image):
    out = guest("dd if=/dev/vda of=/dev/null bs=4k count=1 skip=256 iflag=direct || echo read-failed\n"
                "dd if=/dev/zero of=/dev/vda bs=4k count=1 seek=256 oflag=direct || echo write-failed\n"
                "dd if=/dev/vda of=/dev/null bs=4k count=1 skip=255 iflag=direct && echo read-well\n",
                f"{image()},eio={MIB}+4096")
    assert "read-failed" in out and "write-failed" in out and "read-well" in out, out


def wait_for(p, word):
    text = ""
    end = time.time() + LIMIT_S * SLOWER
    while word not in text and time.time() < end:
        line = p.stdout.readline()
        if not line:
            break
        text += line
    assert word in text, text


def test_the_guest_sees_a_new_size(guest, image):
    path = image()
    p = guest("echo ready; for i in $(seq 200); do [ $(cat /sys/block/vda/size) = 32768 ] || break; "
              "sleep 0.1; done; cat /sys/block/vda/size; diskcheck /dev/vda 5 seq check",
              path, start=True)
    wait_for(p, "ready")
    os.truncate(path, 24 * MIB)
    out, err = p.communicate(timeout=LIMIT_S * SLOWER)
    assert "49152" in out and "all is well" in out, out + err


def test_an_image_truncated_under_the_guest(guest, image):
    path = image(data=os.urandom(4 * MIB))
    p = guest("echo ready; sleep 3; dd if=/dev/vda of=/dev/null bs=4k count=1 skip=512 iflag=direct "
              "; echo alive", path, start=True)
    wait_for(p, "ready")
    os.truncate(path, MIB)
    out, err = p.communicate(timeout=LIMIT_S * SLOWER)
    # an error; or the end of a disk that the guest knows to be smaller by now
    assert "alive" in out and "1+0 records" not in out, out + err


def test_a_second_machine_is_refused(guest, image):
    path = image()
    p = guest("echo ready; sleep 10000", path, start=True)
    wait_for(p, "ready")
    second = guest("", path, start=True)
    err = second.communicate(timeout=LIMIT_S * SLOWER)[1]
    p.kill()
    p.communicate()
    assert second.returncode == 1 and "locked" in err
