# SPDX-License-Identifier: MIT
"""The agent in a guest of Debian's kernel, and the commands that go by it: exec, shell, cp, wait, ip."""
import json
import os
import signal
import socket
import subprocess
import time

import pexpect
import pytest

import guest_drivers
from conftest import BUILD, VZ
from machines import Control, boot, make_folder

DISK = ("crc16", "mbcache", "jbd2", "ext4", "virtio_blk")
INIT = """
mkdir -p /dev/pts /var/lib /home; mount -t devpts pts /dev/pts; mount -t tmpfs tmp /tmp
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo me:x:1000:1000::/home:/bin/sh >>/etc/passwd
echo root:x:0: >/etc/group; echo old >/etc/hostname; echo 0123 >/etc/machine-id; hostname old
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
mount -t ext4 /dev/vda /mnt
/sbin/vz-agent --background
echo agent-is-up
while :; do sleep 1000; done
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of machines, with one called g that runs."""
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    yield home
    subprocess.run([VZ, "stop", "--now", "g"])
    del os.environ["VZ_HOME"]


@pytest.fixture(scope="module")
def g(home, kernels, initramfs, tmp_path_factory):
    names = guest_drivers.VIRTIO + guest_drivers.NETWORK + DISK + guest_drivers.SOCKETS
    modules = guest_drivers.files(tmp_path_factory.mktemp("modules"), names)
    initrd = initramfs(guest_drivers.load(names) + INIT, *modules,
                       (f"{BUILD}/agent/vz-agent", "sbin/vz-agent"))
    folder = home / "g.vz"
    make_folder(folder, "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M", "--cmdline",
                "console=ttyS0 quiet", "--disk", "disk.img", "--net", "nat", "--vsock", "cid=3")
    with open(folder / "disk.img", "wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", folder / "disk.img"], check=True)
    boot(folder)
    return "g"


def test_exec_passes_all_streams_and_the_status(vz, g):
    r = vz("exec", g, "--", "sh", "-c", "cat; echo err >&2; uname -r; exit 7", stdin=b"in\n")
    assert r.status == 7 and r.out.startswith("in\n") and "cloud" in r.out and r.err == "err\n", r
    r = vz("exec", g, "sh", "-c", "echo $0 $1 -- $A-$HOME", "-t", "-e", stdin=b"")  # as container tools have it
    assert (r.status, r.out) == (0, "-t -e -- -/root\n"), r
    r = vz("exec", "-e", "A=b", "-u", "me", "--cwd", "/tmp", g, "--", "sh", "-c", "echo $A; id -u; pwd")
    assert (r.status, r.out) == (0, "b\n1000\n/tmp\n"), r


@pytest.mark.parametrize("command, status", [
    (["true"], 0), (["false"], 1), (["sh", "-c", "exit 200"], 200), (["sh", "-c", "kill -9 $$"], 137),
    (["sh", "-c", "kill -TERM $$"], 143), (["no-such-program"], 127), (["/etc"], 126)])
def test_exit_statuses(vz, g, command, status):
    assert vz("exec", g, "--", *command).status == status


def test_what_vz_itself_cannot_do_is_125_or_usage(vz, g):
    r = vz("exec", g, "--user", "nobody-here", "--", "true")
    assert r.status == 125 and "nobody-here" in r.err, r
    r = vz("exec", "no-such-machine", "--", "true")
    assert r.status == 125 and "no-such-machine" in r.err, r
    assert vz("exec", g).status == 2 and vz("exec", g, "--bad", "--", "true").status == 2
    assert vz("cp", "/etc/hostname", "/tmp/x").status == 2


def test_megabytes_go_in_and_come_out(vz, g):
    data = os.urandom(3 << 20)
    p = subprocess.run([VZ, "exec", g, "--", "cat"], input=data, stdout=subprocess.PIPE, timeout=600)
    assert p.returncode == 0 and p.stdout == data
    r = vz("exec", g, "--", "head", "-c", "5", "/dev/zero", stdin=b"x" * 1000000)
    assert r.status == 0 and len(r.out) == 5


