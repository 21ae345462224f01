# SPDX-License-Identifier: MIT
"""`vz doctor` on this computer; src/host/host_test.c has the others, tests/kvm/suite one with KVM."""
import json
import os

LEVELS = {"good", "note", "problem"}
TOPICS = {"accelerator", "kvm", "software-cpu", "direct", "sandbox", "io_uring", "huge-pages", "memory", "tap",
          "ping"}


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
