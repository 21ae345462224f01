# SPDX-License-Identifier: MIT
"""The example that records a display to a film, of firmware that says something."""
import os
import subprocess

from conftest import BUILD, SLOWER
from efi_disks import firmware_is_there

pytestmark = firmware_is_there

LIMIT_S = 120 * SLOWER
WIDTH, HEIGHT = 1280, 800
FRAME = b"FRAME\n"


def test_a_film_has_a_size_and_shows_what_firmware_draws(tmp_path):
    film = tmp_path / "film.y4m"
    os.mkfifo(film)
    recorder = subprocess.Popen([f"{BUILD}/examples/example-film", film, str(LIMIT_S)], stderr=subprocess.PIPE)
    with open(film, "rb") as f:
        head = f.readline()
        assert head.startswith(b"YUV4MPEG2 W1280 H800 F10:1 ") and b" C444 " in head
        frames, lit = 0, 0
        while lit < 1000 and (begin := f.read(len(FRAME))):
            assert begin == FRAME
            luma, chroma = f.read(WIDTH * HEIGHT), f.read(2 * WIDTH * HEIGHT)
            assert len(chroma) == 2 * WIDTH * HEIGHT
            if not frames:
                assert chroma == b"\x80" * len(chroma) and not any(luma), "there is a picture before there is a machine"
            frames += 1
            lit = WIDTH * HEIGHT - luma.count(0)
    # Nobody reads any more, which is its end.
    _, said = recorder.communicate(timeout=30 * SLOWER)
    assert lit >= 1000, (frames, said)
    assert frames > 1


def test_a_full_disk_is_told(tmp_path):
    r = subprocess.run([f"{BUILD}/examples/example-film", "/dev/full", "1"], capture_output=True, text=True,
                       timeout=LIMIT_S)
    assert r.returncode == 1 and r.stderr == "/dev/full: No space left on device\n"