def test_signals_are_passed_on(g):
    p = subprocess.Popen([VZ, "exec", g, "--", "sh", "-c", "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.1; done"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    p.send_signal(signal.SIGTERM)
    assert p.stdout.read() == "got\n" and p.wait() == 5


def test_a_killed_vz_takes_its_command_along(vz, g):
    p = subprocess.Popen([VZ, "exec", g, "--", "sleep", "7654"], stdin=subprocess.DEVNULL)
    while "sleep 7654" not in vz("exec", g, "--", "ps").out:
        time.sleep(0.1)
    p.kill()
    p.wait()
    deadline = time.monotonic() + 60
    while "sleep 7654" in vz("exec", g, "--", "ps").out:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_terminal(g):
    child = pexpect.spawn(VZ, ["exec", "-it", g, "--", "sh", "-c", "tty; stty size; echo $TERM; read x; echo got-$x; stty size"],
                          dimensions=(31, 99), timeout=120, env={**os.environ, "TERM": "vt100"})
    child.expect_exact("/dev/pts/")
    child.expect_exact("31 99")
    child.expect_exact("vt100")
    child.setwinsize(40, 100)
    time.sleep(1)
    child.sendline("line")
    child.expect_exact("got-line")
    child.expect_exact("40 100")
    child.expect(pexpect.EOF)
    assert child.wait() == 0


def test_a_shell(g):
    child = pexpect.spawn(VZ, ["shell", g], timeout=120)
    child.expect("# ")
    child.sendline("echo $((6*7))-$0")
    child.expect("42-")
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    assert child.wait() == 3


def test_copies(vz, g, tmp_path):
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_bytes(os.urandom(300000))
    (tree / "link").symlink_to("sub/file")
    os.chmod(tree / "sub" / "file", 0o640)
    r = vz("cp", tree, f"{g}:/mnt/new")
    assert (r.status, r.out, r.err) == (0, "", ""), r
    r = vz("exec", g, "--", "sh", "-c", "cd /mnt/new; stat -c %a sub/file; readlink link; cat link | wc -c")
    assert r.out == "640\nsub/file\n300000\n", r
    assert vz("cp", f"{g}:/mnt/new", tmp_path / "back").status == 0
    assert subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "back"]).returncode == 0
    assert vz("exec", g, "--", "sh", "-c", "echo hi >~/relative").status == 0
    assert vz("cp", f"{g}:relative", "relative", cwd=tmp_path).status == 0
    assert (tmp_path / "relative").read_text() == "hi\n"
    r = vz("cp", f"{g}:/no/such", tmp_path)
    assert r.status == 1 and "/no/such: No such file" in r.err, r
    (tmp_path / "big").write_bytes(b"x" * (40 << 20))
    r = vz("cp", tmp_path / "big", f"{g}:/mnt/")  # more than the disk has
    assert r.status == 1 and "/mnt/big: No space left" in r.err, r
    assert ".vz-" not in vz("exec", g, "--", "ls", "-a", "/mnt").out


def test_addresses(vz, g):
    assert vz("ip", g).out.splitlines()[0] == "10.0.2.15"
    assert {"interface": "eth0", "address": "10.0.2.15", "prefix": 24} in json.loads(vz("ip", g, "--json").out)


def test_what_is_not_there_is_said(vz, home):
    (home / "off.vz").mkdir()
    (home / "off.vz" / "config.json").write_bytes((home / "g.vz" / "config.json").read_bytes())
    for command in (["exec", "off", "--", "true"], ["shell", "off"]):
        r = vz(*command)
        assert r.status == 125 and "off: is not running" in r.err, r
    assert vz("wait", "off").status == 1
    assert vz("wait", "off", "--for", "stop").status == 0
    r = vz("wait", "g", "--for", "stop", "--timeout", "1s")
    assert r.status == 124, r


