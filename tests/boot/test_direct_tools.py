# SPDX-License-Identifier: MIT
"""Programs on the host's own processor (docs/direct.md) that come with a Debian: a profiler, a Java machine, a program that
strains all parts of a system and looks at what comes of it; and a Debian in step with the interpreter."""
import os
import re
import subprocess

import pexpect
import pytest

import boots
import guest_drivers
from conftest import ROOT, VZ
from test_direct import judged, serves  # noqa: F401 (fixtures)
from test_direct_programs import LONG, MODES, boot

LONG_ONLY = pytest.mark.skipif(not LONG, reason="takes minutes: VZ_LONG=1")


@pytest.fixture
def in_usr(serves, kernels, initramfs, tmp_path):  # noqa: F811
    """in_usr(MODE, SCRIPT, (FILE, NAME)...): what SCRIPT prints where the host's /usr is, and the files are in /tmp."""
    drivers = (*guest_drivers.VIRTIO, "fuse", "virtiofs")

    def run(mode, script, *files, memory="1G"):
        (tmp_path / "inside").write_text(f"export PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C\ncd /tmp\n{script}\n")
        given = [(tmp_path / "inside", "inside"), *files]
        outside = guest_drivers.load(drivers) + f"""
dmesg -n 1
mkdir /h && mount -t tmpfs h /h && cd /h && mkdir usr proc sys tmp dev etc
for d in bin sbin lib lib64; do ln -s usr/$d $d; done
mount -t virtiofs usr usr && mount -t proc proc proc && mount -t sysfs sys sys && mount -o bind /dev dev
mkdir -p dev/shm && mount -t tmpfs shm dev/shm
cp {" ".join("/" + name for _, name in given)} tmp
echo '== said'; chroot . /bin/sh tmp/inside 2>&1
echo '== dmesg'; dmesg; poweroff -f
"""
        r = boot(kernels["cloud"], initramfs(outside, *[(file, f"/{name}") for file, name in given],
                                             *guest_drivers.files(tmp_path / "drivers", drivers)),
                 mode, "--memory", memory, "--share", "usr=/usr,ro")
        return r.section("said")

    return run


PROFILED = """
#include <sys/mman.h>
static volatile unsigned long sum;
__attribute__((noinline)) void cold_part(unsigned long n) { while (n--) sum += n; }
__attribute__((noinline)) void hot_part(unsigned long n) { while (n--) sum += n ^ sum; }
int main(void)
{
    char *pages = mmap(0, 3000 * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(pages, 3000 * 4096L, MADV_NOHUGEPAGE);
    for (int n = 0; n < 3000; n++)
        pages[n * 4096L] = 1;
    for (int n = 0; n < 40; n++) {
        cold_part(200000);
        hot_part(6000000);
    }
    return pages[0] - 1;
}
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.skipif(not os.path.exists("/usr/bin/perf"), reason="perf is not installed")
def test_perf(in_usr, tmp_path, mode):
    """Samples are taken where a program is that runs directly, and events are counted as they happen."""
    source, program = tmp_path / "profiled.c", tmp_path / "profiled"
    source.write_text(PROFILED)
    subprocess.run(["gcc", "-O1", "-static", "-no-pie", "-o", program, source], check=True)
    said = in_usr(mode, """
