# SPDX-License-Identifier: MIT
"""vz run --save and --restore, with a guest of a few instructions."""
import os
import pty
import shutil
import signal
import subprocess
import time

import pytest

from conftest import SLOWER, VZ

# A counter in memory goes up to COUNT; the steps are written to COM1 as "." each, and at the end "!"
# before the debug exit with 0x10. Whoever restores it hears the rest and no more.
#   mov $400, %ecx; 1: mov $'.', %al; mov $0x3f8, %dx; out %al, %dx; mov $BUSY, %ebx; 2: dec %ebx;
#   jnz 2b; dec %ecx; jnz 1b; mov $'!', %al; out %al, %dx; mov $0x10, %al; out %al, $0xf4; hlt
COUNT = 400
CODE = bytes.fromhex("b990010000" "b02e" "66baf803" "ee" "bb00001000" "ffcb" "75fc" "ffc9" "75ec"
                     "b021" "ee" "b010" "e6f4" "f4")


@pytest.fixture
def guest(tiny_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return ["--kernel", tiny_kernel(CODE), "--memory", "64M", "--accel", "soft", "--debug-exit-pass", "16"]


def part(*args, dots=20):
    """Run until some dots have come, and ask vz to end: its output, and what it said."""
    p = subprocess.Popen([VZ, "run", *map(str, args)], bufsize=0, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    out = p.stdout.read(dots)
    p.send_signal(signal.SIGTERM)
    rest, err = p.communicate(timeout=120 * SLOWER)
    return (out + rest).decode(), err.decode(), p.returncode


@pytest.mark.parametrize("how", [[], ["--save-compressed"], ["--save-plain"]])
def test_a_machine_goes_on_where_it_was_saved(vz, guest, tmp_path, how):
    state = tmp_path / "state"
    first, err, status = part(*guest, "--save", state, *how)
    assert "saved to" in err and status == -signal.SIGTERM, err
    assert os.stat(state).st_mode & 0o777 == 0o600
    second, err, _ = part("--restore", state, "--save", state, *how)
    assert "saved to" in err, err
    last = vz("run", "--restore", state, "--debug-exit-pass", "16")
    assert last.status == 0, last.err
    assert first + second + last.out == "." * COUNT + "!"


# Writes a "." and then what it hears, until a "q".
#   mov $'.', %al; mov $0x3f8, %dx; out %al, %dx; 1: mov $0x3fd, %dx; in %dx, %al; test $1, %al; jz 1b; mov $0x3f8, %dx;
#   in %dx, %al; out %al, %dx; cmp $'q', %al; jne 1b; mov $0x10, %al; out %al, $0xf4; hlt
ECHO = bytes.fromhex("b02e" "66baf803" "ee" "66bafd03" "ec" "a801" "74f7" "66baf803" "ec" "ee" "3c71" "75ed" "b010" "e6f4"
                     "f4")


def test_what_is_typed_before_memory_is_loaded_is_heard(vz, tiny_kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    state = tmp_path / "state"
    part("--kernel", tiny_kernel(ECHO), "--memory", "64M", "--accel", "soft", "--debug-exit-pass", "16", "--save", state,
         dots=1)
    restore = [VZ, "run", "--restore", str(state), "--debug-exit-pass", "16"]
    text = b"more than a FIFO has room for, at once" + b"q"
    p = subprocess.run(restore, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120 * SLOWER)
    assert p.returncode == 0 and p.stdout == text, p
    ours, its = pty.openpty()
    p = subprocess.Popen(restore, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(ours, text)
    out, err = p.communicate(timeout=120 * SLOWER)
    os.close(ours)
    os.close(its)
    assert p.returncode == 0 and out == text, (out, err)


def test_a_key_that_is_taken_away_ends_no_machine(guest, tmp_path):
    """In the sandbox, where it may not be made again: the save fails, and says so."""
    state = tmp_path / "state"
    p = subprocess.Popen([VZ, "run", *map(str, guest), "--save", state], bufsize=0, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.read(20)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    p.send_signal(signal.SIGTERM)
    err = p.communicate(timeout=120 * SLOWER)[1].decode()
    assert ("cannot make" in err and "the key of saved states" in err) or "saved to" in err, err
    assert p.returncode != -signal.SIGSYS and "system call" not in err, err


def test_a_passphrase_goes_along(vz, guest, tmp_path, monkeypatch):
    state, word, wrong = tmp_path / "state", tmp_path / "word", tmp_path / "wrong"
    word.write_text("open sesame\n")
    wrong.write_text("open barley\n")
    first, err, _ = part(*guest, "--save", state, "--save-compressed", "--passphrase-file", word)
    assert "saved to" in err, err
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    for file, text in ((None, "none was given"), (wrong, "wrong passphrase")):
        r = vz("run", "--restore", state, *(["--passphrase-file", file] if file else []))
        assert r.status == 1 and text in r.err, r
    last = vz("run", "--restore", state, "--passphrase-file", word, "--debug-exit-pass", "16")
    assert last.status == 0 and first + last.out == "." * COUNT + "!", last


def test_what_cannot_be_restored_is_told(vz, guest, tmp_path, monkeypatch):
    state = tmp_path / "state"
    r = vz("run", "--restore", state)
    assert r.status == 1 and "No such file" in r.err
    state.write_text("no state at all, but long enough to look like one" * 10)
    r = vz("run", "--restore", state)
    assert r.status == 1 and "is not a saved state" in r.err
    _, err, _ = part(*guest, "--save", state)
    assert "is not overwritten" in err and "runs on" in err
    state.unlink()
    part(*guest, "--save", state)
    r = vz("run", "--restore", state, "--memory", "128M")
    assert r.status == 1 and "memory was 67108864, and is 134217728" in r.err, r.err
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    r = vz("run", "--restore", state)
    assert r.status == 1 and "another key" in r.err, r.err


def test_options_go_together(vz):
    for option in ("--save-compressed", "--save-plain", "--passphrase-file=x"):
        r = vz("run", "--kernel", "x", option)
        assert r.status == 2 and "missing" in r.err


def test_a_killed_save_leaves_the_old_state(vz, guest, tmp_path):
    """SIGKILL at any moment of saving: the older state is whole, and no half of a file is beside it."""
    state = tmp_path / "state"
    part(*guest, "--save", state)
    old = state.read_bytes()
    for n in range(6):
        p = subprocess.Popen([VZ, "run", *map(str, guest), "--save", state], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        p.stdout.read(5)
        p.send_signal(signal.SIGTERM)
        time.sleep(0.004 * n)
        p.kill()
        p.wait()
        if state.read_bytes() != old:
            old = state.read_bytes()
            r = vz("run", "--restore", state, "--debug-exit-pass", "16")
            assert r.status == 0, r.err
        # A file gets a name when it is whole, and its own an instant later.
        for left in [tmp_path / f for f in os.listdir(tmp_path) if f.startswith(".vz-save")]:
            r = vz("run", "--restore", left, "--debug-exit-pass", "16")
            assert r.status == 0, r.err
            left.unlink()
