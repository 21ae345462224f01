# SPDX-License-Identifier: MIT
"""Programs of other processors in a guest (--foreign), by the interpreters of the host's qemu-user-static."""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import time

import pytest

import guest_drivers
from boots import run, trouble
from conftest import BUILD, ROOT, VZ

sys.path.insert(0, f"{ROOT}/tests/cli")
from machines import boot, make_folder  # noqa: E402

ALL = ("arm64", "armhf", "i386", "ppc64le", "riscv64", "s390x")
DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.SOCKETS, "fuse", "virtiofs", "binfmt_misc")
INIT = """
mount -t tmpfs tmp /tmp; mkdir -p /dev/pts; mount -t devpts pts /dev/pts
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
chmod 4755 /bin/setuid-arm64
/sbin/vz-agent --background
while :; do sleep 1000; done
"""
# exit(42): class, little-endian, machine, flags, code
EXITS = {
    "arm64": (64, "<", 183, 0, struct.pack("<3I", 0xd2800540, 0xd2800ba8, 0xd4000001)),
    "armhf": (32, "<", 40, 0x05000400, struct.pack("<3I", 0xe3a0002a, 0xe3a07001, 0xef000000)),
    "i386": (32, "<", 3, 0, b"\xb8\x01\0\0\0\xbb\x2a\0\0\0\xcd\x80"),
    "ppc64le": (64, "<", 21, 2, struct.pack("<3I", 0x38000001, 0x3860002a, 0x44000002)),
    "riscv64": (64, "<", 243, 0, struct.pack("<3I", 0x02a00513, 0x05d00893, 0x00000073)),
    "s390x": (64, ">", 22, 0, b"\xa7\x29\x00\x2a\x0a\x01"),
}
COMPILERS = {"arm64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
             "riscv64": ("riscv64-linux-gnu", "ld-linux-riscv64-lp64d.so.1")}
MACHINES = {"arm64": "aarch64", "riscv64": "riscv64"}


