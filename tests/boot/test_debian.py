# SPDX-License-Identifier: MIT
"""Debian's kernels boot, see the machine they were promised, and end as they should."""
import hashlib
import os
import re
import subprocess
import time

import pexpect
import pytest

from conftest import VZ

BOOT_LIMIT_S = 300


def boot(vz, kernel, initrd, *more):
    return vz("run", "--kernel", kernel, "--initrd", initrd, "--cmdline", "console=ttyS0", *more,
              timeout=BOOT_LIMIT_S)


LOOK = r"""
echo "cpus=$(grep -c ^processor /proc/cpuinfo)"
echo "kib=$(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
echo "kernel=$(uname -r)"
dmesg | grep -E 'BUG:|WARNING:|Oops|Call Trace|lockup|rcu.*stall' && echo "trouble"
echo "done"
poweroff -f
"""


@pytest.mark.parametrize("name, cpus, memory", [("cloud", 1, "512M"), ("cloud", 2, "1G"),
                                                ("amd64", 1, "1G")])
def test_kernel_boots_and_powers_off(vz, kernels, initramfs, name, cpus, memory):
    r = boot(vz, kernels[name], initramfs(LOOK), "--cpus", cpus, "--memory", memory)
    assert r.status == 0, r
    out = r.out.replace("\r", "")
    assert f"cpus={cpus}\n" in out, r
    assert "done\n" in out and "trouble" not in out, r
    with open(os.path.dirname(kernels[name]) + "/version") as f:
        assert f"kernel={f.read().strip()}\n" in out, r
    kib = int(re.search(r"kib=(\d+)", out).group(1))
    wanted = int(memory[:-1]) * (1024 if memory[-1] == "M" else 1024 * 1024)
    assert wanted * 0.85 < kib <= wanted, r


WORKLOAD = """
seq 1 20000 >/tmp/n
echo "sum=$(sha256sum </tmp/n | cut -c1-64)"
gzip -c /tmp/n | gunzip -c | cmp - /tmp/n && echo "gzip=same"
echo "pi=$(awk 'BEGIN { for (i = 0; i < 20000; i++) s += (i % 2 ? -4 : 4) / (2 * i + 1)
    printf "%.14f", s }')"
echo "quotient=$(awk 'BEGIN { printf "%.15g", 355 / 113 * 1e-7 }')"
poweroff -f
"""


def test_workload_with_known_answers(vz, kernels, initramfs):
    r = boot(vz, kernels["cloud"], initramfs(WORKLOAD), "--cpus", "2")
    numbers = "".join(f"{i}\n" for i in range(1, 20001)).encode()
    pi = 0.0
    for i in range(20000):
        pi += (-4 if i % 2 else 4) / (2 * i + 1)
    assert r.status == 0, r
    for line in (f"sum={hashlib.sha256(numbers).hexdigest()}", "gzip=same", f"pi={pi:.14f}",
                 f"quotient={355 / 113 * 1e-7:.15g}"):
        assert line in r.out, r


THREADS = r"""
#include <pthread.h>
#include <stdio.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counter, atomics;
static void *work(void *arg)
{
    for (int i = 0; i < 50000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        __atomic_add_fetch(&atomics, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}
int main(void)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("threads=%ld,%ld\n", counter, atomics);
    return 0;
}
"""


def test_threads_on_two_cpus(vz, kernels, initramfs, tmp_path):
    source, program = tmp_path / "threads.c", tmp_path / "threads"
    source.write_text(THREADS)
    subprocess.run(["gcc", "-O2", "-static", "-pthread", source, "-o", program], check=True)
    r = boot(vz, kernels["cloud"], initramfs("/bin/threads\npoweroff -f\n",
                                             (program, "bin/threads")), "--cpus", "2")
    assert r.status == 0 and "threads=200000,200000" in r.out, r


def test_reset_with_no_reboot_ends_with_0(vz, kernels, initramfs):
    r = boot(vz, kernels["cloud"], initramfs("echo going\nreboot -f\n"), "--no-reboot")
    assert r.status == 0 and r.out.count("going") == 1, r


def test_serial_to_a_file(vz, kernels, initramfs, tmp_path):
    log = tmp_path / "log"
    r = boot(vz, kernels["cloud"], initramfs("echo to the file\npoweroff -f\n"),
             "--serial", f"file:{log}")
    assert r.status == 0 and r.out == "", r
    assert b"to the file" in log.read_bytes()


def test_stats_are_printed(vz, kernels, initramfs):
    r = boot(vz, kernels["cloud"], initramfs("poweroff -f\n"), "--stats", "--serial", "null")
    assert r.status == 0 and r.out == "", r
    assert re.search(r"^machine\.resets +0$", r.err, re.M), r


def spawn(kernels, initrd, cmdline):
    return pexpect.spawn(VZ, ["run", "--kernel", kernels["cloud"], "--initrd", str(initrd),
                              "--cmdline", cmdline], timeout=BOOT_LIMIT_S)


def test_reset_reboots_and_ctrl_a_x_leaves(kernels, initramfs):
    child = spawn(kernels, initramfs("echo vz-init-here\nsleep 1\nreboot -f\n"), "console=ttyS0")
    child.expect("vz-init-here")
    child.expect("Linux version")
    child.expect("vz-init-here")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


SHELL = "setsid -c sh -i </dev/ttyS0 >/dev/ttyS0 2>&1\npoweroff -f\n"


@pytest.fixture
def shell(kernels, initramfs):
    child = spawn(kernels, initramfs(SHELL), "console=ttyS0 quiet")
    child.expect("# ")
    yield child
    child.close(force=True)


def test_shell_takes_what_is_typed(shell):
    shell.sendline("echo $((6 * 7))-answer")
    shell.expect("42-answer")
    shell.sendline("sleep 100")
    time.sleep(1)
    shell.send("\x03")  # to the guest, not to vz
    shell.sendline("echo still-$((1 + 1))")
    shell.expect("still-2")
    shell.send("\x01h")
    shell.expect("Ctrl-A x")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0


def test_idle_guest_uses_little_cpu(shell):
    def cpu_seconds():
        with open(f"/proc/{shell.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    time.sleep(3)  # let it come to rest
    before = cpu_seconds()
    time.sleep(10)
    assert (cpu_seconds() - before) / 10 < 0.03
