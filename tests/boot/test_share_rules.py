# SPDX-License-Identifier: MIT
"""What calls do to names, owners, link counts and times of a share is what they do on the guest's own ext4."""
import difflib
import os
import re
import subprocess

import pytest

import guest_drivers

from boots import run, trouble

DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk", "fuse", "virtiofs")
WAYS = {"automatic": "cache=automatic", "never": "cache=never", "always": "cache=always"}
if os.geteuid() == 0:  # it takes root
    WAYS["same"] = "map=same"


# Where all files are one user's, nothing is done that depends on whose they are.
SQUASHED = {"squashed": "map=0:0"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS),
            *(guest_drivers.program(folder, f"tests/boot/programs/{name}.c") for name in ("posix", "fsattributes", "fscalls"))]


@pytest.fixture
def lines_of(kernels, initramfs, files, tmp_path):
    """lines_of(COMMANDS, WAYS): what they say in a directory of the guest's own ext4, each ("local"), and in shares. All at
    once, each in a directory of its own: most of it is waiting until clocks have gone on."""

    def go(commands, ways):
        disk, args, mounts, jobs = tmp_path / "disk", [], "", {}
        with open(disk, "wb") as f:
            f.truncate(256 << 20)
        subprocess.run(["/sbin/mke2fs", "-q", "-b", "4096", "-t", "ext4", disk], check=True)
        for tag, how in ways.items():
            share = tmp_path / tag
            share.mkdir()
            share.chmod(0o755)
            args += ["--share", f"{tag}={share},{how}"]
            mounts += f"mkdir /{tag} && mount -t virtiofs {tag} /{tag}\n"
            jobs[tag] = commands.get(tag, commands[""])
        jobs |= {f"local/{tag}": command for tag, command in commands.items()}
        start = "".join(f"mkdir -p /{where}; {command.replace('DIR', f'/{where}')} >/tmp/{where.replace('/', '-')} 2>&1 &\n"
                        for where, command in jobs.items())
        say = "".join(f"echo '#### {where}'; cat /tmp/{where.replace('/', '-')}\n" for where in jobs)
        initrd = initramfs(guest_drivers.load(DRIVERS) + f"""
mkdir /local && mount -t ext4 /dev/vda /local
{mounts}{start}wait
{say}poweroff -f
""", *files)
        result = run(kernels["cloud"], initrd, "--memory", "512M", "--cpus", 2, "--disk", disk, *args)
        assert result.status == 0 and not trouble(result.out), result
        said = {where: result.out.split(f"#### {where}\n", 1)[1].split(": end\n", 1)[0].splitlines() for where in jobs}
        return {tag: (said[f"local/{tag if tag in commands else ''}"], said[tag]) for tag in ways}

    return go


def compared(lines, tag):
    """A symbolic link that is given to somebody may become another file (docs/shares.md). With a write-back cache Linux leaves
    times alone where a size stays, and keeps times by itself."""
    lines = [line.removesuffix("mc") if 'truncate("f", 123): ok | f 100644' in line else line for line in lines]
    for change in ((r"( 120777 \d+:\d+ links \d+ size \d+ dev 0,0) (?:new|m?c)", r"\1 changed"),
                   (r"(\| (?:\.|to) \d+ 0:0 links \d+) mc", r"\1 ")):
        lines = [re.sub(*change, line) if line.startswith("lchown") else line for line in lines]
    if tag == "always-calls":
        lines = [re.sub(r" (?:m?c)?(?= \||$)", "", line) for line in lines if "  blocks:" not in line]
    return lines


def assert_alike(both, least, suffix=""):
    for tag, (local, share) in both.items():
        assert len(local) > least[tag in SQUASHED], local[-5:]
        others = list(difflib.unified_diff(compared(local, tag + suffix), compared(share, tag + suffix), "ext4", tag, lineterm="",
                                           n=0))
        assert not others, "\n".join(others[:200])


def test_rules_of_names_owners_and_times(lines_of, tmp_path):
    links = "links" if os.stat(tmp_path.parent).st_nlink > 2 else ""  # some file systems do not count folders
    assert_alike(lines_of({"": f"posix DIR {links}"}, WAYS), (2000,))


def test_rules_of_open_files_attributes_lists_and_locks(lines_of):
    both = lines_of({"": "{ fsattributes DIR && fscalls DIR; }",
                     "squashed": "{ fsattributes DIR squashed && fscalls DIR squashed; }"}, WAYS | SQUASHED)
    assert_alike(both, (5000, 900), "-calls")
