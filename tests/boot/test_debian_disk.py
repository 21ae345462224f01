# SPDX-License-Identifier: MIT
"""A whole Debian from a disk, with its own kernel: login on hvc0, units, apt, pause, power button."""
import os
import re
import select
import signal
import subprocess
import sys
import time

import pexpect
import pytest

from conftest import BUILD, ROOT, VZ

os.environ["VZ_LIBRARY"] = f"{BUILD}/src/libvz.so"
pytestmark = [
    pytest.mark.skipif(not os.path.exists(f"{BUILD}/python/vz/_vz.py"),
                       reason="python3-cffi was missing when this was built")]
LIMIT_S = 1200  # only against hanging
PAUSE_S = 2
# One whose failure says nothing about the machine may be named here.
HARMLESS_UNITS = ()


@pytest.fixture(scope="module")
def vz():
    sys.path.insert(0, f"{BUILD}/python")
    import vz
    return vz


@pytest.fixture(scope="module")
def image():
    p = subprocess.run([f"{ROOT}/scripts/make-debian-image"], text=True, stderr=subprocess.PIPE)
    if p.returncode == 3:
        pytest.skip(p.stderr.strip().splitlines()[-1])
    assert p.returncode == 0, p.stderr
    return f"{ROOT}/cache/debian.img"


