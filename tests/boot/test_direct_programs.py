# SPDX-License-Identifier: MIT
"""Programs on the host's own processor (docs/direct.md) that are hard on it: strace and
translators. What they print is what they print on the host; the short form has fewer of them."""
import os
import re
import subprocess

import pytest

import boots
from test_direct import judged, serves, with_libraries  # noqa: F401 (fixtures)

LONG = "VZ_LONG" in os.environ
MODES = ("direct=always", "direct=on")


def boot(kernel, initrd, mode, *more):
    r = boots.run(kernel, initrd, "--accel", "soft", "--jit", mode, "--cpus", 2, "--stats", *more)
    assert r.status == 0, r
    assert boots.trouble(r.section("dmesg")) == [], r
    counts = dict(re.findall(r"^cpu\.(direct_\w+) +(\d+)", r.out + r.err, re.M))
    if mode == "direct=always":
        assert int(counts["direct_traps"]) > 100, r
    return r


@pytest.mark.parametrize("mode", MODES)
def test_strace(serves, kernels, initramfs, tmp_path, mode):  # noqa: F811
    """Each system call of a program that runs directly stops for who traces it. (test_workload.py has the other stops.)"""
    source, program = tmp_path / "victim.c", tmp_path / "victim"
    source.write_text("#include <stdio.h>\n#include <unistd.h>\nint main(void) { int s = 0;\n"
                      "for (int n = 0; n < 50; n++) s += 2 * n + (getppid() < 0);\nprintf(\"%d\\n\", s); return 0; }\n")
    subprocess.run(["gcc", "-O1", "-static", "-o", program, source], check=True)
    script = ("dmesg -n 1\necho '== strace'; /usr/bin/strace -e trace=getppid -o /tmp/trace /victim\n"
              "grep -c getppid /tmp/trace; echo '== dmesg'; dmesg; poweroff -f\n")
    files = [(program, "/victim"), *with_libraries("/usr/bin/strace")]
    r = boot(kernels["cloud"], initramfs(script, *files), mode)
    assert r.section("strace").split() == ["2450", "50"], r


TRANSLATORS = {  # what is run, and a program for it
    "node": (["/usr/bin/node", "/program"], "let s = 0n; const f = n => n < 2 ? n : f(n - 1) + f(n - 2);\n"
             "for (let i = 0; i < 300; i++) s += BigInt(f(15) * i) ** 3n;\nconsole.log(String(s), f(22));\n"),
    "luajit": (["/usr/bin/luajit", "/program"], "local s = 0\nfor i = 1, 5e6 do s = (s * 31 + i) % 1000003 end\nprint(s)\n"),
    "perl": (["/usr/bin/perl", "/program"], "my $s = 0; $s = ($s * 31 + $_) % 1000003 for 1 .. 300000; print \"$s\\n\";\n"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators(serves, kernels, initramfs, tmp_path, name, mode):  # noqa: F811
    """Programs that write code and run it, natively while they do."""
    argv, text = TRANSLATORS[name]
    if not os.path.exists(argv[0]):
        pytest.skip(f"{argv[0]} is missing")
    if name != "perl" and not LONG:
        pytest.skip("takes minutes: VZ_LONG=1; perl is the short form")
    program = tmp_path / "program"
    program.write_text(text)
    wanted = subprocess.run([argv[0], program], check=True, capture_output=True, text=True).stdout
    script = f"dmesg -n 1\necho '== said'; {' '.join(argv)}; echo '== dmesg'; dmesg; poweroff -f\n"
    files = [(program, "/program"), *with_libraries(argv[0])]
    r = boot(kernels["cloud"], initramfs(script, *files), mode, "--memory", "1G")
    assert r.section("said") == wanted.strip(), r
