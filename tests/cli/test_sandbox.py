# SPDX-License-Identifier: MIT
"""--sandbox: what a machine's threads give up, seen from outside."""
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import ROOT, SLOWER, VZ

SPIN = b"\xeb\xfe"  # jmp .
ADD_ONE = b"\xb8\x2a\x00\x00\x00\xe7\xf4\xf4"  # mov eax, 42; out 0xf4, eax; hlt

WITHOUT_SANITIZER = pytest.mark.skipif("VZ_SANITIZER" in os.environ, reason="sanitizers trace their process, which a sandbox "
                                       "refuses: it is off by default in such builds")


def threads(pid):
    """{name: {field: value}} of /proc/PID/task/*/status."""
    out = subprocess.run(["sh", "-c", f"cat /proc/{pid}/task/*/status"], capture_output=True, text=True, check=False).stdout
    return {re.search(r"Name:\t(.*)", part)[1]: dict(re.findall(r"(\w+):\t(.*)", part))
            for part in out.split("Name:")[1:] for part in ["Name:" + part]}


@pytest.fixture
def running(tiny_kernel, tmp_path):
    """running(ARG...): a machine that runs for ever, and its threads once its CPU does."""
    began = []

    def run(*args):
        p = subprocess.Popen([VZ, "run", "--kernel", str(tiny_kernel(SPIN)), "--accel", "soft", "--memory", "64M", *args],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        began.append(p)
        for _ in range(600):
            found = threads(p.pid)
            if found.get("vz-cpu0", {}).get("Seccomp") in ("0", "2") and "vz-loop" in found and \
                    ("on" not in args or found["vz-cpu0"]["Seccomp_filters"] == "2"):
                return p, found
            assert p.poll() is None
            time.sleep(0.1)
        raise AssertionError(f"it does not run: {found}")

    yield run
    for p in began:
        p.kill()
        p.wait()


def test_each_thread_is_locked(running, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    _, found = running("--sandbox", "on", "--disk", str(disk), "--net", "nat")
    ours = {name: t for name, t in found.items() if name.startswith("vz-")}
    assert {"vz-loop", "vz-cpu0"} <= set(ours)  # a disk's own begin with what it has to do
    for name, thread in ours.items():
        assert thread["Seccomp"] == "2", name
        assert thread["NoNewPrivs"] == "1", name
        assert int(thread["CapEff"], 16) == int(thread["CapPrm"], 16) == 0, name


@WITHOUT_SANITIZER
def test_it_is_on_by_default_also_for_the_programs_own_threads(running):
    p, _ = running("--debug-exit")
    deadline = time.monotonic() + 60
    while {t["Seccomp"] for t in threads(p.pid).values()} != {"2"}:
        assert time.monotonic() < deadline, threads(p.pid)
        time.sleep(0.1)
    for name, thread in threads(p.pid).items():
        assert thread["NoNewPrivs"] == "1", name


@WITHOUT_SANITIZER
def test_a_machine_that_is_started_has_it(vz, tiny_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("VZ_HOME", str(tmp_path))
    monkeypatch.delenv("VZ_SANDBOX", raising=False)
    folder = tmp_path / "m.vz"
    folder.mkdir()
    r = vz("run", "--kernel", tiny_kernel(SPIN), "--accel", "soft", "--memory", "64M", "--vsock", "--print-config")
    (folder / "config.json").write_text(r.out)
    assert vz("start", "m").status == 0
    try:
        pid = json.loads(vz("inspect", "m", "--json").out)["pid"]
        found = threads(pid)
        assert "vz-loop" in found and "vz-cpu0" in found
        assert {t["Seccomp"] for t in found.values()} == {"2"}, found
        core = subprocess.run(["cat", f"/proc/{pid}/limits"], capture_output=True, text=True, check=True).stdout
        assert re.search(r"Max core file size\s+0\s+0", core), core
        assert json.loads(vz("inspect", "m", "--json").out)["residentBytes"] > 1 << 20
    finally:
        vz("stop", "--now", "m")


def users(found):
    """{thread: its user}; real, effective and saved ones are one."""
    uids = {name: set(t["Uid"].split()[:3]) for name, t in found.items()}
    assert all(len(u) == 1 for u in uids.values()), uids
    return {name: int(u.pop()) for name, u in uids.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_threads_of_roots_machine_are_nobodys(running, tmp_path):
    """But those that use files and sockets by name; with a disk that only root may open."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o600)
    first, found = running("--sandbox", "on", "--disk", str(disk), "--net", "nat")
    first.kill()
    first.wait()
    whose = users(found)
    own = whose["vz-cpu0"]
    assert own >= 1 << 30 and whose["vz-loop"] == own, whose
    assert not found["vz-cpu0"]["Groups"].strip() and not found["vz-loop"]["Groups"].strip()
    _, found = running("--sandbox", "on", "--disk", str(disk), "--vsock")
    whose = users(found)
    assert whose["vz-cpu0"] == whose["vz-loop"] not in (0, own), whose
    files = {name: int(t["Uid"].split()[3]) for name, t in found.items()}
    assert files["vz-loop"] == 0, files


def statuses():
    """{pid: {field: value}} of all processes."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                found[int(pid)] = dict(re.findall(r"(\w+):\t(.*)", f.read()))
        except OSError:
            pass
    return found


def children(pid):
    return {p: s for p, s in statuses().items() if int(s["PPid"]) == pid}


def nat_processes(pid):
    """Who reads resolv.conf, and who has the network: (pid, status) of each."""
    (reader,) = [(p, s) for p, s in children(pid).items() if s["Name"] == "vz-nat"]
    (worker,) = children(reader[0]).items()
    return reader, worker


def sockets(pid):
    links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    return {m[1] for link in links if (m := re.match(r"socket:\[(\d+)\]", link))}


def network_sockets():
    """Inodes of those of all network protocols."""
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "icmp", "icmp6", "raw", "raw6"):
        if os.path.exists(f"/proc/net/{name}"):
            with open(f"/proc/net/{name}", encoding="utf-8") as f:
                found |= {line.split()[9] for line in f.readlines()[1:]}
    return found


@WITHOUT_SANITIZER
def test_nat_is_in_a_process_of_its_own(running, vz):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p, _ = running("--sandbox", "on", "--net", "nat", "--forward", f"tcp:127.0.0.1:{port}:22")
    reader, worker = nat_processes(p.pid)
    for _, status in (reader, worker):
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
        assert int(status["CapPrm"], 16) & ~(1 << 10) == 0, status  # ports below 1024
        assert int(status["VmRSS"].split()[0]) < 32 << 10, status
        if os.geteuid() == 0:
            assert int(status["Uid"].split()[0]) >= 1 << 30, status
    assert int(reader[1]["CapPrm"], 16) == 0
    if os.geteuid() == 0:
        assert not sockets(p.pid) & network_sockets()
        assert sockets(worker[0]) & network_sockets()
        codes = [f["code"] for f in json.loads(vz("doctor", "--json").out)["findings"]]
        assert ("namespaces" in codes) == (os.listdir(f"/proc/{worker[0]}/root") == []), codes
    p.kill()
    p.wait()
    deadline = time.monotonic() + 20
    while {reader[0], worker[0]} & set(statuses()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path):
    """The address of an NBD server."""
    if not shutil.which("nbdkit"):
        pytest.skip("there is no nbdkit")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen(["nbdkit", "-f", "-p", str(port), "memory", "1M"])
    deadline = time.monotonic() + 60
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield f"nbd://127.0.0.1:{port}/"
    p.kill()
    p.wait()


@WITHOUT_SANITIZER
def test_nbd_servers_are_connected_to_by_a_process_of_its_own(running, server, vz):
    p, found = running("--sandbox", "on", "--disk", server)
    ((pid, status),) = children(p.pid).items()
    assert status["Name"] == "vz-nbd" and status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
    assert int(status["CapPrm"], 16) == 0 and int(status["VmRSS"].split()[0]) < 32 << 10, status
    if os.geteuid() == 0:
        assert int(status["Uid"].split()[1]) >= 1 << 30, status
        # Sockets of the network that the machine has are connected: it can make none.
        assert 1 <= len(sockets(p.pid) & network_sockets()) <= 4 and not sockets(pid) & network_sockets()
        if "namespaces" in [f["code"] for f in json.loads(vz("doctor", "--json").out)["findings"]]:
            assert namespaces(p.pid)["vz-cpu0"]["net"] != namespaces(os.getpid()).popitem()[1]["net"]
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    assert p.poll() is None and "vz-cpu0" in threads(p.pid) and "vz-loop" in found


def offspring(pid):
    return {p for c in children(pid) for p in {c} | offspring(c)}


def watch(pid):
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1  # a stub that has come and gone


@pytest.mark.parametrize("jit", ["on", "direct=always"])
def test_an_abrupt_end_leaves_nothing(running, server, jit):
    """Within two seconds, of a busy host: the kernel tells them, and their sockets do."""
    p, _ = running("--sandbox", "on", "--net", "nat", "--disk", server, "--jit", jit)
    watched = [fd for pid in offspring(p.pid) if (fd := watch(pid)) >= 0]
    assert len(watched) >= 3
    p.kill()
    began = time.monotonic()
    p.wait()
    for fd in watched:
        assert select.select([fd], [], [], 20)[0], "it is still there"
        os.close(fd)
    took = time.monotonic() - began
    assert took < 2 * SLOWER, f"{took} s"


def namespaces(pid):
    """{thread: {kind: which}}."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as f:
            name = f.read().strip()
        found[name] = {kind: os.readlink(f"/proc/{pid}/task/{tid}/ns/{kind}")
                       for kind in ("mnt", "net", "ipc", "uts", "cgroup")}
        found[name]["files"] = os.listdir(f"/proc/{pid}/task/{tid}/root")
    return found


@WITHOUT_SANITIZER
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's threads can take namespaces by themselves")
def test_threads_of_roots_machine_have_namespaces_of_their_own(running, vz):
    if "namespaces" not in [f["code"] for f in json.loads(vz("doctor", "--json").out)["findings"]]:
        pytest.skip("this host gives none")
    p, _ = running("--sandbox", "on", "--net", "nat")
    seen = namespaces(p.pid)
    assert seen["vz-loop"] == seen["vz-cpu0"]
    assert all(seen["vz-loop"][kind] != which for kind, which in namespaces(os.getpid()).popitem()[1].items()), seen
    assert seen["vz-cpu0"]["files"] == []
    p, _ = running("--sandbox", "on", "--vsock")  # whose connections go on to sockets by name
    seen, host = namespaces(p.pid), namespaces(os.getpid()).popitem()[1]
    assert seen["vz-loop"]["mnt"] == host["mnt"] and seen["vz-loop"]["ipc"] != host["ipc"], seen


def test_without_nat_there_is_no_such_process(running):
    p, _ = running("--sandbox", "on")
    assert "vz-nat" not in {s["Name"] for s in children(p.pid).values()}


def test_a_machine_outlives_its_network(running):
    p, _ = running("--sandbox", "on", "--net", "nat")
    _, worker = nat_processes(p.pid)
    os.kill(worker[0], 9)
    time.sleep(1)
    assert p.poll() is None and "vz-cpu0" in threads(p.pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_root_saves_in_the_folder_of_a_user(running, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    p, _ = running("--sandbox", "on", "--save", str(folder / "state"))
    p.terminate()
    assert p.wait(timeout=60) == -signal.SIGTERM and (folder / "state").stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_whose_they_are_can_be_said(running, vz, tiny_kernel):
    nobody = pwd.getpwnam("nobody")
    _, found = running("--sandbox", "on", "--run-as", "nobody")
    assert users(found)["vz-cpu0"] == users(found)["vz-loop"] == nobody.pw_uid
    assert set(found["vz-cpu0"]["Gid"].split()) == {str(nobody.pw_gid)}
    _, found = running("--sandbox", "on", "--run-as", "root")
    assert set(users(found).values()) == {0}
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--run-as", "no such user")
    assert r.status == 2 and "there is no user" in r.err, r


def test_only_root_can_be_somebody_else(vz, tiny_kernel):
    if os.geteuid() == 0:
        pytest.skip("this is root")
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--run-as", "nobody")
    assert r.status == 2 and "only root" in r.err, r


def test_off_is_off(running):
    _, found = running("--sandbox", "off")
    assert all(t["Seccomp"] == "0" and t["NoNewPrivs"] == "0" for t in found.values())


@pytest.mark.parametrize("mode", ["on", "off", "log"])
def test_a_machine_runs_to_its_end(vz, tiny_kernel, mode):
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--accel", "soft", "--debug-exit", "--sandbox", mode)
    assert (r.status, r.err) == (85, ""), r


@pytest.mark.skipif(not shutil.which("nbdkit"), reason="there is no nbdkit")
def test_what_tls_with_a_server_needs_is_read(vz, tiny_kernel, tmp_path):
    key = tmp_path / "keys.psk"
    key.write_text("alice:" + "5a" * 32 + "\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen(["nbdkit", "-f", "-p", str(port), "--tls=require", f"--tls-psk={key}", "memory", "1M"])
    try:
        uri = f"nbds://alice@localhost:{port}/?tls-psk-file={key}"
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--accel", "soft", "--debug-exit", "--sandbox", "on", "--disk", uri)
        assert (r.status, r.err) == (85, ""), r
    finally:
        p.kill()
        p.wait()


@WITHOUT_SANITIZER
@pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into a process that is not dumpable")
def test_calls_that_are_made_are_counted(tiny_kernel):
    """scripts/sandbox-calls: no thread makes others than it may, which strace sees on its own."""
    r = subprocess.run([f"{ROOT}/scripts/sandbox-calls", "--build", os.path.dirname(VZ), "sh", "-c",
                        f"$VZ_BUILD/vz run --kernel {tiny_kernel(ADD_ONE)} --accel soft --debug-exit --net nat; test $? = 85"],
                       capture_output=True, text=True, timeout=300, check=False)
    counted = dict(re.findall(r"(\w+): (\d+) of \d+ made", r.stdout))
    assert r.returncode == 0 and {"loop", "cpu", "nat"} <= set(counted) and int(counted["loop"]) > 5, r


def test_documents_say_how_many_calls_there_are():
    """docs/security.md: its row of vz, kind by kind, is what the table has."""
    names = {"NAT": "nat", "its reader": "names", "NBD": "nbd", "VNC": "vnc", "disk": "disk", "share": "share", "stubs": "stubs",
             "save": "save", "USB": "usb", "sound": "sound", "agents": "talk", "viewers": "view",
             "who hands out displays to VNC": "serve", "watchers": "watch", "control": "control"}
    out = subprocess.run([f"{ROOT}/scripts/sandbox-calls", "--sizes"], capture_output=True, text=True, timeout=300, check=True).stdout
    has = {kind: (int(some), int(always)) for kind, some, always in map(str.split, out.splitlines())}
    with open(f"{ROOT}/docs/security.md", encoding="utf-8") as f:
        cpu, loop, others = re.search(r"^\| vz \| (.*?) \| (.*?) \| (.*?) \|$", f.read(), re.M).groups()
    said = {names[name]: int(n) for name, n in re.findall(r"([A-Za-z ]+?) (\d+)(?:[,;]|$) ?", others)}
    said["cpu"], said["loop"] = int(cpu.split(",")[0]), int(loop.split(",")[0])
    assert said == {kind: some for kind, (some, _) in has.items()}
    assert int(re.search(r"(\d+) whatever", loop)[1]) == has["loop"][1], loop


def test_what_it_is_not(vz, tiny_kernel):
    r = vz("run", "--kernel", tiny_kernel(ADD_ONE), "--sandbox", "maybe")
    assert r.status == 2 and "expected on, off or log" in r.err, r
