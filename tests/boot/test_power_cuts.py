# SPDX-License-Identifier: MIT
"""vz is killed while a guest writes to disks of every kind: what the guest heard to be flushed is there, and QEMU finds the
images sound. VZ_LONG=N does it N times as often."""
import os
import random
import re
import subprocess
import threading
import time

import pytest

from conftest import LONG, SLOWER, VZ
from test_disk import LOAD, modules  # noqa: F401 (a fixture)

MIB = 1 << 20
HERE = os.path.dirname(__file__)
SIZE = 16 * MIB
# Name: its device, what is said of it besides, how it is made.
DISKS = {
    "raw": ("--disk", "", None),
    "raw4k": ("--nvme", ",block-size=4096", None),
    "rawnvme": ("--nvme", "", None),
    "v3": ("--disk", "", "compat=v3"),
    "v3nvme": ("--nvme", ",block-size=4096", "compat=v3"),
    "v2": ("--disk", "", "compat=0.10,cluster_size=4k"),
    "lazy": ("--nvme", "", "lazy_refcounts=on,extended_l2=on"),
    "layer": ("--disk", "", "base"),
    "layernvme": ("--nvme", "", "base"),
    "thrown": ("--disk", ",ephemeral", "base"),
}


@pytest.fixture(scope="module")
def diskload(tmp_path_factory):
    program = tmp_path_factory.mktemp("bin") / "diskload"
    subprocess.run(["gcc", "-O2", "-static", f"{HERE}/diskload.c", "-o", program], check=True)
    return program


def run(*words, ok=(0,), **more):
    p = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace", **more)
    assert p.returncode in ok, f"{words}: {p.returncode}\n{p.stdout[-2000:]}"
    return p.stdout


def make_disks(folder, names):
    """(PATH, OPTIONS for vz) of each"""
    base, before = folder / "base.qcow2", folder / "before.img"
    before.write_bytes(random.Random(1).randbytes(SIZE))
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", before, base)
    made = {}
    for name in names:
        kind = DISKS[name][2]
        path = folder / (f"{name}.img" if not kind else f"{name}.qcow2")
        if not kind:
            path.write_bytes(b"")
            os.truncate(path, SIZE)
        elif name == "thrown":
            path = base
        elif kind == "base":
            run(VZ, "disk", "create", path, "--backing", "base.qcow2")
        else:
            run("qemu-img", "create", "-q", "-f", "qcow2", "-o", kind, path, str(SIZE))
        made[name] = path
    return made


def devices(names):
    """The guest's name of each disk: those of a kind come in order."""
    virtio = (f"/dev/vd{c}" for c in "abcdefgh")
    nvme = (f"/dev/nvme{i}n1" for i in range(8))
    return {name: next(virtio if DISKS[name][0] == "--disk" else nvme) for name in names}


