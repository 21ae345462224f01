# SPDX-License-Identifier: MIT
"""Linux's drivers on the devices that exchange data with programs: entropy, console ports, sockets,
and the balloon. tests/virtio has both sides."""
import glob
import subprocess

import pytest

from conftest import BUILD, ROOT, SLOWER

LIMIT_S = 900  # only against hanging
HERE = f"{ROOT}/tests/virtio"
DRIVERS = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
           "virtio-rng", "virtio_console", "virtio_balloon", "vsock",
           "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pairs of file and path in the guest, for initramfs()."""
    folder = tmp_path_factory.mktemp("files")
    subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-cloud/package.deb", folder], check=True)
    subprocess.run(["gcc", "-O2", "-static", f"{HERE}/vsocktool.c", "-o", folder / "vsocktool"],
                   check=True)
    found = [(glob.glob(f"{folder}/**/{m}.ko", recursive=True), m) for m in DRIVERS]
    return [(paths[0], f"lib/{m}.ko") for paths, m in found if paths] + [
        (folder / "vsocktool", "bin/vsocktool")] + [
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
