# SPDX-License-Identifier: MIT
"""fio in a Linux that is saved and restored again and again, which reads what it wrote, and a compiler, which is to write what
it writes here. VZ_LONG=N does it N times as often."""
import os
import shutil
import subprocess

import pytest

import guest_drivers

from boots import trouble
from conftest import LONG, ROOT
from test_runtime import DRIVERS, SCRIPT, until
from test_save import Saved

FIO = "/usr/bin/fio"
CC1 = shutil.which("gcc") and subprocess.check_output(["gcc", "-print-prog-name=cc1"], text=True).strip()
CYCLES = 3 * LONG
pytestmark = pytest.mark.skipif(not os.path.exists(FIO) or not CC1, reason="no fio, or no gcc")

JOB = (f"{FIO} --name=j --filename=/dev/vda --size=2M --ioengine=libaio --direct=1 --iodepth=16 --rw=randrw --bssplit=4k/60:16k/30:64k/10 "
       "--verify=crc32c --verify_fatal=1 --verify_state_save=0 --output-format=terse")
COMPILE = "-fpreprocessed -quiet -O2 source.i -o"
PROGRAMS = {
    "io": f"n=0; while [ ! -e /stop ]; do {JOB} >/told 2>&1 || cat /told >>/wrong; n=$((n + 1)); echo $n >/next.io; mv /next.io /count.io; done; : >/ended.io\n",
    "cc": (f"cd /; n=0; while [ ! -e /stop ]; do {CC1} {COMPILE} out.s 2>>/wrong; cmp out.s expected.s >>/wrong 2>&1; "
           "n=$((n + 1)); echo $n >/next.cc; mv /next.cc /count.cc; done; : >/ended.cc\n")}


class Working(Saved):
    def counts(self):
        return self.numbers([f"/count.{name}" for name in PROGRAMS])


def compiled(folder):
    """What the guest compiles, and what comes of it."""
    subprocess.run(["gcc", "-E", "-P", f"{ROOT}/tests/virtio/vsocktool.c", "-o", "source.i"], cwd=folder, check=True)
    subprocess.run([CC1, *COMPILE.split(), "expected.s"], cwd=folder, check=True)
    return [(folder / name, name) for name in ("source.i", "expected.s")]


@pytest.fixture(scope="module")
def m(kernels, initramfs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, text in PROGRAMS.items():
        (folder / name).write_text(text)
    files = [guest_drivers.program(folder, "tests/virtio/vsocktool.c"), *[(folder / name, name) for name in PROGRAMS],
             *compiled(folder), *guest_drivers.with_libraries(FIO, CC1), *guest_drivers.files(folder, DRIVERS)]
    with Working(kernels["cloud"], initramfs(SCRIPT, *files), tmp_path_factory.mktemp("machine"), RUNTIMEVM_CPUS="2",
                 RUNTIMEVM_MEMORY="768", XDG_DATA_HOME=str(tmp_path_factory.mktemp("keys"))) as m:
        m.guest("mkdir -p /tmp /dev/shm")
        yield m


def test_work_goes_on_through_saves(m):
    m.guest(f": >/wrong; for name in {' '.join(PROGRAMS)}; do sh /$name >/dev/null 2>/said.$name & done")
    assert until(lambda: m.guest("cat " + " ".join(f"/count.{name}" for name in PROGRAMS) + " >/dev/null 2>&1")[0] == 0), m.guest("cat /wrong /told")
    for n in range(CYCLES):
        m.cycle(("-", "", "secret")[n % 3])
        m.moves(f"cycle {n}")
    m.guest(": >/stop")
    assert until(lambda: m.guest("ls " + " ".join(f"/ended.{name}" for name in PROGRAMS))[0] == 0)
    assert m.guest("cat /wrong") == (0, "")
    assert not trouble(m.guest("dmesg")[1])
