# SPDX-License-Identifier: MIT
"""`vz disk`: what it makes is what QEMU's tools make of it, and nothing is left of what was stopped."""
import json
import os
import signal
import socket as sockets
import struct
import subprocess
import sys
import time

import pytest

from conftest import ROOT, SLOWER, VZ
from test_qcow2 import RIG, content, expect_sound, qemu, rig

sys.path.insert(0, f"{ROOT}/tests/lib")
from nbd_server import nbdkit  # noqa: E402

MIB = 1 << 20


def well(vz, *args, **more):
    r = vz("disk", *args, **more)
    assert r.status == 0 and r.err == "", r
    return r.out


def refused(vz, *args, status=1, said=()):
    r = vz("disk", *args)
    assert r.status == status and r.out == "" and r.err.count("\n") == 1, r
    for text in said:
        assert text in r.err, r
    return r


def info_of_qemu(path):
    return json.loads(qemu("img", "info", "--output=json", path))


@pytest.mark.parametrize("args", [[], ["--cluster-size", "4K"], ["--cluster-size", "512"],
                                  ["--cluster-size", "2M"]])
def test_create_qcow2(vz, tmp_path, args):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "1.5G", *args)
    i = info_of_qemu(path)
    assert i["format"] == "qcow2" and i["virtual-size"] == 1536 * MIB and i["actual-size"] < MIB
    qemu("img", "check", "-q", path)
    ours = json.loads(well(vz, "info", "--json", path))
    assert ours["format"] == "qcow2" and ours["size"] == 1536 * MIB and ours["version"] == 3
    assert ours["clusterSize"] == i["cluster-size"] and ours["allocated"] == i["actual-size"]


