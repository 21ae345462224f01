# SPDX-License-Identifier: MIT
"""What Linux draws by its virtio-gpu driver is what programs of the host see, pixel by pixel."""
import glob
import subprocess

import pytest

import guest_drivers
from conftest import BUILD, ROOT, SLOWER

DRIVERS = ("drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf", "virtio-gpu")
LIMIT_S = 400 * SLOWER


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("display")
    subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-amd64/package.deb", folder], check=True)
    found = {m: glob.glob(f"{folder}/**/{m}.ko", recursive=True)
             for m in (*guest_drivers.VIRTIO, *DRIVERS)}
    return [*(guest_drivers.program(folder, f"tests/boot/programs/{p}.c") for p in ("kmsdraw", "kmsstorm")),
            *((paths[0], f"mod/{m}.ko") for m, paths in found.items() if paths)]


@pytest.fixture
def run(kernels, initramfs, files, tmp_path):
    """run(PROGRAM) in a guest; what it said."""

    def run(program):
        script = (guest_drivers.load((*guest_drivers.VIRTIO, *DRIVERS)) +
                  f"exec </dev/ttyS0 >/dev/ttyS0 2>&1\n{program}\npoweroff -f\n")
        r = subprocess.run([f"{BUILD}/tests/boot/displayvm", kernels["amd64"], initramfs(script, *files),
                            tmp_path / "state"], capture_output=True, text=True, timeout=LIMIT_S)
        assert r.returncode == 0, r.stdout + r.stderr
        return r

    return run


def test_modes_flips_cursors_and_restores(run):
    r = run("kmsdraw")
    assert r.stdout.count("shown") == 17 and "shown 5120 1440" in r.stdout
    begun, ended = map(int, r.stdout.rsplit("changes ", 1)[1].split())
    assert begun == ended >= 7, r.stdout


def test_a_storm_of_atomic_changes(run):
    r = run("kmsstorm")
    assert r.stdout.count("shown") == 8, r.stdout
