# SPDX-License-Identifier: MIT
"""All that the translator makes of a boot, translated again without the machine: whole instructions
that our own decoder knows, no jump into the middle of one, and the same bytes each time."""
import os
import subprocess

import pytest

from conftest import BUILD, VZ

TRANSLATE = f"{BUILD}/tests/oracle/translate"


@pytest.fixture(scope="module")
def record(kernels, initramfs):
    """The file, of a boot with a little work; it is large, so it does not stay."""
    p = subprocess.Popen([VZ, "run", "--accel", "soft", "--jit", "record", "--kernel",
                          kernels["cloud"], "--initrd",
                          initramfs("seq 1 20000 | gzip | sha256sum\npoweroff -f\n"), "--cmdline",
                          "console=ttyS0 quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    path = f"/tmp/vz-code-{p.pid}"
    try:
        out = p.communicate(timeout=900)[0]
        assert p.returncode == 0, out
        if not os.path.exists(path):
            pytest.skip("this build has no JIT")
        yield path
    finally:
        p.kill()
        if os.path.exists(path):
            os.unlink(path)


def translate(record, *more):
    p = subprocess.run([TRANSLATE, *more, record], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=300, check=False)
    assert p.returncode == 0, p.stderr
    return p.stdout.decode().splitlines()


def test_a_boot_is_translated_into_instructions(record):
    lines = translate(record)
    assert len(lines) > 5000
    assert translate(record) == lines


@pytest.mark.parametrize("words", ["no-slots,no-place,no-hold,no-move,no-runs", "no-flags,no-liveness", "no-memory",
                                   "no-detour,no-vector,no-bmi"])
def test_without_some_optimisations_too(record, words):
    assert len(translate(record, "-w", words)) > 5000