def test_a_paused_guest_is_no_place_to_work_and_its_clock_is_set_afterwards(vz, g):
    assert vz("pause", g).status == 0
    r = vz("exec", g, "--", "true")
    assert r.status == 125 and "is paused" in r.err, r
    time.sleep(6)
    r = vz("resume", g)
    assert (r.status, r.err) == (0, ""), r
    assert abs(int(vz("exec", g, "--", "date", "+%s").out) - time.time()) < 4


def test_the_clock_is_set_whoever_lets_the_guest_go_on(vz, g, home):
    """Other programs than ours resume it by the control socket: the machine's process sees to the clock itself."""
    c = Control(home / "g.vz")
    assert "result" in c.call("pause")
    time.sleep(6)
    assert "result" in c.call("resume")
    deadline = time.monotonic() + 60
    while abs(int(vz("exec", g, "--", "date", "+%s").out) - time.time()) > 4:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    c.close()


def test_ports_that_the_guest_opens(vz, g, home):
    """With --auto on, from the same port of 127.0.0.1, as long as its program listens; never below 1024."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    serve = f"echo $$ >/tmp/pid; exec nc -ll -p {port} -e echo hello"
    assert vz("exec", "-d", g, "--", "sh", "-c", serve).status == 0
    assert vz("exec", "-d", g, "--", "nc", "-ll", "-p", "23", "-e", "echo", "no").status == 0

    def automatic():
        return [f["hostPort"] for f in json.loads(vz("forward", g, "--json").out) if f["automatic"]]

    def wait(ports):
        deadline = time.monotonic() + 60
        while automatic() != ports:
            assert time.monotonic() < deadline, vz("forward", g)
            time.sleep(0.2)

    assert automatic() == []
    assert vz("forward", g, "--auto", "on").status == 0
    wait([port])
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(60)
        assert s.recv(100) == b"hello\n"
    assert f"tcp:127.0.0.1:{port}:{port}  (automatic)" in vz("forward", g).out
    assert vz("exec", g, "--", "sh", "-c", "kill $(cat /tmp/pid)").status == 0
    wait([])
    assert vz("exec", "-d", g, "--", "sh", "-c", serve).status == 0
    wait([port])
    assert vz("forward", g, "--auto", "off").status == 0
    assert automatic() == [] and not (home / "g.vz" / "auto-forward").exists()


def test_a_clone_becomes_a_machine_of_its_own(vz, g, home):
    """At its first start, and once: name, machine-id, and what goes with them."""
    clean = home / "first.vz"
    clean.mkdir()
    (clean / "config.json").write_bytes((home / "g.vz" / "config.json").read_bytes())
    with open(clean / "disk.img", "wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", clean / "disk.img"], check=True)
    assert vz("clone", "first", "my_twin").status == 0
    twin = home / "my_twin.vz"
    assert json.loads((twin / "identity.json").read_text()) == {"hostname": "my-twin", "all": True}
    assert not (clean / "identity.json").exists()
    assert vz("start", "my_twin").status == 0
    try:
        deadline = time.monotonic() + 120
        while (twin / "identity.json").exists():
            assert time.monotonic() < deadline, (twin / "console.log").read_text()
            time.sleep(0.1)
        r = vz("exec", "my_twin", "--", "sh", "-c", "hostname; cut -c 13 /etc/machine-id; wc -c </etc/machine-id")
        assert r.out.split() == ["my-twin", "4", "33"], r
    finally:
        vz("stop", "--now", "my_twin")
    # One that is thrown away has it for itself, and the next one too.
    assert vz("clone", "first", "other").status == 0
    r = vz("run", "--from", "other", "--ephemeral", "--", "sh", "-c",
           "n=0; until [ $(hostname) = other ] || [ $n = 300 ]; do n=$((n+1)); sleep 0.1; done; hostname")
    assert (r.status, r.out) == (0, "other\n") and (home / "other.vz" / "identity.json").exists(), r


def test_waiting_for_the_network_and_ssh(vz, g):
    assert vz("exec", g, "--", "ping", "-c", "1", "10.0.2.2").status == 0  # so that the NAT has seen it
    assert vz("wait", g, "--for", "network", "--timeout", "60s").status == 0
    r = vz("wait", g, "--for", "ssh", "--timeout", "1s")
    assert r.status == 124 and "not within that time" in r.err, r
    serve = "nc -ll -p 22 -e echo SSH-2.0-x"
    assert vz("exec", "-d", g, "--", "sh", "-c", serve).status == 0
    r = vz("wait", g, "--for", "ssh", "--timeout", "60s")
    assert r.status == 0, r
    assert [f["guestPort"] for f in json.loads(vz("forward", g, "--json").out)].count(22) == 1


def test_one_command_in_a_clean_machine(vz, g, home, tmp_path):
    """--from with --ephemeral, also while the machine is off; its disk is as it was."""
    clean = home / "clean.vz"
    clean.mkdir()
    config = json.loads((home / "g.vz" / "config.json").read_text())
    (clean / "config.json").write_text(json.dumps(config))
    with open(clean / "disk.img", "wb") as f:
        f.truncate(32 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", clean / "disk.img"], check=True)
    before = (clean / "disk.img").read_bytes()
    r = vz("run", "--from", "clean", "--ephemeral", "--", "sh", "-c", "cat; touch /mnt/x; ls /mnt; exit 9", stdin=b"input\n")
    assert r.status == 9 and r.out == "input\nlost+found\nx\n" and r.err == "", r
    assert (clean / "disk.img").read_bytes() == before
    r = vz("run", "--from", "clean", "--ephemeral", "--", "no-such-program")
    assert r.status == 127 and "no-such-program" in r.err, r
    # What is not ephemeral is kept, on a disk that was written out; this guest hears no power button.
    r = vz("run", "--from", "clean", "--stop", "2s", "--", "sh", "-c", "echo kept >/mnt/kept; kill -USR1 $$")
    assert r.status == 138, r
    r = vz("run", "--from", "clean", "--ephemeral", "--", "cat", "/mnt/kept")
    assert (r.status, r.out) == (0, "kept\n"), r


def test_a_guest_without_an_agent_ends_by_the_time_limit(vz, kernels, initramfs):
    r = vz("run", "--kernel", kernels["cloud"], "--initrd", initramfs("sleep 10000\n"), "--timeout", "20s", "--", "true")
    assert r.status == 124, r


MANY = 20


def test_many_machines_at_once(vz, g, home):
    """Copies of a saved one: all are started, listed, worked in and stopped at the same time."""
    assert vz("save", g).status == 0
    names = [f"many{i}" for i in range(MANY)]
    try:
        for name in names:
            subprocess.run(["cp", "-a", "--sparse=always", home / "g.vz", home / f"{name}.vz"], check=True)
        assert vz("start", g, *names).status == 0
        rows = {r["name"]: r for r in json.loads(vz("list", "--json").out)}
        assert all(rows[n]["state"] == "running" for n in names)
        running = [subprocess.Popen([VZ, "exec", n, "--", "sh", "-c", f"echo {n} >/tmp/mine; sleep 1; cat /tmp/mine"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for n in names]
        assert [p.communicate(timeout=300)[0] for p in running] == [f"{n}\n" for n in names]
        assert vz("stop", "--now", *names).status == 0
        rows = {r["name"]: r for r in json.loads(vz("list", "--json").out)}
        assert all(rows[n]["state"] == "stopped" for n in names) and rows[g]["state"] == "running"
    finally:
        vz("delete", "--force", *names)


@pytest.mark.skipif(not os.path.exists("/usr/bin/cc"), reason="no compiler")
def test_the_clock_freezing_and_identity(vz, g, home, tmp_path):
    """By the library: what has no command of its own yet."""
    run = agent_program(tmp_path)
    assert vz("exec", g, "--", "date", "-s", "2001-01-01").status == 0
    assert run(home, "clock").startswith("ok")
    assert abs(int(vz("exec", g, "--", "date", "+%s").out) - time.time()) < 3
    # While it is frozen nobody writes; afterwards it goes on.
    out = run(home, "freeze")
    assert "frozen 1\nwritten 0\nthawed\n" in out, out
    assert vz("exec", g, "--", "cat", "/mnt/frozen").out == "x\n"
    out = run(home, "expire")
    assert "frozen 1\n" in out and "the time was over" in out, out
    # The host is gone: the guest goes on at once, long before the time is over.
    assert "frozen 1\n" in run(home, "abandon")
    assert vz("exec", g, "--", "sh", "-c", "echo y >/mnt/after; sync", timeout=60).status == 0
    assert run(home, "identity").startswith("ok")
    r = vz("exec", g, "--", "sh", "-c", "hostname; cat /etc/hostname; cut -c 13 /etc/machine-id")
    assert r.out == "new-name\nnew-name\n4\n", r


def agent_program(folder):
    (folder / "p.c").write_text(PROGRAM)
    subprocess.run(["cc", "-o", folder / "p", folder / "p.c", f"-I{os.path.dirname(__file__)}/../../include",
                    f"-L{BUILD}/src", "-lvz", f"-Wl,-rpath,{BUILD}/src"], check=True)

    def run(home, what):
        c = Control(home / "g.vz")
        assert "result" in c.call("connect", port=30330)
        fd = c.fds.pop()
        r = subprocess.run([folder / "p", str(fd), what], pass_fds=[fd], stdout=subprocess.PIPE, text=True, timeout=300)
        os.close(fd)
        c.close()
        return r.stdout

    return run


PROGRAM = r"""
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vz/vz.h>

