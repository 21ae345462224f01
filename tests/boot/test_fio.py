# SPDX-License-Identifier: MIT
"""fio and nvme-cli of a Debian guest as judges of disks: every format on both controllers, blocks of 512 and 4096 bytes,
and an NBD server, 1 to 128 requests at once, all verified. Some ten minutes and the network (for the guest's packages), so
only where VZ_LONG=1 asks for it."""
import json
import os
import subprocess
import time

import pytest

from conftest import VZ

pytestmark = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes minutes and the network: VZ_LONG=1")
SIZE = "64M"
DEPTHS = (1, 32, 128)


def ok(*words, **more):
    r = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, timeout=3000, **more)
    assert r.returncode == 0, r
    return r.stdout


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """A machine's name, and the environment in which it is found."""
    home = tmp_path_factory.mktemp("fio")
    env = {**os.environ, "VZ_HOME": str(home / "machines"), "XDG_CACHE_HOME": str(home / "cache")}
    ok(VZ, "create", "judge", "--from", "debian", "--packages", "fio,nvme-cli", env=env)
    yield lambda *words: ok(VZ, "run", "--from", "judge", "--cpus", "2", *words, env=env)
    ok(VZ, "delete", "--force", "judge", env=env)


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "socket"
    server = subprocess.Popen(["nbdkit", "-f", "-U", path, "memory", SIZE])
    try:
        while not path.exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={path}"
    finally:
        server.kill()
        server.wait()


def fio(depth, devices):
    jobs = " ".join(f"--name={name} --filename=/dev/{name}" for name in devices)
    return (f"fio --output-format=json --ioengine=libaio --direct=1 --rw=randrw --bs=4k --iodepth={depth} --size={SIZE} "
            f"--verify=crc32c --verify_fatal=1 --norandommap=0 --group_reporting=0 {jobs}")


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_is_written_is_read(guest, export, tmp_path, depth):
    images = []
    for name, more in (("raw", ""), ("raw4k", ",block-size=4096"), ("v3.qcow2", ""), ("v3-4k.qcow2", ",block-size=4096")):
        for device in ("--disk", "--nvme"):
            path = tmp_path / f"{device[2:]}-{name}"
            ok(VZ, "disk", "create", path, SIZE, *(("--format", "raw") if "qcow2" not in name else ()))
            images.append((device, path, more))
    words = [w for device, path, more in images for w in (device, f"{path}{more}")]
    # The machine's own disk is the first one.
    devices = [f"vd{c}" for c in "bcdef"] + [f"nvme{n}n1" for n in range(4)]
    told = json.loads(guest(*words, "--disk", export, "--", "sh", "-c", fio(depth, devices)))
    assert [job["jobname"] for job in told["jobs"]] == devices
    for job in told["jobs"]:
        assert job["error"] == 0 and job["read"]["total_ios"] and job["write"]["total_ios"], job["jobname"]
    for _, path, _ in images:
        if path.suffix == ".qcow2":
            ok("qemu-img", "check", path)


def test_an_nvme_controller_looks_sane(guest, tmp_path):
    path = tmp_path / "disk"
    ok(VZ, "disk", "create", path, SIZE, "--format", "raw")
    out = guest("--nvme", path, "--", "sh", "-c", "nvme list -o json; echo ==; nvme id-ctrl -o json /dev/nvme0; echo ==; "
                "nvme smart-log -o json /dev/nvme0; echo ==; nvme error-log -o json /dev/nvme0; echo ==; "
                "nvme fw-log -o json /dev/nvme0; echo ==; nvme id-ns -o json /dev/nvme0n1; echo ==; "
                "nvme flush /dev/nvme0n1 && nvme dsm -d -s 0 -b 8 /dev/nvme0n1 && nvme write-zeroes -s 8 -c 7 /dev/nvme0n1")
    devices, controller, smart, errors, firmware, namespace, done = out.split("==\n")
    assert "/dev/nvme0n1" in devices
    assert json.loads(controller)["ver"] >= 0x10400
    assert json.loads(smart)["critical_warning"] == 0
    assert json.loads(errors) and json.loads(firmware)
    assert json.loads(namespace)["nsze"] == (64 << 20) // 512
    assert done.lower().count("success") == 3, done