class Guest:
    """A Debian on a copy of the image, and a person at its console."""

    def __init__(self, vz, image, folder, cpus):
        self.disk = folder / "disk.img"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, self.disk], check=True)
        self.guest_in, self.to = os.pipe()
        self.from_, self.guest_out = os.pipe()
        self.seen = ""
        self.machine = vz.Machine(vz.Config(
            cpus=cpus, memory=512 * vz.MiB,
            boot_loader=vz.linux(disk=str(self.disk), cmdline="root=/dev/vda console=ttyS0 console=hvc0 quiet"),
            serial_ports=[vz.virtio_serial(vz.fd(self.guest_in, self.guest_out))],
            storage_devices=[vz.block(vz.disk_image(str(self.disk)))],
            network_devices=[vz.network(vz.nat())],
            entropy_devices=[vz.entropy()]))
        self.machine.start()

    def until(self, pattern):
        """Read up to a match, which is returned; what follows it stays."""
        while not (m := re.search(pattern, self.seen)):
            readable, _, _ = select.select([self.from_], [], [], LIMIT_S)
            assert readable, f"expected {pattern!r}, saw {self.seen[-3000:]!r}"
            data = os.read(self.from_, 65536)
            assert data, f"expected {pattern!r}, saw the end after {self.seen[-3000:]!r}"
            self.seen += data.decode(errors="replace")
        before, self.seen = self.seen[:m.start()], self.seen[m.end():]
        return before, m

    def send(self, text):
        os.write(self.to, text.encode())

    def login(self):
        self.until("debian login: ")
        self.send("root\n")
        self.until(r"# $")
        # What is echoed shall be what was sent: no line wrapped, no brackets around a paste.
        self.send("stty cols 1000; bind 'set enable-bracketed-paste off'; echo =$?=\n")
        self.until(r"=0=\r?\n")
        self.until(r"# $")

    def do(self, command):
        """(exit status, output) of a shell command"""
        self.send(f"{command}; echo =$?=\n")
        out, m = self.until(r"=(\d+)=\r?\n")
        self.until(r"# $")  # what is typed before the prompt would be echoed twice
        return int(m[1]), out.split("=$?=", 1)[1].replace("\r", "").strip()

    def uptime(self):
        return float(self.do("cut -d ' ' -f 1 /proc/uptime")[1])

    def failed_units(self):
        self.do("systemctl is-system-running --wait")
        _, out = self.do("systemctl --failed --plain --no-legend | cat")
        return [line for line in out.splitlines() if not line.startswith(HARMLESS_UNITS or "\0")]

    def wait_off(self):
        end = self.machine.wait()
        assert end.reason.name == "POWEROFF", end
        self.machine.close()

    def check_disk(self):
        p = subprocess.run(["/sbin/e2fsck", "-fn", self.disk], text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        assert p.returncode == 0 and "recovering journal" not in p.stdout, p.stdout

    def close(self):
        self.machine.close()
        for fd in (self.guest_in, self.to, self.from_, self.guest_out):
            os.close(fd)


@pytest.fixture
def boot(vz, image, tmp_path):
    guests = []

    def start(cpus):
        guests.append(Guest(vz, image, tmp_path, cpus))
        return guests[-1]

    yield start
    for guest in guests:
        guest.close()
        guest.disk.unlink()


def host_apt_works(folder):
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    return subprocess.run(["apt-get", "update", "-q", "-o", f"Dir::State::lists={lists}",
                           "-o", "APT::Sandbox::User=root", "-o", "APT::Update::Error-Mode=any"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def pause_in_the_middle(guest):
    """The guest's monotonic clock does not see the pause, and nothing gets lost over it."""
    started = time.monotonic()
    before = guest.uptime()
    guest.send("for n in $(seq 300); do echo line $n; done; echo =$?=\n")
    guest.machine.pause()
    time.sleep(PAUSE_S)
    guest.machine.resume()
    out, _ = guest.until(r"=0=\r?\n")
    guest.until(r"# $")
    assert re.findall(r"^line (\d+)\r?$", out, re.M) == [str(n) for n in range(1, 301)]
    guest_s = guest.uptime() - before
    host_s = time.monotonic() - started
    assert host_s - guest_s >= PAUSE_S - 0.1, (
        f"expected the guest's clock to stand still for {PAUSE_S} s, "
        f"saw {guest_s:.2f} s pass in it and {host_s:.2f} s outside")


def services_start(guest):
    """What is installed in the guest comes to run: nothing of the image's making keeps it back."""
    assert guest.do("ls /usr/sbin/policy-rc.d /sbin/start-stop-daemon.REAL 2>/dev/null")[1] == ""
    assert guest.do("start-stop-daemon --start --background --make-pidfile --pidfile /run/nap.pid "
                    "--exec /bin/sleep -- 1000; kill $(cat /run/nap.pid)")[0] == 0


def test_two_cpus_apt_pause_and_power_button(boot, tmp_path):
    guest = boot(2)
    guest.login()
    assert guest.failed_units() == []
    assert guest.do("nproc") == (0, "2")
    pause_in_the_middle(guest)
    status, out = guest.do("apt-get update -q -o APT::Update::Error-Mode=any")
    assert status == 0 or not host_apt_works(tmp_path), out
    status, out = guest.do("dmesg --level=emerg,alert,crit,err")
    assert not re.search("segfault|BUG|Oops|stall|soft lockup|general protection", out), out
    guest.machine.request_stop()
    guest.wait_off()
    guest.check_disk()


def test_one_cpu_and_poweroff(boot):
    guest = boot(1)
    guest.login()
    assert guest.failed_units() == []
    assert guest.do("nproc") == (0, "1")
    services_start(guest)
    guest.send("poweroff\n")
    guest.wait_off()
    guest.check_disk()


def test_vz_run_finds_root_and_console_and_sigterm_shuts_down(image, tmp_path):
    disk = tmp_path / "disk.img"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, disk], check=True)
    child = pexpect.spawn(VZ, ["run", "--boot-disk", str(disk), "--console", "stdio", "--fw-cfg",
                               "opt/io.systemd.credentials/mine=from the host"], timeout=LIMIT_S)
    try:
        child.expect("a machine runs on .*Ctrl-A x leaves it")
        child.expect("debian login: ")
        child.sendline("root")
        child.expect("# ")
        child.sendline("cat /proc/cmdline")
        child.expect("root=UUID=[-0-9a-f]+ console=ttyS0 console=hvc0")
        child.sendline("cat /run/credentials/@system/mine")
        child.expect("from the host")
        child.kill(signal.SIGTERM)
        child.expect("asked the guest to shut down")
        child.expect("Powering off|Power down")
        child.expect(pexpect.EOF)
        child.close()
        assert child.signalstatus == signal.SIGTERM
    finally:
        child.close(force=True)
    p = subprocess.run(["/sbin/e2fsck", "-n", disk], stdout=subprocess.PIPE, text=True)
    assert p.returncode == 0 and "recovering" not in p.stdout, p.stdout


def test_a_debian_in_a_layer_above_a_compressed_qcow2_image(image, tmp_path):
    """As people have cloud images: packed, shared, and a layer of one's own above."""
    base, mine, whole = (tmp_path / n for n in ("base.qcow2", "mine.qcow2", "whole.img"))
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", image, base], check=True)
    before = base.read_bytes()
    subprocess.run([VZ, "disk", "create", mine, "--backing", "base.qcow2"], check=True)
    for line in ("echo of-mine > /etc/mine; sync", "cat /etc/mine"):  # the second start reads it
        child = pexpect.spawn(VZ, ["run", "--boot-disk", str(mine), "--console", "stdio"],
                              timeout=LIMIT_S)
        try:
            child.expect("debian login: ")
            child.sendline("root")
            child.expect("# ")
            child.sendline(line + "; echo d''one")
            child.expect("of-mine")  # typed the first time, read the second
            child.expect("done")
            child.sendline("poweroff")
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == 0
        finally:
            child.close(force=True)
    assert base.read_bytes() == before
    subprocess.run(["qemu-img", "check", "-q", mine], check=True)
    subprocess.run([VZ, "disk", "convert", mine, whole], check=True)
    p = subprocess.run(["/sbin/e2fsck", "-fn", whole], stdout=subprocess.PIPE, text=True)
    assert p.returncode == 0, p.stdout
