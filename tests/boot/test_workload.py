# SPDX-License-Identifier: MIT
"""Programs in the guest compute what they compute on the host, bit for bit."""
import hashlib
import subprocess

import pytest

import boots
from conftest import ROOT

SOURCES = f"{ROOT}/tests/boot/programs"
# No red zone: some of their assembly uses the stack.
CC = ["gcc", "-O2", "-Wall", "-Wextra", "-Wno-deprecated-declarations", "-mno-red-zone", "-mcx16",
      "-static", "-pthread"]
FREESTANDING = ["gcc", "-nostdlib", "-static", "-no-pie", "-O2", "-ffreestanding", "-fno-stack-protector",
                "-fno-pic", "-fcf-protection=none"]
CC32 = [*FREESTANDING, "-m32"]

# None: as the host does it. Where the host may be a container that forbids part, the answer.
PROGRAMS = {
    "threads": "80000 80000 799960000 240000 200010000 13880 13880\n",
    "processes": "exec 1830\ncopy 8\npipe 4000\nsignals 500\n",
    "jit": "".join(f"{what}: 0 wrong\n" for what in (
        "own code", "next instruction", "other address", "by the kernel", "protected", "remapped",
        "other thread", "patched")),
    "debugger": "steps in the loop: 42, exit status 7\nint3 hits: 10, exit status 7\n"
                "hardware breakpoint: 10, exit status 7\n"
                "watchpoint, write of 8: 10, exit status 7\n"
                "watchpoint, access of 2: 10, exit status 7\n"
                "system call stops: 10, exit status 7\nseccomp: signal 31\n",
    "i386": "abcdefgh\n",
    "narrow": None,
    "fp": None,
    "faults": None,
}

# On the host's own processor (docs/direct.md), where it serves.
DIRECTLY = ["--accel", "soft", "--jit", "direct=always"]

SCRIPT = r"""
dmesg -n 1
seq 1 20000 >/tmp/n
echo "== sha256sum"; sha256sum </tmp/n
echo "== gzip"; gzip -c /tmp/n | gunzip -c | cmp - /tmp/n && echo same
echo "== awk"; awk 'BEGIN { for (i = 0; i < 20000; i++) s += (i % 2 ? -4 : 4) / (2 * i + 1)
    printf "%.14f %.15g\n", s, 355 / 113 * 1e-7 }'
for p in @PROGRAMS@; do
    echo "== $p"; timeout 600 /$p; echo "status $?"
done
echo "== dmesg"; dmesg
poweroff -f
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for name in PROGRAMS:
        if name == "i386":
            command = [*CC32, f"{SOURCES}/{name}.S", "-o", folder / name]
        elif name == "narrow":
            command = [*CC32, f"{SOURCES}/{name}.c", "-o", folder / name]
            subprocess.run([*FREESTANDING, "-m64", f"{SOURCES}/{name}.c", "-o", folder / "wide"],
                           check=True)
        else:
            command = [*CC, f"{SOURCES}/{name}.c", "-o", folder / name, "-lm"]
        subprocess.run(command, check=True)
    return {name: folder / name for name in PROGRAMS}


@pytest.fixture(scope="module", params=[(1, []), (2, []), (1, DIRECTLY), (2, DIRECTLY)],
                ids=["1-cpu", "2-cpus", "1-cpu-direct", "2-cpus-direct"])
def guest(request, kernels, initramfs, programs):
    cpus, words = request.param
    script = SCRIPT.replace("@PROGRAMS@", " ".join(programs))
    r = boots.run(kernels["cloud"], initramfs(script, *((p, n) for n, p in programs.items())),
                  "--cpus", cpus, *words)
    assert r.status == 0, r
    return r


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(guest, programs, name):
    wanted = PROGRAMS[name]
    if wanted is None:
        native = programs[name].with_name("wide") if name == "narrow" else programs[name]
        wanted = subprocess.run([native], stdout=subprocess.PIPE, text=True,
                                check=True).stdout
    assert guest.section(name) == wanted + "status 0"


def test_busybox(guest):
    numbers = "".join(f"{i}\n" for i in range(1, 20001)).encode()
    assert guest.section("sha256sum") == hashlib.sha256(numbers).hexdigest() + "  -"
    assert guest.section("gzip") == "same"
    pi = 0.0
    for i in range(20000):
        pi += (-4 if i % 2 else 4) / (2 * i + 1)
    assert guest.section("awk") == f"{pi:.14f} {355 / 113 * 1e-7:.15g}"


def test_kernel_has_nothing_to_complain_of(guest):
    log = [line for line in guest.section("dmesg").splitlines()
           if "faults[" not in line and " comm: faults" not in line]
    assert [line for line in boots.trouble("\n".join(log)) if "traps:" not in line] == []
