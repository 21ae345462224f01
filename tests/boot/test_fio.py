# SPDX-License-Identifier: MIT
"""fio and nvme-cli of a Debian guest as judges of disks: every format on both controllers, blocks of 512 and 4096
bytes, and NBD servers, 1 to 128 requests at once, all verified. Some ten minutes and the network (for the guest's
packages), so only where VZ_LONG=1 asks for it."""
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT, VZ

sys.path.insert(0, f"{ROOT}/tests/lib")
from nbd_server import nbdkit  # noqa: E402

pytestmark = pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes minutes and the network: VZ_LONG=1")
SIZE = "64M"
DEPTHS = (1, 32, 128)


def ok(*words, **more):
    r = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3000,
                       **more)
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


# Images, by how they are made (None: raw, "base": a layer), and blocks of 4096 bytes or not.
IMAGES = {"raw": (None, False), "raw4k": (None, True), "v2": ("compat=0.10", False), "v3": ("compat=v3", True),
          "lazy": ("lazy_refcounts=on,extended_l2=on", False), "layer": ("base", False)}


def make_images(folder):
    base = folder / "base.qcow2"
    ok("qemu-img", "create", "-q", "-f", "qcow2", base, SIZE)
    ok("qemu-io", "-c", f"write -P 7 0 {SIZE}", base)
    for device in ("disk", "nvme"):
        for name, (made, blocks) in IMAGES.items():
            path = folder / f"{device}-{name}.{'qcow2' if made else 'img'}"
            if made == "base":
                ok(VZ, "disk", "create", path, "--backing", "base.qcow2")
            else:
                kind = ("qcow2", "-o", made) if made else ("raw",)
                ok("qemu-img", "create", "-q", "-f", *kind, path, SIZE)
            yield device, path, ",block-size=4096" if blocks else ""


def fio(depth, devices):
    jobs = " ".join(f"--name={name} --filename=/dev/{name}" for name in devices)
    return (f"fio --output-format=json --ioengine=libaio --direct=1 --rw=randrw --bssplit=4k/60:16k/30:128k/10 "
            f"--iodepth={depth} --size={SIZE} --verify=crc32c --verify_fatal=1 {jobs}")


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_is_written_is_read(guest, tmp_path, depth):
    data = tmp_path / "data"
    data.write_bytes(b"")
    os.truncate(data, 64 << 20)
    images = list(make_images(tmp_path))
    with nbdkit(tmp_path / "memory", "memory", SIZE) as memory, \
            nbdkit(tmp_path / "file", "--filter=delay", "file", data, "rdelay=1ms", "wdelay=1ms") as file:
        disks = [*images, ("disk", memory.uri, ""), ("nvme", file.uri, "")]
        words = [w for device, path, more in disks for w in (f"--{device}", f"{path}{more}")]
        # The machine's own disk is the first one.
        devices = [f"vd{chr(ord('b') + n)}" for n in range(len(disks) // 2)]
        devices += [f"nvme{n}n1" for n in range(len(disks) // 2)]
        told = json.loads(guest(*words, "--", "sh", "-c", fio(depth, devices)))
    assert [job["jobname"] for job in told["jobs"]] == devices
    for job in told["jobs"]:
        assert job["error"] == 0 and job["read"]["total_ios"] and job["write"]["total_ios"], job["jobname"]
    for _, path, _ in images:
        if path.suffix == ".qcow2":
            ok("qemu-img", "check", path)


def test_an_nvme_controller_looks_sane(guest, tmp_path):
    path = tmp_path / "disk"
    ok(VZ, "disk", "create", path, SIZE, "--format", "raw")
    out = guest("--nvme", path, "--", "sh", "-c",
                "nvme list -o json; echo ==; nvme id-ctrl -o json /dev/nvme0; echo ==; "
                "nvme smart-log -o json /dev/nvme0; echo ==; nvme error-log -o json /dev/nvme0; echo ==; "
                "nvme fw-log -o json /dev/nvme0; echo ==; nvme id-ns -o json /dev/nvme0n1; echo ==; "
                "nvme flush /dev/nvme0n1 && nvme dsm -d -s 0 -b 8 /dev/nvme0n1 && "
                "nvme write-zeroes -s 8 -c 7 /dev/nvme0n1")
    devices, controller, smart, errors, firmware, namespace, done = out.split("==\n")
    assert "/dev/nvme0n1" in devices
    assert json.loads(controller)["ver"] >= 0x10400
    assert json.loads(smart)["critical_warning"] == 0
    assert json.loads(errors) and json.loads(firmware)
    assert json.loads(namespace)["nsze"] == (64 << 20) // 512
    assert done.lower().count("success") == 3, done
