# SPDX-License-Identifier: MIT
"""The terminal's modes come back however vz ends."""
import os
import pty
import signal
import subprocess
import termios
import time

import pytest

from conftest import VZ

LIMIT_S = 300


@pytest.fixture
def raw_vz(kernels):
    """vz on a pseudo-terminal, once in raw mode: (process, our end, its end, modes before)"""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--cmdline", "console=ttyS0"],
                         stdin=slave, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT_S
    try:
        while termios.tcgetattr(slave)[3] & termios.ICANON:
            assert time.monotonic() < deadline, "expected raw mode, saw none"
            assert p.poll() is None, f"expected a running machine, saw exit status {p.returncode}"
            time.sleep(0.01)
        yield p, master, slave, before
    finally:
        p.kill()
        p.wait()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT,
                                 signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS])
def test_signals_restore_the_terminal(raw_vz, sig):
    p, _, slave, before = raw_vz
    p.send_signal(sig)
    assert p.wait(LIMIT_S) == -sig
    assert termios.tcgetattr(slave) == before


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_sockets_go_with_the_machine(kernels, tmp_path, sig):
    line, port = tmp_path / "line", tmp_path / "port"
    args = [VZ, "run", "--kernel", kernels["cloud"], "--serial", f"unix:{line}",
            "--vsock", f"connect=1:unix:{port}"]
    for _ in range(2):  # what SIGKILL leaves is not in the way
        with subprocess.Popen(args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as p:
            try:
                p.stderr.readline()  # where the serial port is: it runs
                assert line.exists() and port.exists()
                p.send_signal(sig)
                assert p.wait(LIMIT_S) == -sig
            finally:
                p.kill()
        assert line.exists() == port.exists() == (sig == signal.SIGKILL)


def test_ctrl_a_x_leaves_and_restores(raw_vz):
    p, master, slave, before = raw_vz
    time.sleep(0.5)
    os.write(master, b"\x01x")
    assert p.wait(LIMIT_S) == 0
    assert termios.tcgetattr(slave) == before


def test_no_raw_mode_when_the_console_is_elsewhere(kernels):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([VZ, "run", "--kernel", kernels["cloud"], "--serial", "null"],
                         stdin=slave, stdout=slave, stderr=slave)
    try:
        time.sleep(1)
        assert termios.tcgetattr(slave) == before
        p.send_signal(signal.SIGINT)
        assert p.wait(LIMIT_S) == -signal.SIGINT
    finally:
        p.kill()
        p.wait()
        os.close(master)
        os.close(slave)
