# SPDX-License-Identifier: MIT
"""Sockets of another process, for tests that break its connections, or stop them up (pidfd_getfd(), Linux 5.6)."""
import ctypes
import os
import socket

SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438  # of all architectures


def sockets(pid):
    """Duplicates of those that this process may have, each until the next one is asked for; none where it may not."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        names = []
    for name in names:
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
        if fd < 0:
            continue
        try:
            s = socket.socket(fileno=fd)
        except OSError:  # it is none
            os.close(fd)
            continue
        with s:
            yield s
    os.close(pidfd)
