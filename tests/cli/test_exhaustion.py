# SPDX-License-Identifier: MIT
"""The host has no more: descriptors, or room where the guest's output goes."""
import os
import resource

import pytest

# mov dx, 0x3f8; mov al, 'x'; out dx, al; mov dx, 0xcf9; mov al, 6; out dx, al; jmp $
SAYS_X_AND_RESETS = bytes.fromhex("66baf803b078ee66baf90cb006eeebfe")


@pytest.fixture
def kernel(tiny_kernel):
    return tiny_kernel(SAYS_X_AND_RESETS)


@pytest.mark.parametrize("where", ["stdio", "file:/dev/full", "file"])
def test_output_that_is_lost_is_an_error_in_the_end(vz, kernel, tmp_path, where):
    log = tmp_path / "log"
    with open("/dev/full", "wb") as full:
        r = vz("run", "--kernel", kernel, "--no-reboot", "--accel", "soft", "--memory", "64M",
               "--serial", f"file:{log}" if where == "file" else where, stdout=full)
    if where == "file":
        assert r.status == 0 and r.err == "" and log.read_text() == "x", r
        return
    name = "standard output" if where == "stdio" else "/dev/full"
    assert r.status == 1 and r.err.count("\n") == 1, r
    assert f"{name} failed" in r.err and "No space left on device" in r.err, r


@pytest.mark.skipif("VZ_SANITIZER" in os.environ, reason="a sanitizer needs some itself")
@pytest.mark.parametrize("kind", ["--disk", "--nvme"])
def test_each_missing_descriptor_is_called_so(vz, kernel, tmp_path, kind):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    failures = 0
    for limit in range(4, 60):
        r = vz("run", "--kernel", kernel, "--no-reboot", "--accel", "soft", "--memory", "64M",
               kind, disk, "--net", "nat", "--rng", "--vsock", "--console", "null",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        if r.status == 0:
            break
        failures += 1
        assert r.status == 1 and (r.err.count("\n") == 1 or limit < 6), (limit, r)
        assert "file descriptor" in r.err or "Too many open files" in r.err or limit < 6, (limit, r)
    assert failures > 10 and r.status == 0, (limit, r)
