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
    (["-V"], ["vz 0."]),
    (["version"], ["vz 0."]),
    (["version", "--json"], ['{"version": "0.']),
    (["help", "doctor"], ["Usage: vz doctor", "--json"]),
])
def test_help_is_on_stdout(vz, args, words):
    r = vz(*args)
    assert r.status == 0 and r.err == "", r
    for word in words:
        assert word in r.out, r


RUN = ["run", "--kernel", "k"]


@pytest.mark.parametrize("args, line", [
    (["rnu"], "unknown command 'rnu'; did you mean 'run'? (see 'vz --help')"),
    (RUN + ["--memroy", "1G"], "unknown option '--memroy'; did you mean '--memory'? (see 'vz run --help')"),
    (RUN + ["--mem=1G"], "unknown option '--mem'; did you mean '--memory'? (see 'vz run --help')"),
    (RUN + ["--frobnicate"], "unknown option '--frobnicate' (see 'vz run --help')"),
    (RUN + ["--memory", "512"], "--memory '512': 512 of what? For mebibytes say 512M"),
    (RUN + ["--memory", "4K"], "--memory '4K': memory size 4 KiB is not between 2 MiB and "),
    (RUN + ["--cpus", "two"], "--cpus 'two': expected a number from 1 to 64"),
    (RUN + ["--accel", "warp"], "--accel 'warp': expected auto, kvm or soft"),
    (RUN + ["--disk", "a,cahce=x"], "--disk 'a,cahce=x': 'cahce' is not known here; did you mean 'cache'?"),
    (RUN + ["--disk", "a,redaonly"], "--disk 'a,redaonly': 'redaonly' is not known here; did you mean 'read-only'?"),
    (RUN + ["--disk", "a,b"], "--disk 'a,b': 'b' is not known here: expected PATH[,ro][,cache="),
    (RUN + ["--disk", "a,sync=x"], "--disk 'a,sync=x': sync: expected full, fsync or none"),
    (RUN + ["--disk", ""], "--disk '': expected PATH[,ro]"),
    (RUN + ["--net", "wifi"], "--net 'wifi': expected nat[,forward=...]...[,host]|fd=N[,mtu=N]|tap=NAME|bridge=NAME"
                              "[,mac=MAC]"),
    (RUN + ["--net", "fd=3,mtu=9"], "--net 'fd=3,mtu=9': mtu: expected a number from 1500 to 65535"),
    (RUN + ["--serial", "x"], "--serial 'x': expected null|stdio|fd[,read=N][,write=N]|file:PATH|pty|unix:PATH"),
    (RUN + ["--balloon", "5"], "--balloon '5': 5 of what? For mebibytes say 5M"),
    (RUN + ["--vsock", "cid=2"], "--vsock 'cid=2': cid: expected a number from 3 to 4294967294"),
    (RUN + ["--forward", "tcp:0:2"], "--forward 'tcp:0:2': expected tcp|udp:[HOST:]PORT:GUESTPORT"),
    (RUN + ["--uuid", "1"], "--uuid '1': expected a UUID like "),
    (RUN + ["--kernel", ""], "--kernel '': expected a path"),
    (["run"], "nothing to run: give --kernel FILE, --boot-disk PATH, --root DIR, --efi, --from MACHINE, --config FILE or --restore FILE (see 'vz run --help')"),
    (["run", "--boot-disk", "d", "--kernel", "k"], "--kernel and --boot-disk: the kernel and initrd are the disk's"),
])
def test_what_is_wrong_and_what_helps(vz, args, line):
    r = vz(*args)
    assert r.status == 2 and r.err.startswith("vz: " + line), r


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
