# SPDX-License-Identifier: MIT
"""Machines as folders, for tests: a home of their own, and a client of the control socket."""
import array
import json
import os
import socket
import subprocess

import pytest

from conftest import VZ

HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; and again


class Control:
    """A connection to a machine's control socket, in Python."""

    def __init__(self, folder):
        here = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"/proc/self/fd/{here}/control.sock")
        self.socket.settimeout(60)
        os.close(here)
        self.data, self.fds, self.id = b"", [], 0

    def send(self, line, fds=()):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"], extra)

    def line(self):
        """The next object; None at the end."""
        while b"\n" not in self.data:
            data, extra, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(16))
            for level, kind, body in extra:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    a = array.array("i")
                    a.frombytes(body[:len(body) - len(body) % a.itemsize])
                    self.fds += a
            if not data:
                return None
            self.data += data
        line, self.data = self.data.split(b"\n", 1)
        return json.loads(line)

    def call(self, method, **params):
        self.id += 1
        self.send({"id": self.id, "method": method, "params": params})
        while (answer := self.line()) is not None:
            if answer.get("id") == self.id:
                return answer
        return None

    def close(self):
        self.socket.close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("VZ_HOME", str(home))
    yield home
    for name in subprocess.run([VZ, "list", "--names"], stdout=subprocess.PIPE).stdout.decode().split():
        subprocess.run([VZ, "stop", "--now", name])


@pytest.fixture
def machine(home, vz, tiny_kernel):
    """machine(NAME, OPTION...) makes a folder with a machine that halts for ever."""

    def make(name, *options, code=HALT, folder=None):
        folder = folder or home / f"{name}.vz"
        folder.mkdir(parents=True)
        tiny_kernel(code).rename(folder / "kernel")
        config = vz("run", "--kernel", "kernel", "--memory", "16M", "--print-config", *options,
                    cwd=folder)
        assert config.status == 0, config
        (folder / "config.json").write_text(config.out)
        return folder

    return make


def make_folder(folder, *options):
    """A machine in a folder, as vz run has it with these options; what they name may be in the folder."""
    folder.mkdir()
    config = subprocess.run([VZ, "run", "--print-config", *options], cwd=folder, check=True, stdout=subprocess.PIPE)
    (folder / "config.json").write_bytes(config.stdout)


def boot(folder):
    """Start that machine, and wait for its guest."""
    subprocess.run([VZ, "start", folder], check=True)
    r = subprocess.run([VZ, "wait", folder, "--for", "boot", "--timeout", "10m"], stderr=subprocess.PIPE)
    assert r.returncode == 0, (r.stderr, (folder / "console.log").read_text())


def info(vz, name):
    r = vz("inspect", name)
    assert r.status == 0, r
    return json.loads(r.out)


def descriptors(pid):
    """How many are open; 0 for all but root, who alone can look into a process that is not dumpable."""
    return len(os.listdir(f"/proc/{pid}/fd")) if os.geteuid() == 0 else 0
