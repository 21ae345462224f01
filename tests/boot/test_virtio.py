# SPDX-License-Identifier: MIT
"""Linux's drivers on the devices that exchange data with programs: entropy, console ports, sockets,
and the balloon. tests/virtio has both sides."""
import subprocess

import pytest

import guest_drivers

from conftest import BUILD, ROOT, SLOWER

LIMIT_S = 900  # only against hanging
HERE = f"{ROOT}/tests/virtio"
DRIVERS = (*guest_drivers.VIRTIO, "virtio-rng", "virtio_console", "virtio_balloon",
           *guest_drivers.SOCKETS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pairs of file and path in the guest, for initramfs()."""
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS, "lib"),
            guest_drivers.program(folder, "tests/virtio/vsocktool.c")] + [
        (f"{HERE}/{name}", name) for name in ("test-balloon", "test-console", "test-vsock")]


def test_ports_sockets_and_the_balloon(kernels, initramfs, files, tmp_path):
    with open(f"{HERE}/init") as f:
        initrd = initramfs(f.read(), *files)
    p = subprocess.run([f"{BUILD}/tests/virtio/vguest", kernels["cloud"], initrd,
                        "console=ttyS0 quiet", tmp_path], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S * SLOWER)
    said = (p.stdout + p.stderr).decode(errors="replace")
    assert p.returncode == 0 and "virtio: all well" in said, said
    for device in ("rng", "console", "vsock", "balloon"):
        assert f"virtio: {device} ok" in said, said
    assert "200 of 200 connections to the guest were good" in said, said
    assert (tmp_path / "hvc0").read_bytes() == b"hello hvc0\r\n"
    assert (tmp_path / "flood").read_bytes() == b"x" * 2000000
