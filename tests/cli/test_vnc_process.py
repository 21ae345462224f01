# SPDX-License-Identifier: MIT
"""The process for viewers by VNC (vz-vnc) as its machine's process sees it: it may be slow, hang, or be a viewer's who has
taken it over. Nobody but viewers has to do with that: commands are answered, the guest goes on, nothing grows."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, SLOWER, VZ
from machines import Control, descriptors, home, machine  # noqa: F401 (fixtures)
from test_sandbox import children, threads

pytestmark = pytest.mark.skipif(not os.path.exists(f"{BUILD}/vz-vnc"), reason="built without LibVNCServer")
SHOWN = ("--display", "640x480", "--keyboard", "--pointer", "--accel", "soft")
SPIN = b"\xeb\xfe"
PROMPT_S = 10 * SLOWER  # on a busy host; what hangs is waited for 20 seconds by who asked for it


@pytest.fixture
def vnc_is(tmp_path):
    """vnc_is(LINES): a vz whose vz-vnc is this script."""

    def make(body):
        build = tmp_path / "build"
        build.mkdir()
        for name in os.listdir(BUILD):
            if name not in ("vz", "vz-vnc"):
                (build / name).symlink_to(os.path.join(os.path.abspath(BUILD), name))
        shutil.copy(VZ, build / "vz")
        (build / "vz-vnc").write_text(f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '{ROOT}/tests/lib')\n"
                                      "from hostile_vnc import *\np = Process()\n" + body)
        (build / "vz-vnc").chmod(0o755)
        return build / "vz"

    return make


def start(program, folder):
    """Its process, and a connection to it."""
    subprocess.run([program, "start", folder], check=True, timeout=120 * SLOWER)
    c = Control(folder)
    return c.call("info")["result"]["pid"], c


def prompt(control):
    """It answers others. Returns how long that took."""
    began = time.monotonic()
    assert "result" in control.call("info")
    took = time.monotonic() - began
    assert took < PROMPT_S
    return took


def ask_view(control):
    """Ask for an address, and do not wait for it. The request's number."""
    control.id += 1
    control.send({"id": control.id, "method": "view"})
    return control.id


def hear_view(control, number):
    while (answer := control.line()) is not None and answer.get("id") != number:
        pass
    return answer


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


def loop_seconds(pid):
    """What the machine's thread has had of a processor."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as f:
            name, fields = f.read().rsplit(")", 1)
        if name.endswith("(vz-loop"):
            return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")
    raise AssertionError("there is no vz-loop")


def test_one_that_hangs_holds_up_nobody(machine):  # noqa: F811
    folder = machine("m", *SHOWN)
    pid, control = start(VZ, folder)
    other = Control(folder)
    (vnc,) = [p for p, s in children(pid).items() if s["Name"] == "vz-vnc"]
    os.kill(vnc, signal.SIGSTOP)
    numbers = [ask_view(control) for _ in range(20)]
    prompt(other)
    refused = [control.line() for _ in range(4)]  # more than may be asked for at once
    assert {r["id"] for r in refused} == set(numbers[16:]) and all("too many" in r["error"]["message"] for r in refused)
    os.kill(vnc, signal.SIGCONT)
    answers = [control.line() for _ in range(16)]
    assert [a["id"] for a in answers] == numbers[:16] and all("result" in a for a in answers), answers
    prompt(other)


def test_one_that_ends_is_not_waited_for(machine):  # noqa: F811
    pid, control = start(VZ, machine("m", *SHOWN))
    (vnc,) = [p for p, s in children(pid).items() if s["Name"] == "vz-vnc"]
    os.kill(vnc, signal.SIGSTOP)
    number = ask_view(control)
    began = time.monotonic()
    os.kill(vnc, signal.SIGKILL)
    assert "has ended" in hear_view(control, number)["error"]["message"]
    assert time.monotonic() - began < PROMPT_S
    for _ in range(100 * SLOWER):  # the thread that serves it has heard it, too
        answer = hear_view(control, ask_view(control))
        if "started the next time" in answer["error"]["message"]:
            break
        time.sleep(0.05)
    else:
        raise AssertionError(answer)
    prompt(control)


def test_the_machine_ends_though_an_address_is_waited_for(vnc_is, machine):  # noqa: F811
    folder = machine("m", *SHOWN)
    _, control = start(vnc_is("p.order()\nimport time\ntime.sleep(1000)\n"), folder)
    number, other = ask_view(control), Control(folder)
    other.send({"id": 1, "method": "stop", "params": {"now": True}})
    assert "error" in hear_view(control, number)
    while control.line() is not None:  # until its process has gone
        pass


def test_one_that_cannot_begin_says_so_to_who_asks(vnc_is, machine):  # noqa: F811
    program = vnc_is("p.answer(code=9, text=b'no luck', number=1)\nwhile True:\n    p.order()\n    p.answer(code=9, text=b'no such order')\n")
    script = program.parent / "vz-vnc"
    script.write_text(script.read_text().replace("p = Process()", "well, Process.answer = Process.answer, lambda p: None\n"
                                                 "p = Process()\nProcess.answer = well"))
    _, control = start(program, machine("m", *SHOWN))
    hear_view(control, ask_view(control))  # maybe before it has said so
    assert hear_view(control, ask_view(control))["error"]["message"] == "no luck"


BAD_ANSWERS = {
    "a socket": "fd = socket.socketpair()[0].fileno()\np.order()\np.answer(fd=fd)\n",
    "a file": "fd = os.open('/etc/passwd', os.O_RDONLY)\np.order()\np.answer(fd=fd)\n",
    "nothing": "p.order()\np.answer()\n",
    "an error that none is": "p.order()\np.answer(code=-77, text=b'x' * 256)\n",
    "half an answer": "p.order()\nsend(p.orders, b'ab')\n",
    "too much": "p.order()\nsend(p.orders, b'a' * 5000)\n",
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_an_answer_that_is_none(vnc_is, machine, what):  # noqa: F811
    pid, control = start(vnc_is(BAD_ANSWERS[what] + "import time\ntime.sleep(1000)\n"), machine("m", *SHOWN))
    before = descriptors(pid)
    answer = hear_view(control, ask_view(control))
    assert "error" in answer and not control.fds, answer
    prompt(control)
    assert descriptors(pid) <= before + 1


def test_answers_that_nobody_waits_for(vnc_is, machine):  # noqa: F811
    """They stay where they are, files and all: no more are heard than are owed."""
    pid, control = start(vnc_is("""