perf stat -x, -e page-faults:u,page-faults,task-clock,context-switches ./profiled
perf record -q -e cpu-clock:u -F 200 -o profile ./profiled
perf report -i profile --stdio -g none -F overhead,sample,symbol 2>/dev/null | grep -v '^#'
""", (program, "profiled"))
    counts = {m[2]: float(m[1]) for m in re.finditer(r"^([\d.]+),\w*,([\w:-]+),", said, re.M)}
    assert 3000 <= counts["page-faults:u"] <= counts["page-faults"] < 3300, said
    assert counts["task-clock"] > 50, said
    samples = {m[3]: (float(m[1]), int(m[2])) for m in re.finditer(r"([\d.]+)% +(\d+) +\[\.\] (\w+)", said)}
    assert sum(n for _, n in samples.values()) > 15, said
    hot, cold = (samples.get(name, (0, 0))[1] for name in ("hot_part", "cold_part"))
    assert hot == max(n for _, n in samples.values()) and hot > 8 * cold, said  # it has 30 times as much to do


JAVA = """
import java.util.*;
import java.util.stream.*;
public class Work {
    static long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    public static void main(String[] a) throws Exception {
        Map<String, Integer> words = new TreeMap<>();
        for (int i = 0; i < 60000; i++)
            words.merge("w" + (i * 7919 % 1009), i, Integer::sum);
        long[] sum = new long[2];
        Thread[] t = new Thread[2];
        for (int n = 0; n < 2; n++) {
            final int k = n;
            t[n] = new Thread(() -> { for (int i = 0; i < 3000000; i++) sum[k] = sum[k] * 31 + i % (k + 3); });
            t[n].start();
        }
        for (Thread x : t)
            x.join();
        byte[] waste = null;
        for (int i = 0; i < 4000; i++)
            waste = new byte[32768 + i];
        System.out.println(fib(24) + " " + words.hashCode() + " " + sum[0] + " " + sum[1] + " " + waste.length + " "
            + IntStream.range(0, 100000).mapToObj(i -> "" + i).collect(Collectors.joining()).hashCode());
        try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("caught"); }
    }
}
"""
JAVA_HOME = "/usr/lib/jvm/java-17-openjdk-amd64"


@LONG_ONLY
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.skipif(not os.path.exists(f"{JAVA_HOME}/bin/java"), reason="openjdk-17-jre-headless is not installed")
def test_java(in_usr, tmp_path, mode):
    """It translates, takes faults for null references and safepoints, and has threads."""
    if not os.path.exists(f"{JAVA_HOME}/bin/javac"):
        pytest.skip("javac is not installed")
    (tmp_path / "Work.java").write_text(JAVA)
    java = f"{JAVA_HOME}/bin/java -Xmx256m -Xshare:off"
    subprocess.run([f"{JAVA_HOME}/bin/javac", "-d", tmp_path, "Work.java"], check=True, cwd=tmp_path)
    wanted = subprocess.check_output(f"{java} -cp . Work", shell=True, cwd=tmp_path, text=True)
    jar = tmp_path / "work.jar"
    subprocess.run([f"{JAVA_HOME}/bin/jar", "cfe", jar, "Work", *sorted(p.name for p in tmp_path.glob("Work*.class"))],
                   check=True, cwd=tmp_path)
    said = in_usr(mode, f"{java} -jar work.jar", (jar, "work.jar"), memory="1500M")
    assert said.strip() == wanted.strip(), said


# What each of them does it looks at itself (--verify).
STRESSORS = ("cpu", "matrix", "vm", "mmap", "fork", "pipe", "switch", "sigsegv", "qsort", "mremap", "futex", "memcpy", "str",
             "hash", "tsearch", "vecmath", "mprotect", "fault", "sigfpe", "madvise")


@LONG_ONLY
@pytest.mark.parametrize("mode", MODES)
def test_stress_ng(in_usr, package, tmp_path, mode):
    folders = [package(name) for name in ("stress-ng", "libipsec-mb1", "libjudydebian1", "libsctp1")]
    program = f"{folders[0]}/usr/bin/stress-ng"
    with_libraries = os.environ | {"LD_LIBRARY_PATH": ":".join(f"{f}/usr/lib/x86_64-linux-gnu" for f in folders[1:])}
    needs = subprocess.run(["ldd", program], check=True, capture_output=True, text=True, env=with_libraries).stdout
    if "not found" in needs:
        pytest.skip(re.search(r"\S+ => not found", needs)[0])
    files = [(os.path.realpath(path), os.path.basename(path)) for path in re.findall(rf"({ROOT}/\S+) \(", needs)]
    script = "export LD_LIBRARY_PATH=/tmp\n"
    script += "".join(f"./stress-ng --{name} 2 --{name}-ops {20000 if name == 'pipe' else 40} --vm-bytes 32M -t 60 --verify "
                      f"--temp-path /tmp >/tmp/log 2>&1; echo stressed {name} $?; grep -iE 'fail|mismatch|corrupt' /tmp/log\n"
                      for name in STRESSORS)
    said = in_usr(mode, script, (program, "stress-ng"), *files)
    ends = dict(re.findall(r"^stressed (\w+) (\d+)$", said, re.M))
    assert ends == dict.fromkeys(STRESSORS, "0"), said
    assert len(said.splitlines()) == len(STRESSORS), said


STEPS = ("maps 120", "ones 20", "crowd 20")


def test_in_step_with_the_interpreter(serves, kernels, initramfs, tmp_path):  # noqa: F811
    """A boot, and programs that fork, talk, and change mappings on two CPUs, each stretch compared."""
    storms = tmp_path / "storms"
    subprocess.run(["gcc", "-O2", "-static", "-o", storms, f"{ROOT}/tests/boot/programs/storms.c"], check=True)
    script = "dmesg -n 1\n" + "".join(f"/storms {s} >/{s.split()[0]} &\n" for s in STEPS) + "wait\n"
    script += "".join(f"echo '== {s.split()[0]}'; cat /{s.split()[0]}\n" for s in STEPS) + "echo '== end'; poweroff -f\n"
    r = boots.run(kernels["cloud"], initramfs(script, (storms, "/storms")), "--accel", "soft", "--jit", "direct=check",
                  "--cpus", 2, "--stats")
    assert r.status == 0 and "direct check" not in r.err, r
    counts = dict(re.findall(r"^cpu\.direct_(\w+) +(\d+)", r.out + r.err, re.M))
    assert int(counts["checked"]) > 1000 and int(counts["unchecked"]) * 10 < int(counts["checked"]), r
    for s in STEPS:
        assert r.section(s.split()[0]) == subprocess.check_output([storms, *s.split()], text=True).strip(), r


@LONG_ONLY
def test_debian_in_step_with_the_interpreter(serves, tmp_path):  # noqa: F811
    """To its login, and work behind it. Everything is interpreted: it takes most of an hour."""
    p = subprocess.run([f"{ROOT}/scripts/make-debian-image"], text=True, stderr=subprocess.PIPE)
    if p.returncode == 3:
        pytest.skip(p.stderr.strip().splitlines()[-1])
    assert p.returncode == 0, p.stderr
    disk = tmp_path / "disk.img"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", f"{ROOT}/cache/debian.img", disk], check=True)
    child = pexpect.spawn(VZ, ["run", "--boot-disk", str(disk), "--cmdline",
                               "root=/dev/vda console=ttyS0 quiet systemd.default_timeout_start_sec=6000 "
                               "systemd.default_device_timeout_sec=6000 watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300",
                               "--cpus", "2", "--memory", "1G", "--accel", "soft", "--jit", "direct=check",
                               "--stats"], timeout=7200, encoding="utf-8", codec_errors="replace")
    try:
        child.expect("login: ")
        child.sendline("root")
        child.expect("# $")
        child.sendline("for n in 1 2 3; do ls -lR /etc | sort | md5sum; done; perl -e 'print 2 ** 20, qq(\\n)'; echo do''ne")
        child.expect("1048576\r\n")
        child.expect("done\r\n")
        child.sendline("poweroff")
        child.expect(pexpect.EOF)
        said = child.before
    finally:
        child.close(force=True)
    counts = dict(re.findall(r"cpu\.direct_(\w+) +(\d+)", said))
    assert "direct check" not in said, said
    assert int(counts["checked"]) > 10000 and int(counts["unchecked"]) * 10 < int(counts["checked"]), said
