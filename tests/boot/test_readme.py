# SPDX-License-Identifier: MIT
"""The README's own commands, in its order, in a folder as `make demo` leaves it."""
import os
import re
import subprocess

import pexpect
import pytest

from boots import BOOT_LIMIT_S
from conftest import BUILD, ROOT, VZ


def blocks():
    """Each indented block of the README, its lines without the indent."""
    with open(f"{ROOT}/README.md") as f:
        text = f.read()
    found = re.findall(r"(?:^    .*\n|(?<=\n)\n(?=    ))+", text, re.M)
    return ["\n".join(line[4:] for line in b.strip("\n").splitlines()) for b in found]


def commands():
    """What starts a machine: shell commands, and the Python program."""
    for b in blocks():
        if b.startswith("import "):
            yield pytest.param(["/usr/bin/python3", "-c", b], id="python")
        elif re.match(r"(\$ )?build/vz run ", b):
            line = re.match(r"(\$ )?((.*\\\n)*.*)", b)[2]
            yield pytest.param(["sh", "-c", "exec " + line], id=re.sub(r"\s+", " ", line)[-40:])


COMMANDS = list(commands())


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder with build/ and cache/, as they are after `make demo`."""
    p = subprocess.run([f"{ROOT}/scripts/make-debian-image"], text=True, stderr=subprocess.PIPE)
    if p.returncode == 3:
        pytest.skip(p.stderr.strip().splitlines()[-1])
    assert p.returncode == 0, p.stderr
    folder = tmp_path_factory.mktemp("clone")
    (folder / "build").symlink_to(BUILD)
    (folder / "cache").mkdir()
    disk = folder / "cache/debian.img"
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", f"{ROOT}/cache/debian.img", disk],
                   check=True)
    yield folder
    disk.unlink()


def test_commands_were_found():
    assert len(COMMANDS) >= 3 and any(c.id == "python" for c in COMMANDS)


STORIES = [b for b in blocks() if b.startswith("$ build/vz create ")]


@pytest.mark.parametrize("block,answers", [(STORIES[0], (r"^6\.\d+\..*cloud-amd64$", "^web-1\nweb-2$", "^web-2$")),
                                           (STORIES[1], ("0 upgraded",))], ids=["first", "second"])
def test_a_machine_that_stays(clone, block, answers):
    """Each command of the blocks that begin with create, as it is. The first one is all of a machine's life."""
    assert (block == blocks()[0]) == (block == STORIES[0])
    script = "set -ex\n" + "\n".join(line[2:] for line in block.splitlines() if line.startswith("$ "))
    (clone / "site").mkdir(exist_ok=True)
    env = {**os.environ, "VZ_HOME": str(clone / "home")}
    p = subprocess.run(["sh", "-c", script], cwd=clone, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=BOOT_LIMIT_S)
    left = subprocess.run([VZ, "list", "--names"], env=env, stdout=subprocess.PIPE, text=True).stdout.split()
    subprocess.run([VZ, "delete", "--force", *left], env=env, capture_output=True)
    assert p.returncode == 0, p.stdout + p.stderr
    assert all(re.search(a, p.stdout, re.M) for a in answers), p.stdout + p.stderr
    assert left == ([] if block == STORIES[0] else ["test", "web"]), left


@pytest.mark.parametrize("argv", COMMANDS)
def test_command_leads_to_a_login(clone, argv):
    if argv[0] != "sh" and not os.path.exists(f"{BUILD}/python/vz/_vz.py"):
        pytest.skip("python3-cffi was missing when this was built")
    env = {**os.environ, "PYTHONPATH": "build/python", "VZ_LIBRARY": "build/src/libvz.so"}
    c = pexpect.spawn(argv[0], argv[1:], cwd=clone, env=env, timeout=BOOT_LIMIT_S, dimensions=(24, 80))
    try:
        c.expect("debian login: ")
        c.send("root\r")
        c.expect("debian:~# ")
        c.send("poweroff\r")
        c.expect(pexpect.EOF)
        c.wait()
        assert c.exitstatus == 0, c.before
    finally:
        c.close(force=True)
