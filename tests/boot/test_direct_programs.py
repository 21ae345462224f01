# SPDX-License-Identifier: MIT
"""Programs on the host's own processor (docs/direct.md) that are hard on it: debuggers,
translators, storms of processes and mappings. What they print is what they print on the host; the short form has fewer of them."""
import os
import re
import subprocess

import pytest

import boots
import guest_drivers
from conftest import ROOT
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


STORMS = ("crowd 200", "bomb 40", "maps 20000", "ones 2000") if LONG else ("crowd 200", "bomb 30", "maps 500", "ones 100")


@pytest.fixture(scope="module")
def storms(tmp_path_factory):
    program = tmp_path_factory.mktemp("storms") / "storms"
    subprocess.run(["gcc", "-O2", "-static", "-Wall", "-Werror", "-o", program,
                    f"{ROOT}/tests/boot/programs/storms.c"], check=True)
    return program


@pytest.mark.parametrize("mode", MODES)
def test_storms(serves, kernels, initramfs, storms, mode):  # noqa: F811
    """200 processes at once, one that forks until it may not, mappings that never stay, registers full of ones."""
    script = "dmesg -n 1\n" + "".join(f"echo '== {s.split()[0]}'; /storms {s}\n" for s in STORMS)
    r = boot(kernels["cloud"], initramfs(script + "echo '== dmesg'; dmesg; poweroff -f\n", (storms, "/storms")), mode)
    for s in STORMS:
        wanted = "bomb 1" if s.startswith("bomb") else subprocess.check_output([storms, *s.split()], text=True).strip()
        assert r.section(s.split()[0]) == wanted, r


@pytest.mark.parametrize("mode", MODES)
def test_more_memory_than_there_is(serves, kernels, initramfs, storms, tmp_path, mode):  # noqa: F811
    """The guest's kernel takes pages away by their accessed bits, and brings them back from its disk."""
    drivers = (*guest_drivers.VIRTIO, "virtio_blk")
    amount = "memory 160 2" if LONG else "memory 100 1"
    swap = tmp_path / "swap"
    with open(swap, "wb") as f:
        f.truncate(256 << 20)
    script = (guest_drivers.load(drivers) + "mkswap /dev/vda && swapon /dev/vda\necho '== memory'; /storms " + amount +
              "\necho '== out'; grep pswpout /proc/vmstat\necho '== dmesg'; dmesg; poweroff -f\n")
    r = boot(kernels["cloud"], initramfs(script, (storms, "/storms"), *guest_drivers.files(tmp_path / "drivers", drivers)), mode,
             "--memory", "96M", "--disk", swap)
    assert r.section("memory") == subprocess.check_output([storms, *amount.split()], text=True).strip(), r
    assert int(r.section("out").split()[1]) > 1024, r


GDB = """
set confirm off
set pagination off
break turn
run
info breakpoints
continue
continue
print n
backtrace
delete
stepi
stepi
stepi
info registers rip
watch total
continue
continue
delete
rwatch total
continue
delete
hbreak *finish
continue
next
print total
continue
quit
"""
VICTIM = """
#include <stdio.h>
volatile long total;
__attribute__((noinline)) void turn(int n) { total += n * 3; }
__attribute__((noinline)) void finish(void) { total++; }
int main(void)
{
    for (int n = 0; n < 2000; n++)
        turn(n);
    finish();
    printf("%ld\\n", total);
    return 0;
}
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.skipif(not os.path.exists("/usr/bin/gdb"), reason="gdb is not installed")
def test_gdb(serves, kernels, initramfs, tmp_path, mode):  # noqa: F811
    """Breakpoints, single steps, watchpoints: gdb says what it says on the host, word by word."""
    (tmp_path / "victim.c").write_text(VICTIM)
    (tmp_path / "commands").write_text(GDB)
    subprocess.run(["gcc", "-g", "-O1", "-static", "-no-pie", "-o", "victim", "victim.c"], check=True, cwd=tmp_path)
    command = "cd {} && env -i LC_ALL=C HOME=/ SHELL=/bin/sh /usr/bin/gdb -nx -batch -x commands ./victim 2>&1"
    wanted = subprocess.check_output(command.format(tmp_path), shell=True, text=True)
    assert wanted.count("watchpoint") >= 3 and "Breakpoint 1, turn (" in wanted, wanted
    drivers = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
    script = guest_drivers.load(drivers) + f"""
dmesg -n 1
mkdir /h && mount -t tmpfs h /h && cd /h && mkdir usr proc tmp dev && for d in bin sbin lib lib64; do ln -s usr/$d $d; done
mount -t virtiofs usr usr && mount -t proc proc proc && mount -o bind /dev dev && cp /victim /victim.c /commands tmp
echo '== gdb'; chroot . /bin/sh -c '{command.format("/tmp")}'
echo '== dmesg'; dmesg; poweroff -f
"""
    files = [(tmp_path / name, f"/{name}") for name in ("victim", "victim.c", "commands")]
    r = boot(kernels["cloud"], initramfs(script, *files, *guest_drivers.files(tmp_path / "drivers", drivers)), mode,
             "--memory", "512M", "--share", "usr=/usr,ro")

    def said(text):
        """But for what depends on where it runs."""
        return [line for line in text.replace(str(tmp_path), "/tmp").splitlines()
                if not re.search(r"warning:|\[Inferior|Temporary failure|thread_db|debuginfod|auto-load", line)]

    assert said(r.section("gdb")) == said(wanted.strip()), r