def test_create_raw_and_names(vz, tmp_path):
    path = tmp_path / "d.img"
    well(vz, "create", path, "64M")
    assert path.stat().st_size == 64 * MIB and path.stat().st_blocks == 0
    refused(vz, "create", path, "1M", said=["is there already"])
    well(vz, "create", path, "2M", "--replace", "--preallocate", "full")
    assert path.stat().st_size == 2 * MIB and path.stat().st_blocks * 512 >= 2 * MIB
    assert "raw" in well(vz, "info", path)
    refused(vz, "create", tmp_path / "x", "512", status=2, said=["unit"])
    refused(vz, "create", tmp_path / "x", status=2, said=["how large"])
    refused(vz, "create", tmp_path / "no" / "x", "1M", said=["No such file"])
    refused(vz, "create", tmp_path / "x.img", "1M", "--backing", path, said=["qcow2"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--format", "raw", said=["another name"])
    refused(vz, "convert", path, tmp_path / "x.qcow2", "--to-format", "raw", said=["another name"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--cluster-size", "3000", said=["power of two"])
    refused(vz, "create", tmp_path / "x.img", "1M", "--preallocate", "metadata", said=["qcow2"])
    refused(vz, "create", tmp_path / "x.img", "1M", "--extended-l2", said=["qcow2"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--qcow2-version", "2", "--extended-l2", said=["version 2"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--refcount-bits", "7", said=["power of two"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--compression", "zip", status=2, said=["zip"])
    refused(vz, "creat", tmp_path / "x", "1M", status=2, said=["did you mean 'create'"])
    assert sorted(os.listdir(tmp_path)) == ["d.img"]


def test_layers(vz, tmp_path):
    base, top, raw = (tmp_path / n for n in ("base.qcow2", "top.qcow2", "top.raw"))
    qemu("img", "convert", "-O", "qcow2", "-c", content(tmp_path / "s.raw"), base)
    well(vz, "create", top, "--backing", "base.qcow2")
    i = info_of_qemu(top)
    assert (i["backing-filename"], i["backing-filename-format"]) == ("base.qcow2", "qcow2")
    assert i["virtual-size"] == 20 * MIB
    assert "base.qcow2 (qcow2)" in well(vz, "info", top)
    qemu("img", "convert", "-O", "raw", top, raw)
    rig("random", top, raw, 1, 400)
    expect_sound(top, raw)

    # A copy of all of it; and all of it into the base.
    for name in ("copy.img", "copy.qcow2"):
        copy = tmp_path / name
        well(vz, "convert", top, copy)
        qemu("img", "compare", "-q", "-f", "qcow2" if "qcow2" in name else "raw", "-F", "raw", copy, raw)
    qemu("img", "check", "-q", tmp_path / "copy.qcow2")
    well(vz, "resize", top, "+4M")
    well(vz, "commit", top)
    qemu("img", "check", "-q", base)
    os.truncate(raw, 24 * MIB)
    expect_sound(base, raw)
    expect_sound(top, raw)
    refused(vz, "commit", base, said=["no other image"])
    refused(vz, "create", tmp_path / "x.qcow2", "--backing", "nobody.qcow2", said=["nobody.qcow2"])


# Every one of what both know, alone, and together with the others.
MADE = [(["--qcow2-version", "2"], {"compat": "0.10"}), (["--refcount-bits", "1"], {"refcount-bits": 1}),
        (["--refcount-bits", "64", "--cluster-size", "512"], {"refcount-bits": 64}),
        (["--lazy-refcounts"], {"lazy-refcounts": True}), (["--compression", "zstd"], {"compression-type": "zstd"}),
        (["--extended-l2", "--cluster-size", "16K"], {"extended-l2": True}),
        (["--extended-l2", "--lazy-refcounts", "--compression", "zstd", "--refcount-bits", "8", "--cluster-size", "2M"],
         {"extended-l2": True, "lazy-refcounts": True, "compression-type": "zstd", "refcount-bits": 8})]


@pytest.mark.parametrize("args, seen", MADE)
@pytest.mark.parametrize("room", ["none", "metadata", "full"])
def test_qemu_writes_what_we_made(vz, tmp_path, args, seen, room):
    path, raw, back = tmp_path / "d.qcow2", tmp_path / "d.raw", tmp_path / "back.raw"
    well(vz, "create", path, "21M", *args, "--preallocate", room)
    i = info_of_qemu(path)
    data = i["format-specific"]["data"]
    assert {k: data[k] for k in seen} == seen and i["virtual-size"] == 21 * MIB
    assert (i["actual-size"] >= 21 * MIB) == (room == "full")
    qemu("img", "check", "-q", path)
    if room != "none":
        assert json.loads(qemu("img", "check", "--output=json", path))["allocated-clusters"] == \
            json.loads(qemu("img", "check", "--output=json", path))["total-clusters"]
        assert f"{21 * MIB} bytes" in qemu("io", "-c", "read -P 0 0 21M", path)
    before = path.stat().st_blocks
    qemu("io", "-c", "write -P 7 1M 3M", "-c", "write -P 9 12345k 1k", "-c", "write -z 2M 1M", path)
    assert room != "full" or path.stat().st_blocks <= before + 256  # the host's own tables may grow, 3M of data must not
    qemu("img", "convert", "-O", "raw", path, raw)
    rig("read", path, back)
    assert raw.read_bytes() == back.read_bytes()
    rig("random", path, raw, 1, 300)
    expect_sound(path, raw)


def test_rebase(vz, tmp_path):
    folder = tmp_path / "f"
    (folder / "sub").mkdir(parents=True)
    old, mid, new, top, raw = (folder / n for n in ("old.qcow2", "mid.qcow2", "sub/new.img", "top.qcow2", "top.raw"))
    qemu("img", "convert", "-O", "qcow2", content(tmp_path / "s.raw"), old)
    qemu("img", "create", "-q", "-f", "qcow2", "-b", "old.qcow2", "-F", "qcow2", mid)
    qemu("io", "-c", "write -P 5 1M 2M", "-c", "write -z 4M 1M", mid)
    qemu("img", "create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", top, "25M")
    qemu("io", "-c", "write -P 6 2M 2M", "-c", "write -P 8 21M 1M", "-c", "write -z 6M 1M", top)
    qemu("img", "convert", "-O", "raw", top, raw)
    content(new, 22 * MIB)

    def holds_the_same():
        expect_sound(top, raw)
        rig("read", top, tmp_path / "back.raw")
        assert (tmp_path / "back.raw").read_bytes() == raw.read_bytes()

    small = top.stat().st_blocks
    well(vz, "rebase", top, "old.qcow2")  # what the layer between had is its own now
    assert info_of_qemu(top)["backing-filename"] == "old.qcow2"
    assert small < top.stat().st_blocks < small + 5 * 2048
    holds_the_same()
    well(vz, "rebase", top, "sub/new.img")  # longer, and another content
    assert info_of_qemu(top)["backing-filename-format"] == "raw"
    holds_the_same()
    well(vz, "rebase", top)
    assert "backing-filename" not in info_of_qemu(top)
    holds_the_same()

    # A name only: as when it was moved.
    well(vz, "create", mid, "--replace", "--backing", "old.qcow2")
    old.rename(folder / "moved")
    refused(vz, "rebase", mid, "moved", "--backing-format", "qcow2", said=["old.qcow2"])
    well(vz, "rebase", mid, "moved", "--backing-format", "qcow2", "--unsafe")
    assert qemu("img", "compare", mid, tmp_path / "s.raw") == "Images are identical.\n"
    refused(vz, "rebase", mid, "mid.qcow2", said=["itself"])
    refused(vz, "rebase", mid, "nobody", said=["nobody"])
    refused(vz, "rebase", new, "moved", said=["only a qcow2 image"])
    well(vz, "rebase", mid, "later.qcow2", "--unsafe")
    i = info_of_qemu(mid)
    assert (i["backing-filename"], i["backing-filename-format"]) == ("later.qcow2", "qcow2")


def test_convert_leaves_zeroes_out(vz, tmp_path):
    sparse, packed = tmp_path / "sparse.img", tmp_path / "packed.qcow2"
    with open(sparse, "wb") as f:
        f.truncate(1 << 40)
        f.seek(1 << 39)
        f.write(b"x" * 4096 + bytes(MIB))
    for name in ("sparse.qcow2", "copy.img"):
        well(vz, "convert", sparse, tmp_path / name)
        assert (tmp_path / name).stat().st_blocks < 2048, name
    assert "pattern" not in qemu("io", "-c", f"read -P 120 {1 << 39} 4096", tmp_path / "sparse.qcow2")
    qemu("img", "check", "-q", tmp_path / "sparse.qcow2")
    qemu("img", "convert", "-f", "raw", "-O", "qcow2", "-c", content(tmp_path / "s.raw"), packed)
    well(vz, "convert", packed, tmp_path / "out.img")
    assert (tmp_path / "out.img").read_bytes() == (tmp_path / "s.raw").read_bytes()
    assert (tmp_path / "out.img").stat().st_blocks <= (tmp_path / "s.raw").stat().st_blocks


@pytest.mark.parametrize("name", ["d.img", "d.qcow2"])
def test_resize(vz, tmp_path, name):
    path = tmp_path / name
    well(vz, "create", path, "8M")
    well(vz, "resize", path, "16M")
    well(vz, "resize", path, "+16M")
    assert info_of_qemu(path)["virtual-size"] == 32 * MIB
    refused(vz, "resize", path, "4M", said=["lose its end", "--shrink"])
    well(vz, "resize", path, "4M", "--shrink")
    assert info_of_qemu(path)["virtual-size"] == 4 * MIB
    if "qcow2" in name:
        qemu("img", "check", "-q", path)


def test_images_that_would_read_through_to_themselves(vz, tmp_path):
    a, b, c = (tmp_path / f"{n}.qcow2" for n in "abc")
    well(vz, "create", a, "1M")
    well(vz, "create", b, "--backing", "a.qcow2")
    well(vz, "create", c, "--backing", "b.qcow2")
    os.symlink("c.qcow2", tmp_path / "link.qcow2")
    for how in ([], ["--unsafe"]):
        for image, below in ((c, "c.qcow2"), (c, "link.qcow2"), (a, "c.qcow2"), (b, c)):
            refused(vz, "rebase", image, below, *how, said=["itself"])
    well(vz, "rebase", c, "later.qcow2", "--unsafe")
    refused(vz, "rebase", c, "later.qcow2", said=["No such file"])
    well(vz, "rebase", c, "b.qcow2", "--unsafe")
    well(vz, "rebase", c)


def test_what_is_not_replaced(vz, tmp_path, export):
    """What a machine or another tool uses, what is being copied, and what is no file."""
    used, base, top, socket = (tmp_path / n for n in ("used.img", "base.qcow2", "top.qcow2", "a.socket"))
    content(used)
    well(vz, "create", base, "1M")
    well(vz, "create", top, "--backing", "base.qcow2")
    well(vz, "info", export(used))
    for args in (["create", used, "1M"], ["convert", top, used]):
        refused(vz, *args, "--replace", said=["image is locked", "qemu-nbd (process "])
    for to in (top, base):
        refused(vz, "convert", top, to, "--replace", said=["to be copied"])
    os.mkfifo(tmp_path / "fifo")
    with sockets.socket(sockets.AF_UNIX) as s:
        s.bind(str(socket))
        for to in (tmp_path / "fifo", socket, tmp_path):
            refused(vz, "create", to, "1M", "--replace", said=["is no file"])
    os.symlink(used, tmp_path / "link.img")
    well(vz, "create", tmp_path / "link.img", "1M", "--replace")
    assert used.stat().st_size == 20 * MIB and not (tmp_path / "link.img").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["a.socket", "base.qcow2", "fifo", "link.img", "socket0", "top.qcow2", "used.img"]


def test_names_that_strangers_wrote(vz, tmp_path):
    """A terminal would obey the one, and no program could read the other."""
    path, name = tmp_path / "d.qcow2", b'a\x1b[31m\n"\xff\xc2\x9b'
    well(vz, "create", path, "1M")
    with open(path, "r+b") as f:
        f.seek(8)
        f.write(struct.pack(">QI", 60000, len(name)))
        f.seek(60000)
        f.write(name)
    assert json.loads(well(vz, "info", "--json", path))["backing"] == 'a\x1b[31m\n"\ufffd\x9b'
    for text in (well(vz, "info", path), refused(vz, "convert", path, tmp_path / "x.img").err):
        assert 'a?[31m?"' in text and "\x1b" not in text and "\x9b" not in text


def test_the_end_that_fails_is_named(vz, tmp_path):
    data = tmp_path / "data"  # holes are not read
    data.write_bytes(b"x" * (8 << 20))
    with nbdkit(tmp_path / "bad", "--filter=error", "file", data, "error-pread=EIO", "error-pread-rate=100%") as r, \
            nbdkit(tmp_path / "full", "--filter=error", "memory", "8M", "error-pwrite=ENOSPC",
                   "error-pwrite-rate=100%") as w, nbdkit(tmp_path / "good", "file", data) as g:
        bad, full, good = r.uri, w.uri, g.uri
        refused(vz, "convert", bad, tmp_path / "to.img", said=[f"{bad}: Input/output error"])
        refused(vz, "convert", bad, full, "--replace", said=[f"{bad}: Input/output error"])
        refused(vz, "convert", good, full, "--replace", said=[f"{full}: No space left on device"])
        refused(vz, "convert", data, full, "--replace", said=[f"{full}: No space left on device"])
    assert not (tmp_path / "to.img").exists()


def test_check_and_repair(vz, tmp_path):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "8M")
    assert "sound" in well(vz, "check", path)
    with open(path, "r+b") as f:  # a cluster that nobody uses
        f.seek(2 * 65536 + 2 * 40)
        f.write(b"\0\1")
    r = vz("disk", "check", path, "--json")
    assert r.status == 1 and json.loads(r.out) == {"errors": 0, "leaks": 1, "repaired": 0}, r
    r = vz("disk", "check", path, "--repair")
    assert r.status == 1 and "1 repaired" in r.out, r
    assert "sound" in well(vz, "check", path)
    qemu("img", "check", "-q", path)
    path.write_bytes(b"QFI\xfb" + bytes(65536))
    refused(vz, "check", path, said=["version 0"])


CLONES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    struct stat st;
    va_start(ap, request);
    long arg = va_arg(ap, long);
    if (request != FICLONE)
        return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, request, arg);
    close(creat(getenv("CLONED"), 0600));
    fstat((int)arg, &st);
    off_t from = 0;
    return ftruncate(fd, st.st_size) || sendfile(fd, (int)arg, &from, st.st_size) != st.st_size ? -1 : 0;
}
"""


def test_a_file_system_that_can_share_room_does(vz, tmp_path, monkeypatch):
    """As XFS and Btrfs do it; hardly a host's temporary folder is on one, so the call is what is looked at."""
    (tmp_path / "c.c").write_text(CLONES)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "clones.so", tmp_path / "c.c"], check=True)
    monkeypatch.setenv("CLONED", str(tmp_path / "cloned"))
    source = content(tmp_path / "source.img", 4 * MIB)
    preload = {**os.environ, "LD_PRELOAD": str(tmp_path / "clones.so")}
    for to, clones in (("to.img", True), ("to.qcow2", False)):
        well(vz, "convert", source, tmp_path / to, env=preload)
        assert (tmp_path / "cloned").exists() == clones
        (tmp_path / "cloned").unlink(missing_ok=True)
        well(vz, "convert", tmp_path / to, tmp_path / "back.img", "--replace")
        assert (tmp_path / "back.img").read_bytes() == source.read_bytes()


def test_an_iso_becomes_a_disk(vz, tmp_path):
    iso, data = tmp_path / "some.iso", bytearray(os.urandom(MIB))
    data[32769:32774] = b"CD001"
    iso.write_bytes(data)
    well(vz, "convert", iso, tmp_path / "disk.qcow2")
    expect_sound(tmp_path / "disk.qcow2", iso)


@pytest.fixture
def export(tmp_path):
    """export(IMAGE) is the address of a server that has it."""
    running = []

    def serve(image, *more):
        socket = tmp_path / f"socket{len(running)}"
        running.append(subprocess.Popen(["qemu-nbd", "-k", socket, "-t", "-f", "raw", *more, image]))
        end = time.monotonic() + 60
        while not socket.exists():
            assert time.monotonic() < end and running[-1].poll() is None
            time.sleep(0.01)
        return f"nbd+unix:///?socket={socket}"

    yield serve
    for p in running:
        p.kill()
        p.wait()


def test_disks_on_servers(vz, tmp_path, export):
    source, target = content(tmp_path / "source.img"), tmp_path / "target.img"
    target.write_bytes(os.urandom(22 * MIB))
    there, back = export(source, "-r"), export(target)
    i = json.loads(well(vz, "info", "--json", there))
    assert (i["format"], i["size"]) == ("raw", 20 * MIB)
    assert "sound" in well(vz, "check", there)
    well(vz, "convert", there, tmp_path / "copy.qcow2")
    expect_sound(tmp_path / "copy.qcow2", source)
    refused(vz, "convert", tmp_path / "copy.qcow2", back, said=["overwritten", "--replace"])
    refused(vz, "convert", tmp_path / "copy.qcow2", there, "--replace", said=["only be read"])
    well(vz, "convert", tmp_path / "copy.qcow2", back, "--replace")
    assert target.read_bytes() == source.read_bytes() + bytes(2 * MIB)
    refused(vz, "convert", back, export(source), "--replace", said=[str(20 * MIB)])
    refused(vz, "info", "nbd+unix:///?socket=/nowhere", said=["/nowhere"])
    for args in (["resize", there, "30M"], ["create", there, "30M"], ["commit", there], ["rebase", there]):
        refused(vz, *args, said=["is on a server"])
    for more in (["--to-format", "qcow2"], ["--preallocate", "full"], ["--cluster-size", "4K"]):
        refused(vz, "convert", source, back, "--replace", *more)
    assert target.read_bytes() == source.read_bytes() + bytes(2 * MIB)


def test_an_image_in_use(vz, tmp_path):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "8M")
    p = subprocess.Popen([RIG, "speed", path, "write", "4096", "4", "60"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        assert p.stderr.readline() == "open\n"
        assert "qcow2" in well(vz, "info", path)
        for args in (["resize", path, "9M"], ["check", path], ["convert", path, tmp_path / "x.img"], ["commit", path],
                     ["rebase", path]):
            refused(vz, *args, said=["image is locked", f"process {p.pid}"])
    finally:
        p.kill()
        p.communicate()


def test_an_image_that_qemu_uses(vz, tmp_path, export):
    path, top = tmp_path / "d.qcow2", tmp_path / "top.qcow2"
    well(vz, "create", path, "8M")
    well(vz, "create", top, "--backing", "d.qcow2")
    well(vz, "info", export(path, "-f", "qcow2"))  # its socket is there before it has the image
    for args in (["resize", path, "9M"], ["check", path], ["commit", top], ["convert", path, tmp_path / "x.img"],
                 ["convert", top, tmp_path / "x.img"]):
        refused(vz, *args, said=["image is locked", "qemu-nbd (process "])
    well(vz, "info", path)


def test_qemu_reads_what_is_only_read(vz, tmp_path):
    path, socket = tmp_path / "d.qcow2", tmp_path / "socket"
    qemu("img", "convert", "-O", "qcow2", content(tmp_path / "s.raw"), path)
    with nbdkit(socket, "--filter=delay", "memory", "64M", "wdelay=500ms") as server:
        p = subprocess.Popen([VZ, "disk", "convert", "--replace", path, server.uri])
        try:
            time.sleep(0.5)
            qemu("img", "check", "-q", path)
            qemu("img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", path, tmp_path / "top.qcow2")
            assert subprocess.run(["qemu-img", "resize", "-q", path, "+1M"], stderr=subprocess.DEVNULL).returncode != 0
            assert p.poll() is None
        finally:
            p.kill()
            p.wait()


@pytest.mark.parametrize("when", ["greeting", "reading"])
def test_a_server_that_hangs_holds_nobody_up(tmp_path, when):
    with nbdkit(tmp_path / "socket", "--filter=delay", "pattern", "1G", "rdelay=20ms") as server:
        if when == "greeting":
            server.process.send_signal(signal.SIGSTOP)
        p = subprocess.Popen([VZ, "disk", "convert", server.uri, tmp_path / "to.img"])
        time.sleep(0.5)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        assert p.poll() is None
        began = time.monotonic()
        p.send_signal(signal.SIGINT)
        assert p.wait(60 * SLOWER) == -signal.SIGINT
        assert time.monotonic() - began < 15, "the server's time-out is 30 s"
        assert not (tmp_path / "to.img").exists()


def test_holes_of_a_server_are_not_read(vz, tmp_path):
    """8 TiB would take hours."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"")
    os.truncate(disk, 8 << 40)
    with open(disk, "r+b") as f:
        for at in (0, 5 * MIB + 512, 7 << 40):
            f.seek(at)
            f.write(b"something")
    with nbdkit(tmp_path / "socket", "-r", "file", disk) as server:
        well(vz, "convert", server.uri, tmp_path / "copy.qcow2", "--cluster-size", "2M")
    subprocess.run(["qemu-img", "check", "-q", tmp_path / "copy.qcow2"], check=True)
    for at in (0, 5 * MIB, 7 << 40):
        said = subprocess.run(["qemu-io", "-r", "-c", f"read -v {at} 1024", tmp_path / "copy.qcow2"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        assert "something" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("args", [["create", "to.qcow2", "64T", "--preallocate", "metadata", "--cluster-size", "2M"],
                                  ["convert", "source", "to.qcow2"], ["convert", "source", "to.img"]])
def test_nothing_is_left_of_what_was_stopped(tmp_path, export, args, number):
    """The source answers slowly, so that it is in the middle when it is stopped."""
    with nbdkit(tmp_path / "socket", "--filter=delay", "pattern", "1G", "rdelay=50ms") as server:
        words = [w.replace("source", server.uri).replace("to.", f"{tmp_path}/to.") for w in args]
        p = subprocess.Popen([VZ, "disk", *words])
        time.sleep(0.3)
        assert p.poll() is None
        p.send_signal(number)
        assert p.wait(60 * SLOWER) == -number
        assert [n for n in os.listdir(tmp_path) if n.startswith("to")] == []


@pytest.mark.parametrize("verb", ["info", "check"])
def test_nobody_has_to_wait_for_a_server_to_be_looked_at(tmp_path, verb):
    """One that takes connections, and says nothing."""
    with sockets.socket(sockets.AF_UNIX) as s:
        s.bind(str(tmp_path / "socket"))
        s.listen()
        p = subprocess.Popen([VZ, "disk", verb, f"nbd+unix:///?socket={tmp_path / 'socket'}"])
        time.sleep(0.5)
        assert p.poll() is None
        began = time.monotonic()
        p.send_signal(signal.SIGINT)
        assert p.wait(60 * SLOWER) == -signal.SIGINT
        assert time.monotonic() - began < 15, "the server's time-out is 30 s"
