# SPDX-License-Identifier: MIT
"""Exit statuses, without an operating system in the guest; tests/boot/test_ends.py has Linux."""
import pytest

LOOP = "ebfe"


def out(port, value):
    """mov dx, port; mov al, value; out dx, al"""
    return f"66ba{port.to_bytes(2, 'little').hex()}b0{value:02x}ee"


ENDINGS = {
    "debug exit": (out(0xf4, 16), ["--debug-exit"], 33, ""),
    "debug exit of 0": (out(0xf4, 0), ["--debug-exit"], 1, ""),
    "all is well": (out(0xf4, 16), ["--debug-exit-pass", 16], 0, ""),
    "all is well in hexadecimal": (out(0xf4, 16), ["--debug-exit-pass=0x10"], 0, ""),
    "not all is well": (out(0xf4, 17), ["--debug-exit-pass", 16], 35, ""),
    "reset": (out(0xcf9, 6), ["--no-reboot"], 0, ""),
    "panic": (out(0x505, 1), [], 3, "kernel panicked"),
    "panic, ignored": (out(0x505, 1) + out(0xcf9, 6), ["--no-reboot", "--ignore-panic"], 0, ""),
    "panic with a crash kernel": (out(0x505, 2) + out(0xcf9, 6), ["--no-reboot"], 0, ""),
    "triple fault": ("0f0b", [], 3, "triple fault"),  # ud2 without an IDT
    "time is over": ("", ["--timeout", "1s"], 124, "--timeout"),
}


@pytest.mark.parametrize("code, args, status, said", ENDINGS.values(), ids=ENDINGS.keys())
def test_status(vz, tiny_kernel, code, args, status, said):
    r = vz("run", "--kernel", tiny_kernel(bytes.fromhex(code + LOOP)), "--accel", "soft",
           "--memory", "64M", *args)
    assert r.status == status, r
    assert said in r.err and r.err.count("\n") == (said != ""), r


@pytest.mark.parametrize("args", [["--timeout", "90"], ["--timeout", "0s"], ["--timeout", "1d"],
                                  ["--timeout", "99999999999s"], ["--timeout="], ["--stop", "never"],
                                  ["--stop", "5"], ["--escape", "b"], ["--escape", "ctrl-"],
                                  ["--escape", "^1"], ["--debug-exit-pass", "x"],
                                  ["--debug-exit-pass", "-1"]])
def test_values_that_mean_nothing(vz, tiny_kernel, args):
    r = vz("run", "--kernel", tiny_kernel(bytes.fromhex(LOOP)), *args)
    assert r.status == 2 and r.err.count("\n") == 1 and args[0].split("=")[0] in r.err, r
