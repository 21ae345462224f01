# SPDX-License-Identifier: MIT
"""A person at the terminal: typing, pasting, large output, keys of ours and the guest's, idling."""
import hashlib
import os
import time

import pytest

import boots

PROMPT = "vz[#] "


@pytest.fixture(params=[1, 2], ids=["1-cpu", "2-cpus"])
def shell(request, kernels, initramfs):
    with boots.spawn(kernels["cloud"], initramfs("export PS1='vz# '\n" + boots.SHELL),
                     "--cpus", request.param) as child:
        child.expect(PROMPT)
        yield child


def answer(shell, command):
    """What a command prints, without the echo of it."""
    shell.sendline(command)
    shell.expect(PROMPT)
    return shell.before.decode().replace("\r", "").partition("\n")[2]


def test_typing_interrupting_and_leaving(shell):
    assert answer(shell, "echo $((6 * 7))-answer") == "42-answer\n"
    shell.sendline("sh -c 'echo in-$((1 + 1)); exec sleep 10000'")
    shell.expect("in-2")
    time.sleep(0.5)
    shell.send("\x03")  # to the guest, not to vz
    shell.expect(PROMPT)
    assert answer(shell, "echo still-$((1 + 1))").endswith("still-2\n")
    shell.send("\x01h")
    shell.expect("Ctrl-A x")
    shell.sendline("exit")
    shell.expect(boots.pexpect.EOF)
    assert shell.wait() == 0


def test_ctrl_a_twice_reaches_the_guest_once(shell):
    shell.sendline("stty -icanon -echo min 1; echo go-$((1 + 1)); "
                   "head -c 3 | hexdump -C; stty sane")
    shell.expect("go-2")
    shell.send("a\x01\x01b")
    shell.expect("61 01 62")
    shell.expect(PROMPT)


def test_ctrl_a_x_leaves(shell):
    shell.send("\x01x")
    shell.expect(boots.pexpect.EOF)
    assert shell.wait() == 0


def test_nothing_pasted_is_lost(shell):
    lines = [f"{i:05} {'abcdefghijklmnopqrstuvwxyz' * 2}\n" for i in range(400)]
    answer(shell, "stty -echo")
    shell.sendline("echo go-$((1 + 1)); cat >/tmp/pasted; stty echo")
    shell.expect("go-2")
    text = "".join(lines)  # some 23 KiB at once, no line longer than a terminal takes
    shell.send(text)
    shell.send("\x04")
    shell.expect(PROMPT)
    assert hashlib.md5(text.encode()).hexdigest() in answer(shell, "md5sum </tmp/pasted")


def test_a_pasted_line_of_4000_characters(shell):
    answer(shell, "stty -echo")
    shell.sendline("echo go-$((1 + 1)); head -n 1 >/tmp/pasted; stty echo")
    shell.expect("go-2")
    text = "0123456789" * 400 + "\n"
    shell.send(text)
    shell.expect(PROMPT)
    assert hashlib.md5(text.encode()).hexdigest() in answer(shell, "md5sum </tmp/pasted")


def test_a_megabyte_of_output_comes_whole(shell):
    wanted = "".join(f"{i}\n" for i in range(1, 165001))
    assert len(wanted) > 1000000
    assert answer(shell, "seq 1 165000") == wanted


def test_idle_guest_uses_little_cpu(shell):
    def cpu_seconds():
        with open(f"/proc/{shell.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    time.sleep(3)
    used = 1
    for _ in range(8):  # on a slow host it comes to rest later
        before, began = cpu_seconds(), time.monotonic()
        time.sleep(8)
        used = (cpu_seconds() - before) / (time.monotonic() - began)
        if used < 0.03:
            break
    assert used < 0.03
