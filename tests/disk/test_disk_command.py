# SPDX-License-Identifier: MIT
"""`vz disk`: what it makes is what QEMU's tools make of it, and nothing is left of what was stopped."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import VZ
from test_qcow2 import RIG, content, expect_sound, qemu, rig

MIB = 1 << 20


def well(vz, *args, **more):
    r = vz("disk", *args, **more)
    assert r.status == 0 and r.err == "", r
    return r.out


def refused(vz, *args, status=1, said=()):
    r = vz("disk", *args)
    assert r.status == status and r.out == "" and r.err.count("\n") == 1, r
    for text in said:
        assert text in r.err, r
    return r


def info_of_qemu(path):
    return json.loads(qemu("img", "info", "--output=json", path))


@pytest.mark.parametrize("args", [[], ["--cluster-size", "4K"], ["--cluster-size", "512"],
                                  ["--cluster-size", "2M"]])
def test_create_qcow2(vz, tmp_path, args):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "1.5G", *args)
    i = info_of_qemu(path)
    assert i["format"] == "qcow2" and i["virtual-size"] == 1536 * MIB and i["actual-size"] < MIB
    qemu("img", "check", "-q", path)
    ours = json.loads(well(vz, "info", "--json", path))
    assert ours["format"] == "qcow2" and ours["size"] == 1536 * MIB and ours["version"] == 3
    assert ours["clusterSize"] == i["cluster-size"] and ours["allocated"] == i["actual-size"]


def test_create_raw_and_names(vz, tmp_path):
    path = tmp_path / "d.img"
    well(vz, "create", path, "64M")
    assert path.stat().st_size == 64 * MIB and path.stat().st_blocks == 0
    refused(vz, "create", path, "1M", said=["is there already"])
    well(vz, "create", path, "2M", "--replace", "--preallocate")
    assert path.stat().st_size == 2 * MIB and path.stat().st_blocks * 512 >= 2 * MIB
    assert "raw" in well(vz, "info", path)
    refused(vz, "create", tmp_path / "x", "512", status=2, said=["unit"])
    refused(vz, "create", tmp_path / "x", status=2, said=["how large"])
    refused(vz, "create", tmp_path / "no" / "x", "1M", said=["No such file"])
    refused(vz, "create", tmp_path / "x.img", "1M", "--backing", path, said=["qcow2"])
    refused(vz, "create", tmp_path / "x.qcow2", "1M", "--cluster-size", "3000", said=["power of two"])
    refused(vz, "creat", tmp_path / "x", "1M", status=2, said=["did you mean 'create'"])
    assert sorted(os.listdir(tmp_path)) == ["d.img"]


def test_layers(vz, tmp_path):
    base, top, raw = (tmp_path / n for n in ("base.qcow2", "top.qcow2", "top.raw"))
    qemu("img", "convert", "-O", "qcow2", "-c", content(tmp_path / "s.raw"), base)
    well(vz, "create", top, "--backing", "base.qcow2")
    i = info_of_qemu(top)
    assert (i["backing-filename"], i["backing-filename-format"]) == ("base.qcow2", "qcow2")
    assert i["virtual-size"] == 20 * MIB
    assert "base.qcow2 (qcow2)" in well(vz, "info", top)
    qemu("img", "convert", "-O", "raw", top, raw)
    rig("random", top, raw, 1, 400)
    expect_sound(top, raw)

    # A copy of all of it; and all of it into the base.
    for name in ("copy.img", "copy.qcow2"):
        copy = tmp_path / name
        well(vz, "convert", top, copy)
        qemu("img", "compare", "-q", "-f", "qcow2" if "qcow2" in name else "raw", "-F", "raw", copy, raw)
    qemu("img", "check", "-q", tmp_path / "copy.qcow2")
    well(vz, "resize", top, "+4M")
    well(vz, "commit", top)
    qemu("img", "check", "-q", base)
    os.truncate(raw, 24 * MIB)
    expect_sound(base, raw)
    expect_sound(top, raw)
    refused(vz, "commit", base, said=["no other image"])
    refused(vz, "create", tmp_path / "x.qcow2", "--backing", "nobody.qcow2", said=["nobody.qcow2"])


def test_convert_leaves_zeroes_out(vz, tmp_path):
    sparse, packed = tmp_path / "sparse.img", tmp_path / "packed.qcow2"
    with open(sparse, "wb") as f:
        f.truncate(1 << 40)
        f.seek(1 << 39)
        f.write(b"x" * 4096 + bytes(MIB))
    qemu("img", "convert", "-f", "raw", "-O", "qcow2", "-c", content(tmp_path / "s.raw"), packed)
    well(vz, "convert", packed, tmp_path / "out.img")
    assert (tmp_path / "out.img").read_bytes() == (tmp_path / "s.raw").read_bytes()
    assert (tmp_path / "out.img").stat().st_blocks <= (tmp_path / "s.raw").stat().st_blocks


@pytest.mark.parametrize("name", ["d.img", "d.qcow2"])
def test_resize(vz, tmp_path, name):
    path = tmp_path / name
    well(vz, "create", path, "8M")
    well(vz, "resize", path, "16M")
    well(vz, "resize", path, "+16M")
    assert info_of_qemu(path)["virtual-size"] == 32 * MIB
    refused(vz, "resize", path, "4M", said=["lose its end", "--shrink"])
    well(vz, "resize", path, "4M", "--shrink")
    assert info_of_qemu(path)["virtual-size"] == 4 * MIB
    if "qcow2" in name:
        qemu("img", "check", "-q", path)


def test_check_and_repair(vz, tmp_path):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "8M")
    assert "sound" in well(vz, "check", path)
    with open(path, "r+b") as f:  # a cluster that nobody uses
        f.seek(2 * 65536 + 2 * 40)
        f.write(b"\0\1")
    r = vz("disk", "check", path, "--json")
    assert r.status == 1 and json.loads(r.out) == {"errors": 0, "leaks": 1, "repaired": 0}, r
    r = vz("disk", "check", path, "--repair")
    assert r.status == 1 and "1 repaired" in r.out, r
    assert "sound" in well(vz, "check", path)
    qemu("img", "check", "-q", path)
    path.write_bytes(b"QFI\xfb" + bytes(65536))
    refused(vz, "check", path, said=["version 0"])


def test_an_image_in_use(vz, tmp_path):
    path = tmp_path / "d.qcow2"
    well(vz, "create", path, "8M")
    p = subprocess.Popen([RIG, "speed", path, "write", "4096", "4", "60"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        assert p.stderr.readline() == "open\n"
        assert "qcow2" in well(vz, "info", path)
        for args in (["resize", path, "9M"], ["check", path], ["convert", path, tmp_path / "x.img"]):
            refused(vz, *args, said=["image is locked", f"process {p.pid}"])
    finally:
        p.kill()
        p.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_what_was_stopped(tmp_path, number):
    source = tmp_path / "source.img"
    subprocess.run(f"head -c 400M /dev/urandom >{source}", shell=True, check=True)
    p = subprocess.Popen([VZ, "disk", "convert", source, tmp_path / "to.qcow2"])
    time.sleep(0.1)
    p.send_signal(number)
    status = p.wait()
    if status == 0:
        pytest.skip("it was faster")
    assert status == -number
    assert sorted(os.listdir(tmp_path)) == ["source.img"]
