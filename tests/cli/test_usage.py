# SPDX-License-Identifier: MIT
"""Help, version, and wrong usage of the command line tool."""
import pytest


@pytest.mark.parametrize("args, words", [
    (["--help"], ["Usage: vz", "run", "--version"]),
    (["help"], ["Usage: vz"]),
    (["run", "--help"], ["--kernel", "--initrd", "--cmdline", "--memory", "--cpus", "--accel",
                         "--serial", "--no-reboot", "--debug-exit", "--stats", "Ctrl-A x"]),
    (["help", "run"], ["Usage: vz run"]),
    (["run", "--kernel", "x", "--help"], ["Usage: vz run"]),
    (["--version"], ["vz 0."]),
])
def test_help_is_on_stdout(vz, args, words):
    r = vz(*args)
    assert r.status == 0 and r.err == "", r
    for word in words:
        assert word in r.out, r


RUN = ["run", "--kernel", "k"]


@pytest.mark.parametrize("args, named", [
    ([], "command"),
    (["frobnicate"], "frobnicate"),
    (["--frobnicate"], "--frobnicate"),
    (["help", "frobnicate"], "frobnicate"),
    (["run"], "--kernel"),
    (["run", "--kernel"], "--kernel"),
    (["run", "--initrd", "i"], "--kernel"),
    (["run", "--cmdline", "c"], "--kernel"),
    (["run", "--kernel", ""], "--kernel"),
    (RUN + ["--frobnicate"], "--frobnicate"),
    (RUN + ["--frobnicate=1"], "--frobnicate"),
    (RUN + ["--mem", "1G"], "--mem"),
    (RUN + ["-x"], "-x"),
    (RUN + ["stray"], "stray"),
    (RUN + ["--no-reboot=yes"], "--no-reboot"),
    (RUN + ["--cpus", "0"], "--cpus"),
    (RUN + ["--cpus", "65"], "--cpus"),
    (RUN + ["--cpus", "-1"], "--cpus"),
    (RUN + ["--cpus", "two"], "--cpus"),
    (RUN + ["--cpus", "99999999999999999999"], "--cpus"),
    (RUN + ["--memory", "0"], "--memory"),
    (RUN + ["--memory", "4K"], "--memory"),
    (RUN + ["--memory", "1T"], "--memory"),
    (RUN + ["--memory", "1GG"], "--memory"),
    (RUN + ["--memory", "-1G"], "--memory"),
    (RUN + ["--memory", "999999999G"], "--memory"),
    (RUN + ["--memory", "99999999999999999999999"], "--memory"),
    (RUN + ["--memory", "33554433"], "--memory"),
    (RUN + ["--memory="], "--memory"),
    (RUN + ["--accel", "warp"], "--accel"),
    (RUN + ["--serial", "carrier-pigeon"], "--serial"),
    (RUN + ["--serial", "file:"], "--serial"),
])
def test_wrong_usage_is_one_line_and_status_2(vz, args, named):
    r = vz(*args)
    assert r.status == 2, r
    assert r.out == "", r
    assert r.err.count("\n") == 1 and r.err.startswith("vz: "), r
    assert named in r.err, r