f = memory()
flood(lambda n: p.answer(fd=f, number=n, text=b"x" * 255))
p.serve()
"""), machine("m", *SHOWN))
    hear_view(control, ask_view(control))
    before, kb = descriptors(pid), resident_kb(pid)
    for _ in range(20):
        prompt(control)
        time.sleep(0.05)
    assert descriptors(pid) <= before and resident_kb(pid) < kb + 4096


WISHES = {
    "without reading": "while True:\n    p.wish(CHANNEL, n % 8)\n    n += 1\n",
    "one after the other": "while True:\n    p.channel(n % 8).close()\n    n += 1\n",
    "that make no sense": "while True:\n    p.wish(n, n)\n    n += 1\n",
    "of nobody": "while True:\n    p.wish(CHANNEL, 8)\n",
    "that end": "while True:\n    p.wish(CLOSED, n % 8)\n    n += 1\n",
}


@pytest.mark.parametrize("what", WISHES)
def test_channels_without_end(vnc_is, machine, what):  # noqa: F811
    pid, control = start(vnc_is("n = 0\ntry:\n" + re.sub("^", "    ", WISHES[what], flags=re.M) + "\nexcept OSError:\n    pass\n"
                                "import time\ntime.sleep(1000)\n"), machine("m", *SHOWN))
    time.sleep(0.5)
    before, kb = descriptors(pid), resident_kb(pid)
    for _ in range(20):
        prompt(control)
        time.sleep(0.1)
    assert descriptors(pid) < before + 64 and len(os.listdir(f"/proc/{pid}/task")) < 40
    assert resident_kb(pid) < kb + 16384


FLOODS = {
    "keys": "struct.pack('<III', KEY, 4 + n % 26, n & 1)",
    "pointer": "struct.pack('<IIIIiiIii', POINTER, 0, n % 32768, n % 9999, 0, 0, n & 1, n, -n)",
    "sizes": "struct.pack('<III', SIZE, 64 + n % 4000, 64 + n % 3000)",
    "nexts": "struct.pack('<I', NEXT)",
    "offers": "struct.pack('<III', COPY, n & 1, 1 + n % 31)",
    "gets": "struct.pack('<IIIIQ', GET, n & 1, n % 5, n, n)",
    "pastes that nobody asked for": "struct.pack('<IIQ', PASTED, 1, n)",
    "files": "struct.pack('<IIQ256s', SEND_FILE, 0, n, b'f')",
    "unknown ones": "struct.pack('<I', 0xff)",
}


@pytest.mark.parametrize("what", FLOODS)
def test_messages_without_end(vnc_is, machine, what):  # noqa: F811
    """By as many channels as it may have: the machine's thread has time for others, and nothing piles up."""
    with_file = what in ("files", "pastes that nobody asked for")
    pid, control = start(vnc_is(f"""
f = memory()
for i in range(CLIENTS):
    flood(lambda n, s=p.channel(i): send(s, {FLOODS[what]}, f if {with_file} else None))
p.serve()
"""), machine("m", *SHOWN, "--clipboard", code=SPIN))
    time.sleep(1)
    before, kb, loop, began = descriptors(pid), resident_kb(pid), loop_seconds(pid), time.monotonic()
    slowest = 0
    while time.monotonic() < began + 3:
        slowest = max(slowest, prompt(control))
        time.sleep(0.05)
    share = (loop_seconds(pid) - loop) / (time.monotonic() - began)
    print(f"{what}: the machine's thread {share:.2f} of a processor, slowest answer {slowest * 1000:.0f} ms")
    assert descriptors(pid) < before + 64 and len(os.listdir(f"/proc/{pid}/task")) < 64
    assert resident_kb(pid) < kb + 16384
    assert share < 0.7
    assert threads(pid)["vz-loop"]