class Machine:
    """Runs a script, and collects the lines that it says."""

    def __init__(self, kernel, initrd, *options, env=None):
        self.lines, self.more = [], threading.Condition()
        self.process = subprocess.Popen([VZ, "run", "--cpus", "2", "--memory", "512M", "--kernel", kernel, "--initrd",
                                         initrd, "--cmdline", "console=ttyS0 quiet", *map(str, options)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace", env=env)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line)
                self.more.notify()

    def wait(self, is_there):
        """Until is_there(LINES)."""
        end = time.monotonic() + 300 * SLOWER
        with self.more:
            while not is_there(self.lines):
                assert self.process.poll() is None and time.monotonic() < end, "".join(self.lines)[-3000:]
                self.more.wait(0.2)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        return "".join(self.lines)


def flushed(text):
    """Of each disk the last round that each of the four writers has heard of."""
    rounds = {}
    for name, writer, n in re.findall(r"^F (\w+) (\d) (\d+)\r?$", text, re.M):
        rounds.setdefault(name, [0] * 4)[int(writer)] = int(n)
    return rounds


def unlocked(*words, ok=(0,)):
    """The kernel may end what the killed one had begun, and keep its lock as long."""
    for _ in range(100):
        out = run(*words, ok=range(-64, 256))
        if "lock" not in out:
            break
        time.sleep(0.1)
    return run(*words, ok=ok)


def check_disk(name, path, rounds, seed, diskload, env):
    kind = DISKS[name][2]
    raw = path
    if kind:
        # Before anybody repairs it: nothing worse than clusters that nobody uses.
        unlocked("qemu-img", "check", "-q", path, ok=(0, 2, 3) if name == "lazy" else (0, 3))
        run(VZ, "disk", "check", "--repair", path, ok=(0, 1))
        run("qemu-img", "check", "-q", path)
        raw = path.with_suffix(".raw")
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
    run(diskload, "verify", raw, seed, *rounds, env=env)
    run(diskload, "verify", raw, seed, *[n + 200 for n in rounds], env=env, ok=(1,))  # it can fail


@pytest.mark.parametrize("sync", ["full", "fsync", "none"])
def test_what_was_flushed_is_there_when_vz_is_killed(kernels, initramfs, modules, diskload, tmp_path, sync):
    names, chance = list(DISKS), random.Random(f"{sync}{LONG}")
    (tmp_path / "tmp").mkdir()
    for seed in range(1, 1 + LONG):
        disks, node = make_disks(tmp_path, names), devices(names)
        script = LOAD + "while ! [ -b /dev/nvme4n1 ]; do sleep 0.1; done\n" + \
            "".join(f"diskload cut {n} {node[n]} {seed} &\n" for n in names) + "wait\n"
        options = [w for n in names for w in (DISKS[n][0], f"{disks[n]}{DISKS[n][1]}" +
                                              ("" if "ephemeral" in DISKS[n][1] else f",sync={sync}"))]
        base = disks["thrown"].read_bytes()
        m = Machine(kernels["cloud"], initramfs(script, *modules, (diskload, "bin/diskload")), *options,
                    env={**os.environ, "TMPDIR": str(tmp_path / "tmp")})
        try:
            m.wait(lambda lines: len(flushed("".join(lines[-2000:]))) == len(names))
            time.sleep(chance.uniform(0, 2))
        finally:
            said = m.kill()
        rounds = flushed(said)
        assert "diskload:" not in said and set(rounds) == set(names), said[-2000:]
        assert disks["thrown"].read_bytes() == base and os.listdir(tmp_path / "tmp") == []
        for name in names:
            if name != "thrown":
                before = {"BASE": str(tmp_path / "before.img")} if DISKS[name][2] == "base" else {}
                check_disk(name, disks[name], rounds[name], seed, diskload, before)
        for name in names:
            if name != "thrown":
                disks[name].unlink()


def test_many_requests_at_once(kernels, initramfs, modules, diskload, tmp_path):
    """Writes, and reads that compare, at every depth, on each format, device and size of blocks."""
    names = [n for n in DISKS if DISKS[n][2] != "base"]
    disks, node = make_disks(tmp_path, names), devices(names)
    script = LOAD + "while ! [ -b /dev/nvme3n1 ]; do sleep 0.1; done\n" + \
        "".join(f"diskload depth {node[n]} {i} {150 * LONG} 1 2 8 32 128 &\n" for i, n in enumerate(names)) + \
        "wait\necho ended\npoweroff -f\n"
    m = Machine(kernels["cloud"], initramfs(script, *modules, (diskload, "bin/diskload")),
                *[w for n in names for w in (DISKS[n][0], f"{disks[n]}{DISKS[n][1]}")])
    try:
        m.wait(lambda lines: any("ended" in line for line in lines))
        m.process.wait(60 * SLOWER)
    finally:
        said = m.kill()
    assert said.count("all is well") == len(names), said
    for name in names:
        if DISKS[name][2]:
            run("qemu-img", "check", "-q", disks[name])


# ---- File systems ---------------------------------------------------------------------------

KINDS = {"ext4": ("/sbin/mkfs.ext4", "-q"), "xfs": ("/sbin/mkfs.xfs", "-q")}
FILES = 8  # so many are kept


def with_libraries(program):
    """(FILE, PATH) of it and of what it is linked with, for initramfs()."""
    out = run("ldd", program)
    return [(f, f[1:]) for f in [program, *re.findall(r"(/\S+) \(0x", out)]]


@pytest.fixture(scope="module")
def xfs_modules(modules):  # noqa: F811
    """Where the kernel has XFS as modules, those."""
    top = str(modules[0][0]).split("/kernel/")[0]
    found = []
    for name in ("crc32c_generic", "libcrc32c", "xfs"):
        found += [(os.path.join(folder, f), f"mod/{f}") for folder, _, files in os.walk(top) for f in files
                  if f == f"{name}.ko"]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_system_gets_over_it(kernels, initramfs, modules, xfs_modules, tmp_path, kind):  # noqa: F811
    """mkfs, load, power cut, and the next start: what was synced is there, and nothing is wrong."""
    if not os.path.exists(KINDS[kind][0]):
        pytest.skip(f"no {KINDS[kind][0]}")
    files = [*modules, *xfs_modules, *with_libraries(KINDS[kind][0])]
    load = LOAD + "".join(f"insmod /{path}\n" for _, path in xfs_modules) + \
        "while ! [ -b /dev/nvme1n1 ]; do sleep 0.1; done\n"
    disks = {"vda": tmp_path / "a.img", "vdb": tmp_path / "b.qcow2", "nvme0n1": tmp_path / "c.qcow2",
             "nvme1n1": tmp_path / "d.img"}
    options = [w for n, path in disks.items() for w in ("--disk" if n[0] == "v" else "--nvme", path)]
    work = load + f"""
work() {{
    mkdir /$1; {' '.join(KINDS[kind])} /dev/$1 && mount -t {kind} /dev/$1 /$1 || return
    i=0
    while i=$((i + 1)); do
        yes "$1 $i" | head -c $((i % 7 * 30000 + 1)) | dd of=/$1/f$i bs=64k conv=fsync 2>/dev/null && echo "F $1 0 $i"
        rm -f /$1/f$((i - {FILES}))
    done
}}
for n in {' '.join(disks)}; do work $n & done; wait
"""
    for _ in range(LONG):
        for path in disks.values():
            run(VZ, "disk", "create", path, "320M", "--replace")
        m = Machine(kernels["cloud"], initramfs(work, *files), *options)
        try:
            m.wait(lambda lines: all(r[0] > 2 * FILES for r in flushed("".join(lines)).values()) and
                   len(flushed("".join(lines))) == len(disks))
        finally:
            said = m.kill()
        rounds = flushed(said)
        look = load + "".join(f"""
mkdir /{n}; mount -t {kind} /dev/{n} /{n} || echo bad mount
for i in $(seq {rounds[n][0] - FILES // 2} {rounds[n][0]}); do
    yes "{n} $i" | head -c $((i % 7 * 30000 + 1)) | cmp - /{n}/f$i || echo bad {n} $i
done
umount /{n}
""" for n in disks) + "echo ended; poweroff -f\n"
        m = Machine(kernels["cloud"], initramfs(look, *files), *options)
        try:
            m.wait(lambda lines: any("ended" in line for line in lines))
            m.process.wait(60 * SLOWER)
        finally:
            said = m.kill()
        assert "bad" not in said and "differ" not in said, said
        for path in disks.values():
            raw = path
            if path.suffix == ".qcow2":
                run("qemu-img", "check", "-q", path)
                raw = path.with_suffix(".raw")
                run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
            run(*{"ext4": ("/sbin/e2fsck", "-fn"), "xfs": ("/sbin/xfs_repair", "-n")}[kind], raw)
