# SPDX-License-Identifier: MIT
"""Linux's sound driver: what a guest plays and records, sample by sample, in its time; and through a real
PipeWire. programs/tone.c is the guest's part."""
import array
import contextlib
import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import pytest

import boots
import guest_drivers

DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.SOUND)
RATE, BUFFER_S, PERIOD = 48000, 4, 8192  # the period is the sound server's
# A guest on a busy host needs a longer buffer, and more patience, than the driver's defaults.
PARAMETERS = (f"pcm_buffer_ms={BUFFER_S * 1000} pcm_period_ms_max=500 pcm_periods_max=32 "
              "msg_timeout_ms=60000")
LOAD = guest_drivers.load(DRIVERS, virtio_snd=PARAMETERS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pairs of file and path in the guest, for initramfs()."""
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS, kernel="newer"),
            guest_drivers.program(folder, "tests/boot/programs/tone.c")]


def triangle(i, n):
    at = i % n
    return 1 + 400 * (at if at < n // 2 else n - at)


def tone(frames):
    """What the guest plays."""
    return array.array("h", (v for i in range(frames) for v in (triangle(i, 48), triangle(i, 96))))


def wav_samples(path):
    data = path.read_bytes()
    assert data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt " and data[36:40] == b"data"
    tag, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", data[20:36])
    assert (tag, channels, rate, frame, bits) == (1, 2, RATE, 4, 16)
    assert struct.unpack("<I", data[40:44])[0] == len(data) - 44
    return array.array("h", data[44:])


def write_wav(path, samples):
    data = samples.tobytes()
    path.write_bytes(b"RIFF" + struct.pack("<I", len(data) + 36) + b"WAVEfmt " +
                     struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16) + b"data" +
                     struct.pack("<I", len(data)) + data)


def took_ms(out, what):
    return int(re.search(rf"tone: {what} took (\d+) ms", out)[1])


def test_a_tone_is_played_whole_and_in_its_time(kernels, initramfs, files, tmp_path):
    seconds = 10
    initrd = initramfs(LOAD + f"tone play /dev/snd/pcmC0D0p {seconds}\n"
                       f"tone play /dev/snd/pcmC0D0p 1\npoweroff -f\n", *files)
    r = boots.run(kernels["newer"], initrd, "--sound", f"output=wav:{tmp_path}/out.wav")
    assert r.status == 0 and r.out.count("tone: play took") == 2, r
    assert sys.byteorder == "little"
    heard = wav_samples(tmp_path / "out.wav")
    for length in (seconds, 1):  # twice: nothing of the first is heard in the second
        heard = heard[next(i for i, v in enumerate(heard) if v):]
        played = tone(length * RATE)
        assert heard[:len(played)] == played, "it is not what was played, or has gaps"
        heard = heard[len(played):]
    assert not any(heard)
    # When the last sample was heard it ends: not before, and under no load a period later.
    assert seconds * 1000 - 20 <= took_ms(r.out, "play") < seconds * 1000 * 3, r


def test_what_is_recorded_is_what_was_said(kernels, initramfs, files, tmp_path):
    said = tone(3 * RATE)
    write_wav(tmp_path / "in.wav", said)
    # The folder in which it is left is the host's.
    initrd = initramfs(LOAD + "tone record /dev/snd/pcmC0D0c 4 /said\n"
                       "md5sum /said; head -c 40 /said | od -An -td2\npoweroff -f\n", *files)
    r = boots.run(kernels["newer"], initrd, "--sound", f"input=wav:{tmp_path}/in.wav")
    assert r.status == 0, r
    expected = said.tobytes() + bytes(RATE * 4)  # then silence
    assert hashlib.md5(expected).hexdigest() in r.out, r
    assert took_ms(r.out, "record") >= 3980, r


def test_a_machine_without_a_sound_server_starts_and_says_so_once(kernels, initramfs, files, tmp_path,
                                                                  monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    initrd = initramfs(LOAD + "tone play /dev/snd/pcmC0D0p 1\ntone record /dev/snd/pcmC0D0c 1 /said\n"
                       "ls /dev/snd\npoweroff -f\n", *files)
    r = boots.run(kernels["newer"], initrd, "--sound")
    assert r.status == 0 and "tone: play took" in r.out and "tone: record took" in r.out, r
    assert took_ms(r.out, "play") >= 980
    assert r.err.count("PipeWire") == 1 and "plays to nobody" in r.err, r


@pytest.fixture
def sound_server(tmp_path, monkeypatch):
    """A PipeWire of the test's own, with a sink that nobody hears. Its periods are long, so that a busy host is
    not heard either."""
    if not all(map(shutil.which, ("pipewire", "wireplumber", "dbus-run-session"))):
        pytest.skip("PipeWire is not installed")
    folder = tempfile.mkdtemp(prefix="vz-sound")  # short: there is a socket in it
    for name, value in (("XDG_RUNTIME_DIR", folder), ("HOME", folder), ("PIPEWIRE_LATENCY", f"{PERIOD}/48000")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIPEWIRE_REMOTE", raising=False)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    started = [subprocess.Popen(["pipewire"], **quiet)]
    try:
        until(lambda: os.path.exists(f"{folder}/pipewire-0"))
        subprocess.run(["pw-cli", "create-node", "adapter", "{ factory.name=support.null-audio-sink "
                        "node.name=nobody media.class=Audio/Sink object.linger=true audio.position=[FL FR] }"],
                       check=True, **quiet)
        started.append(subprocess.Popen(["dbus-run-session", "--", "wireplumber"], **quiet))
        subprocess.run(["pw-metadata", "-n", "settings", "0", "clock.force-quantum", str(PERIOD)], check=True, **quiet)
        yield folder
    finally:
        for p in reversed(started):
            os.killpg(p.pid, signal.SIGTERM)
            p.wait()
        shutil.rmtree(folder)


def until(true, limit_s=60):
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def links():
    return subprocess.run(["pw-link", "-l"], stdout=subprocess.PIPE, check=True, text=True).stdout


def heard_at_the_monitor(path, run):
    """What the sink has played while run() ran, from the first sample on; and what that returned."""
    p = subprocess.Popen(["pw-record", "-P", "{ stream.capture.sink=true }", "--target", "nobody",
                          "--rate", str(RATE), "--channels", "2", "--format", "s16", str(path)])
    try:
        until(lambda: "nobody:monitor_FL\n" in links())
        result = run()
        ended = path.stat().st_size
        until(lambda: path.stat().st_size >= ended + 3 * PERIOD * 4)  # the server's last period may be on its way
    finally:
        p.send_signal(signal.SIGINT)
        p.wait()
    data = path.read_bytes()
    at = data.index(b"data") + 8
    samples = array.array("h", data[at:at + (len(data) - at) // 4 * 4])
    return samples[next((i for i, v in enumerate(samples) if v), 0) // 2 * 2:], result


@contextlib.contextmanager
def load():
    """Two programs that want all of two CPUs."""
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        yield
    finally:
        for p in busy:
            p.kill()
            p.wait()


MINUTE = pytest.param(60, load, marks=pytest.mark.skipif(os.environ.get("VZ_LONG") is None,
                                                         reason="takes minutes: VZ_LONG=1"))


@pytest.mark.parametrize("seconds,meanwhile", ((10, contextlib.nullcontext), MINUTE))
def test_a_tone_through_pipewire(kernels, initramfs, files, sound_server, tmp_path, seconds, meanwhile):
    initrd = initramfs(LOAD + f"tone play /dev/snd/pcmC0D0p {seconds}\npoweroff -f\n", *files)
    played = tone(seconds * RATE)
    for _ in range(3):  # a host that is busy enough lets every sound server stutter
        with meanwhile():
            heard, r = heard_at_the_monitor(
                tmp_path / "heard.wav",
                lambda: boots.run(kernels["newer"], initrd, "--name", "talker", "--sandbox", "on",
                                  "--sound", "output=host"))
        assert r.status == 0 and "PipeWire" not in r.err, r
        assert seconds * 1000 - 200 <= took_ms(r.out, "play") < seconds * 3000, r
        # It was converted to floating point and back: a sample may be off by one.
        matching = next((i for i, (a, b) in enumerate(zip(heard, played)) if abs(a - b) > 2), len(heard))
        if matching >= len(played):
            return
    raise AssertionError(f"a gap, or another sound, after {matching / 2 / RATE} s")


def said_to_the_guest(path, said, run):
    """A microphone, into which the samples are said over and over while run() runs."""
    subprocess.run(["pw-cli", "create-node", "adapter", "{ factory.name=support.null-audio-sink node.name=microphone "
                    "media.class=Audio/Source/Virtual object.linger=true audio.position=[FL FR] }"], check=True,
                   stdout=subprocess.DEVNULL)
    write_wav(path, said)
    p = subprocess.Popen(["pw-play", "--target", "0", str(path)])
    try:
        for side in "FL", "FR":
            until(lambda: subprocess.run(["pw-link", f"pw-play:output_{side}", f"microphone:input_{side}"],
                                         stderr=subprocess.DEVNULL).returncode == 0)
        return run()
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("seconds,meanwhile", ((5, contextlib.nullcontext), MINUTE))
def test_recording_through_pipewire(kernels, initramfs, files, tmp_path, sound_server, seconds, meanwhile):
    """What the guest has recorded is on a disk of its own."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes((seconds + 1) * RATE * 4))
    initrd = initramfs(LOAD + guest_drivers.load(["virtio_blk"]) +
                       f"tone record /dev/snd/pcmC0D0c {seconds} /said\ncat /said >/dev/vda\nsync\npoweroff -f\n", *files,
                       *guest_drivers.files(tmp_path, ["virtio_blk"], kernel="newer"))
    for _ in range(3):
        with meanwhile():
            r = said_to_the_guest(tmp_path / "said.wav", tone(96) * ((3 * seconds + 120) * RATE // 96), lambda: boots.run(
                kernels["newer"], initrd, "--name", "listener", "--sound", "input=host", "--disk", str(disk)))
        assert r.status == 0 and "PipeWire" not in r.err, r
        heard = array.array("h", disk.read_bytes()[:seconds * RATE * 4])
        first = next((i for i in range(0, len(heard), 2) if heard[i]), len(heard))
        heard = heard[first:]
        for phase in range(96):  # the tone's period, of both channels
            expected = tone(96)[2 * phase:] + tone(96)[:2 * phase]
            matching = next((i for i, v in enumerate(heard) if abs(v - expected[i % 192]) > 2), len(heard))
            if matching > 1000:
                break
        if len(heard) > (seconds - 2) * RATE * 2 and matching == len(heard):
            return
    raise AssertionError(f"a gap, or another sound, after {(first + matching) / 2 / RATE} s")