def exits_with_42(architecture):
    """A whole program, of a few instructions."""
    bits, order, machine, flags, code = EXITS[architecture]
    wide, at = bits == 64, 0x10000
    head, part = (64, 56) if wide else (52, 32)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1, 0]) + bytes(8)
    entry = at + head + part
    size = head + part + len(code)
    word = "Q" if wide else "I"
    header = ident + struct.pack(f"{order}HHI{word}{word}{word}IHHHHHH", 2, machine, 1, entry, head, 0, flags, head,
                                 part, 1, 0, 0, 0)
    if wide:
        segment = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, at, at, size, size, 0x1000)
    else:
        segment = struct.pack(f"{order}IIIIIIII", 1, 0, at, at, size, size, 5, 0x1000)
    return header + segment + code


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Drivers, agent and programs of the guest, as pairs."""
    folder = tmp_path_factory.mktemp("files")
    added = [*guest_drivers.files(folder, DRIVERS), (f"{BUILD}/agent/vz-agent", "sbin/vz-agent")]
    for name in ALL:
        path = folder / f"exit-{name}"
        path.write_bytes(exits_with_42(name))
        path.chmod(0o755)
        added.append((path, f"bin/exit-{name}"))
    for name, (triplet, loader) in COMPILERS.items():
        for how, flags in (("static", ["-static"]), ("dynamic", [])):
            path = folder / f"{how}-{name}"
            subprocess.run([f"{triplet}-gcc", "-O2", *flags, "-o", path, f"{ROOT}/tests/boot/programs/foreign.c", "-lm",
                            "-pthread"], check=True)
            added.append((path, f"bin/{how}-{name}"))
        added.append((f"/usr/{triplet}/lib/{loader}", f"lib/{loader}"))
        added += [(f"/usr/{triplet}/lib/{lib}", f"lib/{triplet}/{lib}") for lib in ("libc.so.6", "libm.so.6")]
    return [*added, (folder / "static-arm64", "bin/setuid-arm64")]


@pytest.fixture(scope="module")
def g(kernels, initramfs, files, tmp_path_factory):
    """A running machine in a home of its own, whose kernel knows the interpreters."""
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    folder = home / "g.vz"
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *files)
    make_folder(folder, "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "512M",
                "--cmdline", "console=ttyS0 quiet", "--foreign", ",".join(ALL))
    boot(folder)
    until_registered()
    yield "g"
    subprocess.run([VZ, "stop", "--now", "g"])
    del os.environ["VZ_HOME"]


def until_registered():
    def in_guest(script):
        return subprocess.run([VZ, "exec", "g", "--", "sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True)

    deadline = time.monotonic() + 120
    while in_guest("test -e /proc/sys/fs/binfmt_misc/vz-s390x").returncode:
        assert time.monotonic() < deadline, in_guest("cat /proc/mounts; dmesg | tail")
        time.sleep(0.2)


def expected(name, architecture):
    return (f"{name} {MACHINES[architecture]}\nprimes 2262 squares 333338333350000 root 1414.213562373095\n"
            "child 7 signal 1\nagain other-name\n")


def test_programs_of_each_architecture_run(vz, g):
    for name in ALL:
        r = vz("exec", g, "--", f"/bin/exit-{name}")
        assert r.status == 42, (name, r)
    r = vz("exec", g, "--", "cat", "/proc/sys/fs/binfmt_misc/vz-arm64")
    assert "interpreter /run/vz/foreign/arm64-binfmt-P\n" in r.out and "flags: POCF\n" in r.out, r
    assert vz("share", g).out == "foreign\tforeign programs: arm64 armhf i386 ppc64le riscv64 s390x\n"


@pytest.mark.parametrize("architecture", COMPILERS)
@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_real_programs_give_right_results(vz, g, how, architecture):
    r = vz("exec", g, "--", f"/bin/{how}-{architecture}")
    assert (r.status, r.out) == (3, expected(f"/bin/{how}-{architecture}", architecture)), r


@pytest.mark.parametrize("architecture", COMPILERS)
def test_programs_of_debians_packages(kernels, initramfs, package, tmp_path, architecture):
    """Debian's own of that architecture, which nobody made for this: a static one, and dynamic ones with their library."""
    static, hello, libc = (package(f"{name}:{architecture}") for name in ("busybox-static", "hello", "libc6"))
    share = tmp_path / "root"
    for folder in (libc, hello):
        shutil.copytree(folder, share, symlinks=True, dirs_exist_ok=True)
    if not (share / "lib").exists():  # what newer packages rely on
        (share / "lib").symlink_to("usr/lib")
    (busybox,) = (path for path in (f"{static}/bin/busybox", f"{static}/usr/bin/busybox") if os.path.exists(path))
    shutil.copy(busybox, share / "busybox")
    script = guest_drivers.load(DRIVERS) + """
mkdir -p /run/f /c && mount -t virtiofs f /run/f && sh /run/f/register && mount -t virtiofs root /c && cd /c; echo
for c in "uname -m" "sh -c 'echo $((6*7)); exec ./busybox expr 123456789 \\* 1000'" "sha256sum usr/bin/hello" "seq -s+ 5" \
    "awk 'BEGIN { print 1/8 }'"; do eval "./busybox $c"; done
chroot /c /usr/bin/hello; chroot /c /busybox sh -c 'echo in | /usr/bin/hello -t; exit 3'; echo "status $?"; poweroff -f
"""
    result = run(kernels["cloud"], initramfs(script, *guest_drivers.files(tmp_path, DRIVERS)), "--memory", "256M", "--share",
                 f"f=foreign-binaries,arch={architecture}", "--share", f"root={share}")
    assert result.status == 0 and not trouble(result.out), result
    with open(share / "usr/bin/hello", "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    assert f"""
{MACHINES[architecture]}
42
123456789000
{digest}  usr/bin/hello
1+2+3+4+5
0.125
Hello, world!
hello, world
status 3
""" in result.out, result


def test_argv0_is_kept(vz, g):
    r = vz("exec", g, "--", "sh", "-c", "exec -a anything /bin/static-riscv64")
    assert r.out == expected("anything", "riscv64"), r


def test_set_id_bits_are_the_programs(vz, g):
    assert vz("exec", "--user", "1000:1000", g, "--", "/bin/setuid-arm64", "ids").out == "1000 0\n"
    assert vz("exec", "--user", "1000:1000", g, "--", "/bin/static-arm64", "ids").out == "1000 1000\n"


def test_where_the_interpreter_is_not_in_sight(vz, g):
    """As in a container: a root of its own, in which there is nothing else."""
    r = vz("exec", g, "--", "sh", "-c", "mkdir -p /tmp/c && cp /bin/exit-riscv64 /tmp/c/x && chroot /tmp/c /x")
    assert r.status == 42, r


def test_the_guest_changes_nothing_in_the_share(vz, g):
    r = vz("exec", g, "--", "sh", "-c", "cd /run/vz/foreign && stat -c '%n %u:%g %A' * && (echo >new; echo >version; "
           "rm version; chmod 777 register; mv register x; ln version y) 2>&1 | "
           "grep -v 'Read-only\\|not permitted'; ls")
    names = sorted(["register", "registrations", "version", *(f"{name}-binfmt-P" for name in ALL)])
    assert r.out.splitlines()[-len(names):] == names, r
    assert len(r.out.splitlines()) == 2 * len(names), r.out
    assert "version 0:0 -r--r--r--\n" in r.out and "arm64-binfmt-P 0:0 -rwxr-xr-x\n" in r.out, r


def test_they_go_on_after_a_restore(vz, g):
    for command in (("save", g), ("restore", g)):
        r = vz(*command)
        assert r.status == 0, r
    r = vz("exec", g, "--", "/bin/dynamic-arm64")
    assert (r.status, r.out) == (3, expected("/bin/dynamic-arm64", "arm64")), r


def test_a_running_machine_keeps_its_interpreters(vz, g):
    r = vz("share", g, "foreign=/tmp")
    assert r.status == 1 and "stay what they are" in r.err, r


def test_a_command_finds_them_registered(vz, kernels, initramfs, files):
    """vz run -- CMD: what is to be mounted is there before the command runs; no --vsock is needed; in the sandbox."""
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *files)
    r = vz("run", "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M",
           "--cmdline", "console=ttyS0 quiet", "--foreign", "riscv64,arm64", "--sandbox", "on", "--ephemeral",
           "--", "/bin/static-riscv64", timeout=900)
    assert (r.status, r.out) == (3, expected("/bin/static-riscv64", "riscv64")), r


def test_a_guest_without_the_agent_runs_a_script(kernels, initramfs, files):
    script = (guest_drivers.load(DRIVERS) +
              "mkdir /run/f && mount -t virtiofs tag /run/f && sh /run/f/register || echo no\n"
              "exit-arm64; echo \"status $?\"; static-riscv64 again; sh /run/f/register; exit-arm64\n"
              "echo \"now $?\"; ls /proc/sys/fs/binfmt_misc; poweroff -f\n")
    result = run(kernels["cloud"], initramfs(script, *files), "--memory", "256M", "--share",
                 "tag=foreign-binaries,arch=arm64,arch=riscv64")
    assert result.status == 0 and not trouble(result.out), result
    assert "status 42\nagain static-riscv64\n" in result.out and "now 42\n" in result.out, result
    assert result.out.split("now 42\n")[1].split()[:4] == ["register", "status", "vz-arm64", "vz-riscv64"], result


def check(vz, *options):
    return vz("run", "--kernel", f"{ROOT}/cache/kernel-cloud/vmlinuz", "--check", *options)


def test_what_is_not_there_is_said(vz, tmp_path):
    (tmp_path / "qemu-aarch64-static").write_bytes(b"#!/bin/sh\n")
    shutil.copy("/bin/true", tmp_path / "qemu-arm-static")  # dynamic
    shutil.copy(f"{ROOT}/cache/busybox", tmp_path / "qemu-riscv64-static")
    where = f"directory={tmp_path}"
    for arch, word in (("arm64", "not a static program"), ("armhf", "not a static program"), ("s390x", "No such file"),
                       ("sparc", "'sparc' is not arm64")):
        r = check(vz, "--share", f"f=foreign-binaries,arch={arch},{where}")
        assert r.status == 1 and word in r.err, (arch, r)
    assert check(vz, "--share", f"f=foreign-binaries,arch=riscv64,{where}").status == 0
    assert check(vz, "--foreign", "all").status == 0
    assert check(vz, "--foreign", "").status == 2
    r = vz("run", "--kernel", "k", "--print-config", "--foreign", "arm64", "--foreign", "s390x")
    devices = json.loads(r.out)["directorySharingDevices"]
    assert [d["share"] for d in devices] == [{"type": "foreignBinaries", "architectures": [{"name": "s390x"}]}], r
    r = vz("run", "--kernel", "k", "--print-config", "--foreign", "arm64", "--foreign", "none")
    assert not json.loads(r.out)["directorySharingDevices"], r
