# SPDX-License-Identifier: MIT
"""qcow2 images that QEMU made, written by us and read by QEMU, and the other way round; and what is
left of one whose writer was killed."""
import random
import re
import subprocess

import pytest

from conftest import BUILD, LONG, SLOWER

RIG = f"{BUILD}/tests/disk/diskrig"
MIB = 1 << 20
KINDS = ["compat=v3", "compat=0.10", "cluster_size=512", "compat=0.10,cluster_size=512",
         "cluster_size=2M", "lazy_refcounts=on", "extended_l2=on",
         "extended_l2=on,cluster_size=16k,lazy_refcounts=on", "refcount_bits=1",
         "refcount_bits=64,cluster_size=1k", "refcount_bits=8,cluster_size=4k",
         "preallocation=metadata", "preallocation=falloc,cluster_size=8k", "compression_type=zstd",
         "preallocation=metadata,extended_l2=on"]
PACKED = ["compression_type=zlib", "compression_type=zstd,cluster_size=4k",
          "compression_type=zlib,compat=0.10,cluster_size=512",
          "compression_type=zlib,extended_l2=on", "compression_type=zstd,cluster_size=2M"]


def qemu(tool, *args, ok=(0,), **more):
    p = subprocess.run([f"qemu-{tool}", *map(str, args)], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=300 * SLOWER, **more)
    assert p.returncode in ok, f"qemu-{tool} {args}: {p.returncode}\n{p.stdout[-2000:]}"
    return p.stdout


def rig(*args, ok=True, **env):
    p = subprocess.run([RIG, *map(str, args)], text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=600 * SLOWER,
                       env={"PATH": "/usr/bin:/bin", **env})
    assert (p.returncode == 0) == ok, f"{args}: {p.returncode}\n{p.stdout[-2000:]}"
    return p.stdout


def expect_sound(image, raw):
    qemu("img", "check", "-q", image)
    qemu("img", "compare", "-q", "-f", "qcow2", "-F", "raw", image, raw)


def content(path, size=20 * MIB):
    """Noise, patterns and gaps."""
    r = random.Random(5)
    data = bytearray(size)
    for i in range(200):
        at, n = r.randrange(size - 40000), r.randrange(1, 40000)
        data[at:at + n] = bytes([r.randrange(256)]) * n if i % 2 else r.randbytes(n)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_qemu_reads_what_we_wrote_and_we_what_it_wrote(tmp_path, kind):
    image, raw, back = tmp_path / "d.qcow2", tmp_path / "d.raw", tmp_path / "back.raw"
    qemu("img", "create", "-q", "-f", "qcow2", "-o", kind, image, "21M")
    for seed in range(2):
        rig("random", image, raw, seed, 700, SYNC="none" if seed else "full")
        expect_sound(image, raw)
    qemu("io", "-f", "qcow2", "-c", "write -P 7 1M 3M", "-c", "write -z 2M 1M", "-c",
         "discard 9M 2M", image)
    qemu("img", "convert", "-f", "qcow2", "-O", "raw", image, raw)
    rig("read", image, back)
    assert raw.read_bytes() == back.read_bytes()


@pytest.mark.parametrize("env", [{"CACHE": "uncached"}, {"ENGINE": "threads"},
                                 {"CACHE": "uncached", "ENGINE": "threads"}])
@pytest.mark.parametrize("kind", ["compat=v3", "cluster_size=512"])
def test_modes_of_the_host(tmp_path, kind, env):
    image, raw = tmp_path / "d.qcow2", tmp_path / "d.raw"
    qemu("img", "create", "-q", "-f", "qcow2", "-o", kind, image, "21M")
    rig("random", image, raw, 3, 1000, **env)
    expect_sound(image, raw)


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_images_chains_and_snapshots(tmp_path, kind):
    source, base = content(tmp_path / "source.raw"), tmp_path / "base.qcow2"
    mid, top, raw = (tmp_path / n for n in ("mid.qcow2", "top.qcow2", "top.raw"))
    qemu("img", "convert", "-c", "-O", "qcow2", "-o", kind, source, base)
    rig("read", base, raw)
    assert raw.read_bytes() == source.read_bytes()

    # Written over: compressed clusters are copied out.
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(base.read_bytes())
    rig("random", copy, raw, 1, 500)
    expect_sound(copy, raw)

    # Three layers of different sizes; relative names.
    qemu("img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "-o",
         "cluster_size=8k", mid, "30M")
    qemu("io", "-c", "write -P 9 19M 3M", "-c", "write -z 3M 1M", mid)
    qemu("img", "create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "-o",
         "extended_l2=on", top, "25M")
    qemu("img", "convert", "-O", "raw", top, raw)
    below = base.read_bytes(), mid.read_bytes()
    rig("random", top, raw, 2, 700)
    expect_sound(top, raw)
    assert (base.read_bytes(), mid.read_bytes()) == below

    # Snapshots inside stay what they were.
    kept = []
    for n in range(2):
        qemu("img", "snapshot", "-c", f"s{n}", top)
        kept.append(raw.read_bytes())
        rig("random", top, raw, 10 + n, 700)
        expect_sound(top, raw)
    for n in range(2):
        out = tmp_path / "snapshot.raw"
        qemu("img", "convert", "-l", f"s{n}", "-O", "raw", top, out)
        assert out.read_bytes() == kept[n]
    qemu("img", "snapshot", "-a", "s0", top)
    raw.write_bytes(kept[0])
    rig("random", top, raw, 20, 500)
    qemu("img", "snapshot", "-d", "s1", top)
    rig("random", top, raw, 21, 500)
    expect_sound(top, raw)


