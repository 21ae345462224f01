# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: where things are, and running vz."""
import importlib.machinery
import importlib.util
import os
import resource
import struct
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("VZ_BUILD", f"{ROOT}/build")
VZ = os.environ.get("VZ", f"{BUILD}/vz")
SLOWER = 10 if os.environ.get("VZ_SANITIZER") else 1
# For a guest's kernel: a CPU that does not run because the host is busy is not one that hangs.
PATIENT = "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300"
LONG = int(os.environ.get("VZ_LONG", "1"))  # how many times as much some tests do: hundreds for a soak
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # some programs are meant to die of signals


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"exit status {self.status}\nstdout: {self.out[-3000:]}\nstderr: {self.err[-3000:]}"


def script(name):
    """scripts/NAME, as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), f"{ROOT}/scripts/{name}")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def vz():
    """vz(ARG..., stdin=b"", timeout=300) runs vz to its end."""

    def run(*args, stdin=b"", timeout=300, stdout=subprocess.PIPE, **more):
        p = subprocess.run([VZ, *map(str, args)], input=stdin, stdout=stdout,
                           stderr=subprocess.PIPE, timeout=timeout * SLOWER, **more)
        return Result(p.returncode, (p.stdout or b"").decode(errors="replace"),
                      p.stderr.decode(errors="replace"))

    return run


@pytest.fixture
def tiny_kernel(tmp_path):
    """tiny_kernel(CODE) is an ELF64 kernel of a few instructions."""

    def make(code):
        at = 0x200000
        header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, at, 64, 0, 0,
                             64, 56, 1, 0, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 120, at, at, len(code), len(code), 1)
        path = tmp_path / "kernel"
        path.write_bytes(header + segment + code)
        return path

    return make


@pytest.fixture(scope="session")
def kernels():
    return {name: f"{ROOT}/cache/kernel-{name}/vmlinuz" for name in ("cloud", "amd64", "newer")}


@pytest.fixture(scope="session")
def package():
    """package(NAME) is a folder with the files of that Debian package, which is not installed; where it cannot be had
    the test is skipped."""

    def fetch(name):
        r = subprocess.run([f"{ROOT}/scripts/fetch-kernel", f"package:{name}"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=600)
        if r.returncode:
            pytest.skip(f"the package {name} cannot be had here")
        return f"{ROOT}/cache/package-{name}"

    return fetch


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory):
    """initramfs(SCRIPT, (FILE, PATH)...) makes one whose /init is the shell script."""
    folder = tmp_path_factory.mktemp("initramfs")
    count = 0

    def make(script, *files):
        nonlocal count
        count += 1
        init, out = folder / f"init{count}", folder / f"{count}.cpio"
        init.write_text("#!/bin/sh\nmount -t proc proc /proc\nmount -t sysfs sys /sys\n"
                        "mount -t devtmpfs dev /dev 2>/dev/null\nexport PATH=/bin\n" + script)
        adds = [a for f, p in files for a in ("--add", f"{f}:{p}")]
        subprocess.run([f"{ROOT}/scripts/make-initramfs", out, "--init", init, *adds], check=True)
        return out

    return make
