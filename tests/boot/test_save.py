# SPDX-License-Identifier: MIT
"""Linux saved and restored in the middle of its work, again and again: nothing is lost, no interrupt
missed, no time jumps, and connections that lead out of the machine end as they should."""
import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

import guest_drivers

from boots import trouble
from conftest import SLOWER, VZ
from test_runtime import DRIVERS, SCRIPT, Machine, until

CYCLES = int(os.environ.get("VZ_CYCLES", 12))  # of an hour: VZ_CYCLES=300

# Each keeps a count in a file, so that one that stops is seen. The verifier writes a block of the disk, has
# it read again past the cache, and compares; the spinner keeps a CPU busy; the sleeper lives by its timer,
# and the clock sees whether time jumps. The fetcher has the host send it a file, which comes whole, or is cut off by
# a restore, but is never anything else.
PROGRAMS = {
    "verify": """
n=0
while [ ! -e /stop ]; do
    n=$((n + 1)); at=$((n % 64))
    dd if=/dev/urandom of=/block bs=64k count=1 2>/dev/null
    dd if=/block of=/dev/vda bs=64k seek=$at conv=notrunc,fsync 2>/dev/null || echo "write failed" >>/wrong
    echo 1 >/proc/sys/vm/drop_caches
    dd if=/dev/vda of=/again bs=64k skip=$at count=1 2>/dev/null
    cmp /block /again >>/wrong 2>&1
    echo $n >/verified
done
""",
    "sleeper": "n=0; while [ ! -e /stop ]; do sleep 0.05; n=$((n + 1)); echo $n >/slept; done\n",
    "spinner": "n=0; while [ ! -e /stop ]; do n=$((n + 1)); [ $((n % 500)) = 0 ] && echo $n >/spun; done\n",
    "fetch": """
n=0
while [ ! -e /stop ]; do
    nc 10.0.2.2 $(cat /port) </dev/null >/got 2>/dev/null
    cmp /got /sent 2>&1 | grep differ >>/wrong
    if cmp -s /got /sent; then n=$((n + 1)); echo $n >/fetched; else sleep 0.1; fi
done
""",
    "clock": """
read last _ </proc/uptime
while [ ! -e /stop ]; do
    sleep 0.1
    read now _ </proc/uptime
    awk "BEGIN { d = $now - $last; if (d < 0 || d > 20) print \\"time jumped\\", $last, $now }" >>/wrong
    last=$now
done
"""}
COUNTS = ("verified", "slept", "spun", "fetched")
SENT = random.Random(1).randbytes(192 << 10)


class Saved(Machine):
    """Machine, whose COM1 is another socket after each restore."""

    def connect(self):
        self.s.close()
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(600)
        assert until(lambda: self.s.connect_ex(str(self.folder / "com1")) == 0)
        self.lines = self.s.makefile("r", errors="replace")

    def cycle(self, passphrase=""):
        """passphrase "-": memory is not sealed."""
        file = self.folder / "state"
        self.watch()
        self.must("pause")
        self.must(f"save {file} {passphrase}")
        self.must(f"restore {file} {passphrase}")
        self.must("resume")
        self.connect()

    def numbers(self, paths):
        """What is in each of these files of the guest's. One that is being written has nothing in it for a moment."""
        for _ in range(100):
            status, out = self.guest("cat " + " ".join(paths))
            assert status == 0, out
            found = [int(word) for word in out.split()]
            if len(found) == len(paths):
                return found
        raise AssertionError(f"one of {paths} stays empty: {out}")

    def counts(self):
        return self.numbers(["/" + name for name in COUNTS])

    def moves(self, what):
        """All counts go on, within less than it takes to be given up (watch())."""
        self.watch()
        before = self.counts()
        end = time.monotonic() + 250
        while time.monotonic() < end:
            now = self.counts()
            if all(b > a for a, b in zip(before, now)):
                return
            time.sleep(0.2)
        raise AssertionError(f"{what}: counts were {before} and are {now}; {self.guest('ps; netstat -tn')[1]}")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    (folder / "sent").write_bytes(SENT)
    return [guest_drivers.program(folder, "tests/virtio/vsocktool.c"),
            *[(folder / name, name) for name in (*PROGRAMS, "sent")],
            *guest_drivers.files(folder, DRIVERS)]


@pytest.fixture(scope="module")
def m(kernels, initramfs, files, tmp_path_factory):
    with Saved(kernels["cloud"], initramfs(SCRIPT, *files), tmp_path_factory.mktemp("machine"), RUNTIMEVM_CPUS="2", RUNTIMEVM_HOST="1",
               XDG_DATA_HOME=str(tmp_path_factory.mktemp("keys"))) as m:
        yield m


def send_all(c):
    with c, contextlib.suppress(OSError):
        c.sendall(SENT)


def send(server, senders):
    """To each by itself: one that hangs is found at the end, and holds up nobody until then."""
    while server.fileno() >= 0:
        with contextlib.suppress(OSError):
            senders.append(threading.Thread(target=send_all, args=(server.accept()[0],), daemon=True))
            senders[-1].start()


def lease(m):
    assert m.guest("udhcpc -i eth0 -n -q -t 10 -s /lease >/dev/null 2>&1")[0] == 0


