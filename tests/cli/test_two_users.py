# SPDX-License-Identifier: MIT
"""A second user of the host gains nothing by another's machine: two real users, which only root can be in turn."""
import os
import socket
import stat
import subprocess
import tempfile

import pytest

from conftest import VZ

OWNER, OTHER = 54101, 54102  # nobody has these numbers
HALT = b"\xfa\xf4\xeb\xfd"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")


def run(user, *args, env=None, **more):
    return subprocess.run([str(a) for a in args], user=user, group=user, extra_groups=[], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **(env or {})}, **more)


def reachable(path):
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        path = os.path.dirname(path)
    return True


@pytest.fixture
def machine(tiny_kernel):
    """A running machine of OWNER's in a folder that all may come to, and OWNER's environment."""
    if not reachable(os.path.realpath(VZ)):
        pytest.skip("other users cannot reach the program that is tested")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        home = f"{place}/home"
        os.mkdir(home, 0o755)
        os.chown(home, OWNER, OWNER)
        env = {"VZ_HOME": home, "HOME": home, "XDG_DATA_HOME": home}
        kernel = f"{place}/kernel"
        os.rename(tiny_kernel(HALT), kernel)
        os.chmod(kernel, 0o644)
        folder = f"{home}/m.vz"
        assert run(OWNER, "mkdir", folder).returncode == 0
        config = run(OWNER, VZ, "run", "--kernel", kernel, "--accel", "soft", "--memory", "16M", "--print-config", env=env)
        assert config.returncode == 0, config
        with open(f"{folder}/config.json", "w") as f:
            f.write(config.stdout)
        os.chown(f"{folder}/config.json", OWNER, OWNER)
        r = run(OWNER, VZ, "start", "m", env=env)
        assert r.returncode == 0, r
        yield folder, env
        run(OWNER, VZ, "stop", "--now", "m", env=env)


def try_as_other(fn):
    """What fn raises, as OTHER, in a process of its own; None: nothing."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(OTHER)
        os.setuid(OTHER)
        try:
            fn()
            os.write(w, b"done")
        except OSError as e:
            os.write(w, os.strerror(e.errno).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        said = f.read().decode()
    os.waitpid(pid, 0)
    return None if said == "done" else said


def test_commands_of_another_user_are_refused(machine):
    folder, env = machine
    for command in ("stop", "pause", "save", "set", "delete", "console"):
        r = run(OTHER, VZ, command, folder, env={**env, "HOME": "/nonexistent"})
        assert r.returncode != 0, (command, r)
    assert run(OWNER, VZ, "inspect", "m", env=env).returncode == 0
    assert '"state": "running"' in run(OWNER, VZ, "inspect", "m", env=env).stdout


def test_the_socket_is_the_owners(machine):
    folder, _ = machine

    def connect():
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{folder}/control.sock")

    assert stat.S_IMODE(os.stat(f"{folder}/control.sock").st_mode) == 0o600
    assert try_as_other(connect) == "Permission denied"
    # Also where somebody has opened the way: who is not the user is not heard.
    os.chmod(f"{folder}/control.sock", 0o666)

    def ask():
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{folder}/control.sock")
        s.settimeout(60)
        s.sendall(b'{"id": 1, "method": "stop", "params": {"now": true}}\n')
        if s.recv(4096):
            return
        raise ConnectionResetError(104, "")

    assert try_as_other(ask) in ("Connection reset by peer", "Broken pipe")


def test_what_the_machine_writes_is_the_owners(machine):
    folder, _ = machine
    for name in os.listdir(folder):
        st = os.lstat(f"{folder}/{name}")
        assert st.st_uid == OWNER and not st.st_mode & (stat.S_IWOTH | stat.S_IWGRP), name
        if name in ("vz.log", "console.log"):
            assert not st.st_mode & stat.S_IROTH, name
    assert try_as_other(lambda: os.open(f"{folder}/vz.log", os.O_RDONLY)) == "Permission denied"
    assert try_as_other(lambda: os.open(f"{folder}/new", os.O_CREAT | os.O_WRONLY)) == "Permission denied"


def test_its_process_is_not_anothers(machine):
    folder, _ = machine
    pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and os.path.exists(f"/proc/{p}/cwd") and
               os.readlink(f"/proc/{p}/cwd") == os.path.realpath(folder))
    assert try_as_other(lambda: os.kill(pid, 9)) == "Operation not permitted"
    assert try_as_other(lambda: os.open(f"/proc/{pid}/mem", os.O_RDONLY)) == "Permission denied"


def start_planted(place, kernel, mode, owner):
    """`vz start` by OWNER of a folder in a place where everybody may make some."""
    folder = f"{place}/planted.vz"
    os.mkdir(folder)
    config = run(OWNER, VZ, "run", "--kernel", kernel, "--accel", "soft", "--memory", "16M", "--print-config")
    with open(f"{folder}/config.json", "w") as f:
        f.write(config.stdout)
    for path in (f"{folder}/config.json", folder):
        os.chown(path, owner, owner)
    os.chmod(folder, mode)
    env = {"VZ_HOME": place, "HOME": place, "XDG_DATA_HOME": place}
    r = run(OWNER, VZ, "start", "planted", env=env)
    if r.returncode == 0:
        run(OWNER, VZ, "stop", "--now", "planted", env=env)
    return r


@pytest.mark.parametrize("mode, owner, says", [(0o755, OTHER, "belongs to another user"), (0o777, OWNER, "everybody may write")])
def test_a_machine_that_another_could_have_planted_is_not_run(machine, tiny_kernel, mode, owner, says):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o1777)
        kernel = f"{place}/kernel"
        os.rename(tiny_kernel(HALT), kernel)
        os.chmod(kernel, 0o644)
        r = start_planted(place, kernel, mode, owner)
        assert r.returncode != 0 and says in r.stderr, r


def test_links_are_not_followed(machine, tmp_path):
    """Where the log and the socket were, somebody has put links to what the owner may write."""
    folder, env = machine
    assert run(OWNER, VZ, "stop", "--now", "m", env=env).returncode == 0
    precious = f"{os.path.dirname(folder)}/precious"
    with open(precious, "w") as f:
        f.write("precious")
    os.chown(precious, OWNER, OWNER)
    for name in ("vz.log", "control.sock", "console.log", "lock"):
        path = f"{folder}/{name}"
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(precious, path)
    run(OWNER, VZ, "start", "m", env=env)
    run(OWNER, VZ, "stop", "--now", "m", env=env)
    with open(precious) as f:
        assert f.read() == "precious"
    assert stat.S_ISREG(os.lstat(precious).st_mode)
