# SPDX-License-Identifier: MIT
"""`vz doctor` on this computer; src/host/host_test.c has the others, tests/kvm/suite one with KVM."""
import json
import os
import shutil
import subprocess

from conftest import VZ

LEVELS = {"good", "note", "problem"}
TOPICS = {"accelerator", "kvm", "software-cpu", "direct", "sandbox", "io_uring", "huge-pages", "memory", "tap",
          "ping", "vnc"}


def report(vz):
    r = vz("doctor", "--json")
    assert r.status == 0 and r.err == "", r
    return json.loads(r.out)


def test_json(vz):
    r = report(vz)
    assert r["accelerator"] in ("kvm", "soft")
    assert {f["level"] for f in r["findings"]} <= LEVELS
    assert {f["topic"] for f in r["findings"]} == TOPICS
    assert all(f["code"] and f["text"].endswith(".") for f in r["findings"])
    assert all(f.get("command", "x") for f in r["findings"])


def test_it_is_true_of_kvm_here(vz, tmp_path):
    """What is said of /dev/kvm agrees with opening it and with what `vz run` does."""
    r = report(vz)
    kvm = next(f for f in r["findings"] if f["topic"] == "kvm")
    works = vz("run", "--accel", "kvm", "--kernel", tmp_path / "none").err
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
        assert kvm["code"] in ("works", "broken", "not-built"), kvm
    except OSError:
        assert kvm["code"] not in ("works", "broken", "not-built"), kvm
    assert (kvm["code"] == "works") == (r["accelerator"] == "kvm")
    assert (kvm["code"] == "works") == ("none" in works and "/dev/kvm" not in works), works


def test_it_is_true_of_what_serves_viewers(vz, tmp_path):
    """A vz without its program beside it says so, and what asks for that says so too."""
    installed = tmp_path / "bin" / "vz"
    installed.parent.mkdir()
    shutil.copy2(VZ, installed)
    env = {**os.environ, "LD_LIBRARY_PATH": f"{os.path.dirname(VZ)}/src"}
    r = json.loads(subprocess.run([installed, "doctor", "--json"], env=env, capture_output=True, check=True).stdout)
    without = next(f for f in r["findings"] if f["topic"] == "vnc")
    here = next(f for f in report(vz)["findings"] if f["topic"] == "vnc")
    if os.path.exists(f"{os.path.dirname(VZ)}/vz-vnc"):
        assert here["code"] in ("works", "no-page", "no-library"), here
    if not os.path.exists("/usr/local/lib/vz/vz-vnc"):
        assert without["code"] == "not-installed" and without["level"] == "note", without


def test_sentences(vz):
    r = vz("doctor")
    assert r.status == 0 and r.err == "", r
    assert "Machines run on" in r.out
    assert all(len(line) <= 100 or line.lstrip().startswith("$") for line in r.out.splitlines()), r
    words = [line.split(" ")[0] for line in r.out.splitlines() if not line.startswith(" ")]
    assert set(words) <= LEVELS, r


def test_usage(vz):
    assert "Usage: vz doctor" in vz("doctor", "--help").out
    assert vz("doctor", "--jason").status == 2
    assert vz("doctor", "now").status == 2