@pytest.mark.parametrize("kind", ["compat=v3", "compat=0.10", "cluster_size=512", "lazy_refcounts=on",
                                  "extended_l2=on", "refcount_bits=1,cluster_size=4k"])
def test_a_killed_writer_loses_nothing_that_was_flushed(tmp_path, kind):
    """Before anybody repairs it there are clusters that nothing uses, at worst; after a start of ours
    there is nothing (version 2 has no mark by which we could know)."""
    image, delay = tmp_path / "d.qcow2", random.Random(kind)
    check = f"qemu-img check -q -U {image} >/dev/null 2>&1; r=$?; [ $r = 0 ] || [ $r = 3 ]"
    for n in range(6 * LONG):
        qemu("img", "create", "-q", "-f", "qcow2", "-o", kind, image, "9M")
        rig("kill", image, n, int(delay.uniform(20, 400)) * SLOWER,
            **({} if "lazy" in kind else {"CHECK": check}))
        qemu("img", "check", "-q", image, ok=(0, 3) if "0.10" in kind else (0,))


SHORT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>
/* Every other call moves about half of its first piece, as the kernel may. */
static atomic_uint calls;
static size_t some(size_t len)
{
    return len > 512 && atomic_fetch_add(&calls, 1) % 2 ? len / 2 | 1 : len;
}
ssize_t pread64(int fd, void *p, size_t len, off_t at)
{
    return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64"))(fd, p, some(len), at);
}
ssize_t pwrite64(int fd, const void *p, size_t len, off_t at)
{
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, p, some(len), at);
}
ssize_t pread(int fd, void *p, size_t len, off_t at) { return pread64(fd, p, len, at); }
ssize_t pwrite(int fd, const void *p, size_t len, off_t at) { return pwrite64(fd, p, len, at); }
typedef ssize_t v2(int, const struct iovec *, int, off_t, int);
static ssize_t vector(const char *name, int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    struct iovec one = {iov->iov_base, some(iov->iov_len)};
    v2 *f = (v2 *)dlsym(RTLD_NEXT, name);
    return one.iov_len < iov->iov_len ? f(fd, &one, 1, at, flags) : f(fd, iov, n, at, flags);
}
ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    return vector("preadv2", fd, iov, n, at, flags);
}
ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    return vector("pwritev2", fd, iov, n, at, flags);
}
ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off_t at, int flags) { return preadv2(fd, iov, n, at, flags); }
ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off_t at, int flags) { return pwritev2(fd, iov, n, at, flags); }
__attribute__((destructor)) static void tell(void) { if (calls > 100 && write(2, "were short\n", 11)) return; }
"""


@pytest.mark.parametrize("kind", ["compat=v3", "cluster_size=512", "extended_l2=on", "raw"])
def test_the_kernel_may_move_less_than_it_was_asked_to(tmp_path, kind):
    (tmp_path / "s.c").write_text(SHORT)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", tmp_path / "short.so", tmp_path / "s.c"], check=True)
    image, raw = tmp_path / ("d.img" if kind == "raw" else "d.qcow2"), tmp_path / "d.raw"
    if kind == "raw":
        qemu("img", "create", "-q", "-f", "raw", image, "9M")
    else:
        qemu("img", "create", "-q", "-f", "qcow2", "-o", kind, image, "9M")
    said = rig("random", image, raw, 1, 500, ENGINE="threads", LD_PRELOAD=str(tmp_path / "short.so"))
    assert "were short" in said
    if kind == "raw":
        assert image.read_bytes() == raw.read_bytes()
    else:
        expect_sound(image, raw)


def test_qemu_keeps_away_from_an_image_in_use(tmp_path):
    image = tmp_path / "d.qcow2"
    qemu("img", "create", "-q", "-f", "qcow2", image, "9M")
    p = subprocess.Popen([RIG, "speed", image, "write", "4096", "4", "30"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        assert p.stderr.readline() == "open\n"
        assert "lock" in qemu("img", "resize", image, "10M", ok=(1,))
        out = rig("random", image, tmp_path / "x.raw", 1, 1, ok=False)
        assert re.search(r"diskrig \(process %d\) uses it" % p.pid, out), out
    finally:
        p.kill()
        p.communicate()