int main(int argc, char **argv)
{
    static const char *const write_it[] = {"sh", "-c", "echo x >/mnt/frozen; echo done", NULL};
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    struct vz_agent_identity_options id = VZ_AGENT_IDENTITY_OPTIONS_INIT;
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct vz_agent_process *p;
    struct vz_error err = {.text = "ok"};
    struct vz_agent *a = vz_agent_new(atoi(argv[1]), NULL, &err);
    struct pollfd done = {.events = POLLIN};
    unsigned count = 0;
    int ends[2];

    if (!a || pipe(ends))
        return puts(err.text), 1;
    setvbuf(stdout, NULL, _IONBF, 0);
    done.fd = ends[0];
    o.argv = write_it;
    o.output_fd = ends[1];
    id.hostname = "new-name";
    id.network = false;
    if (!strcmp(argv[2], "clock")) {
        vz_agent_set_clock(a, &err);
    } else if (!strcmp(argv[2], "identity")) {
        vz_agent_new_identity(a, &id, &err);
    } else {
        if (vz_agent_freeze(a, *argv[2] == 'e' ? 500 : 60000, &count, &err) < 0)
            return puts(err.text), 1;
        printf("frozen %u\n", count);
        if (*argv[2] == 'a')
            _exit(0);
        if (*argv[2] == 'e')
            sleep(2);
        p = *argv[2] == 'f' ? vz_agent_exec(a, &o, &err) : NULL;
        sleep(1);
        if (p)
            printf("written %d\n", poll(&done, 1, 0));
        if (vz_agent_thaw(a, &err) == 0)
            puts("thawed");
        if (p && vz_agent_process_wait(p, &e, &err) < 0)
            puts(err.text);
        vz_agent_process_free(p);
    }
    puts(err.text);
    vz_agent_free(a);
    return 0;
}
"""