def test_work_goes_on_through_many_saves(m):
    lease(m)
    with socket.create_server(("127.0.0.1", 0)) as server:
        senders = []
        threading.Thread(target=send, args=(server, senders), daemon=True).start()
        m.guest(f"echo {server.getsockname()[1]} >/port; : >/wrong; for name in {' '.join(PROGRAMS)}; do sh /$name & done")
        assert until(lambda: m.guest("ls " + " ".join("/" + name for name in COUNTS))[0] == 0)
        for n in range(CYCLES):
            time.sleep(0.1 * (n % 4))
            m.cycle(("", "secret", "-")[n % 3])
            m.moves(f"cycle {n}")
            assert until(lambda: m.command("talk 6000")[-1] == "ok")  # a stream, each time
        m.guest(": >/stop")
        assert until(lambda: not any(s.is_alive() for s in senders)), "connections of machines that are gone are open"
    assert m.guest("cat /wrong") == (0, "")
    assert not trouble(m.guest("dmesg")[1])


def test_an_idle_guest_wakes_up(m):
    """Nothing but its own timer repairs a lost interrupt, or a deadline that was set before what it counts by."""
    for _ in range(max(3, CYCLES // 4)):
        m.guest("rm -f /woke; (sleep 1; : >/woke) &")
        time.sleep(0.3)
        m.cycle()
        assert until(lambda: m.guest("[ -e /woke ]")[0] == 0)


def test_sockets_are_reset_and_work_again(m):
    """A vsock connection that is open when the machine is saved ends; new ones can be made both ways."""
    assert m.guest("true")[0] == 0
    m.must("talk 6000")
    m.cycle()
    assert until(lambda: m.command("talk 6000")[-1] == "ok")


def test_the_network_works_again(m):
    lease(m)
    assert m.guest("ping -c 1 -w 60 10.0.2.2 >/dev/null")[0] == 0
    m.cycle()
    assert m.guest("ping -c 1 -w 60 10.0.2.2 >/dev/null")[0] == 0


def test_a_connection_through_nat_ends(m):
    """The guest waits for data that nobody will send any more, and hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        m.guest(f"rm -f /ended; (nc 10.0.2.2 {server.getsockname()[1]} </dev/zero >/dev/null 2>&1; : >/ended) &")
        m.guest(f"rm -f /silent; (sleep 9999 | nc 10.0.2.2 {server.getsockname()[1]} >/dev/null 2>&1; : >/silent) &")
        connections = [server.accept()[0] for _ in range(2)]
        time.sleep(1)
        assert m.guest("[ -e /ended ] || [ -e /silent ]")[0] == 1
        m.cycle()
        assert until(lambda: m.guest("[ -e /ended ]")[0] == 0)
        assert until(lambda: m.guest("! netstat -tn | grep ESTABLISHED")[0] == 0), m.guest("netstat -tn")
        for c in connections:
            c.close()


# ---- Before there is anybody to ask ------------------------------------------------------------------------------

BOOT = """
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/urandom of=/block bs=64k count=4 2>/dev/null
    dd if=/block of=/dev/vda bs=64k seek=$i conv=notrunc,fsync 2>/dev/null
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/vda of=/again bs=64k skip=$i count=4 2>/dev/null
    cmp /block /again || echo BAD
    sleep 0.1
done
dmesg
echo all is well
poweroff -f
"""


def chopped(args, state, rng, cuts_max):
    """A machine that is saved again and again, at random moments: (its output, how often it was saved, its exit status)."""
    out, cuts, patience = b"", 0, 0
    while True:
        p = subprocess.Popen([VZ, "run", "--accel", "soft", *map(str, args), "--save", state, "--save-plain"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            more, err = p.communicate(timeout=None if cuts == cuts_max else rng.uniform(0.03, 0.6) + patience)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGTERM)
            more, err = p.communicate(timeout=300 * SLOWER)
        if p.returncode == -signal.SIGTERM and b"saved to" not in err:
            patience += 0.2  # there was no machine yet
            continue
        out += more
        if p.returncode != -signal.SIGTERM:
            return out.decode(errors="replace"), cuts, p.returncode
        args, cuts = ["--restore", state], cuts + 1


@pytest.mark.parametrize("seed", range(max(1, CYCLES // 10)))
def test_a_boot_goes_on_from_any_moment(kernels, initramfs, files, tmp_path, monkeypatch, seed):
    """While drivers look for their devices, and wait for the first answers of them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with open(tmp_path / "disk", "wb") as f:
        f.truncate(4 << 20)
    drivers = (*guest_drivers.VIRTIO, "virtio_blk", *guest_drivers.NETWORK)
    initrd = initramfs(guest_drivers.load(drivers) + BOOT, *files)
    out, cuts, status = chopped(["--kernel", kernels["cloud"], "--initrd", initrd, "--cpus", "2", "--memory", "256M", "--cmdline",
                                 "console=ttyS0 quiet watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300", "--disk", tmp_path / "disk",
                                 "--net", "nat"], tmp_path / "state", random.Random(seed), 8 if CYCLES <= 12 else 40)
    assert status == 0 and cuts >= 3 and "all is well" in out and "BAD" not in out and not trouble(out), (cuts, out)
