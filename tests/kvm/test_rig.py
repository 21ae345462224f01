# SPDX-License-Identifier: MIT
"""What scripts/kvm-rig and scripts/check do with a rig that stands still. QEMU is not needed."""
import types

import pytest

from conftest import BUILD, script

STOOD_STILL = 75


@pytest.fixture
def boot(tmp_path, monkeypatch, capfdbinary):
    """boot(SHELL-COMMANDS, SECONDS): what kvm-rig makes of a QEMU that does this."""
    rig = script("kvm-rig")
    args = types.SimpleNamespace(build=BUILD, shell=False, icount=True, limit=60, cpu="c", memory=1,
                                 cpus=1, qemu=[], still=None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def run(commands, still):
        qemu = tmp_path / "qemu-system-x86_64"
        qemu.write_text(f"#!/bin/sh\n{commands}\n")
        qemu.chmod(0o755)
        args.still = still
        try:
            status = rig.boot(args, "initrd", "log", str(tmp_path / "monitor"))
        except rig.StoodStill as e:
            status = str(e)
        return status, capfdbinary.readouterr().out

    return run


def test_signs_of_life_do_not_come_out(boot):
    assert boot(r"printf 'a\005b\n\036ex\005it 7\n'", 60) == (7, b"ab\n")


def test_a_rig_that_lives_goes_on(boot):
    commands = r"for i in 1 2 3 4 5 6; do sleep 1; printf '\005'; done; printf '\036exit 0\n'"
    assert boot(commands, 5) == (0, b"")


def test_a_rig_that_stands_still_is_ended(boot):
    status, out = boot(r"printf 'begin x\n\005'; exec sleep 100", 3)
    assert out == b"begin x\n" and status.startswith("QEMU does not answer")


def test_a_rig_that_stops_has_no_status(boot):
    assert boot("printf 'begin x\\n'", 60) == (None, b"begin x\n")


@pytest.fixture
def job(monkeypatch, capsys):
    """job((EXIT-STATUS, LINES)...): what check makes of rigs that print this, and what each was to skip."""
    check = script("check")
    skips = []

    def run(*rigs):
        starts = iter(rigs)

        def kvm_run(_args, rig, _here):
            skips.append(rig.ended)
            status, lines = next(starts)
            for line in lines:
                rig.line(line)
            return status

        monkeypatch.setattr(check, "kvm_obstacle", lambda _args: (None, False))
        monkeypatch.setattr(check, "kvm_run", kvm_run)
        report = check.Report()
        check.kvm_job(None, report)
        report.finish()
        return report, skips, capsys.readouterr().out

    return run


A, B = ["begin a", "end 0 1"], ["begin b", "end 0 1"]


def test_a_fresh_rig_goes_on_and_the_last_line_says_so(job):
    report, skips, out = job((STOOD_STILL, [*A, "begin b", "its CPU"]), (0, [*B, "done"]))
    assert report.count == {"passed": 2, "failed": 0, "skipped": 0} and skips == [0, 1]
    assert "the rig stood still in kvm: b; a fresh one" in out and "its CPU" in out
    assert out.endswith("2 passed, 0 failed, the rig was started 2 times since it stood still\n")


def test_a_rig_that_always_stands_still_is_a_failure(job):
    report, skips, out = job(*[(STOOD_STILL, ["begin a"])] * 3)
    assert report.failures == ["kvm: a"] and skips == [0, 0, 0] and "started 3 times" in out


def test_a_rig_that_stops_is_not_started_again(job):
    report, skips, _ = job((1, A))
    assert report.failures == ["kvm: the rig"] and skips == [0]


def test_one_that_comes_to_its_end_is_not_spoken_of(job):
    _, skips, out = job((0, [*A, "begin b", "| seen", "end 1 1", "done"]))
    assert skips == [0] and "        | seen" in out and out.endswith("1 passed, 1 failed\n")
