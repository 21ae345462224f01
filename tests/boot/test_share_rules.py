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


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return [*guest_drivers.files(folder, DRIVERS), guest_drivers.program(folder, "tests/boot/programs/posix.c")]


def compared(lines):
    """A symbolic link that is given to somebody may become another file (docs/shares.md). With a write-back cache Linux leaves
    times alone where a size stays."""
    lines = [line.removesuffix("mc") if 'truncate("f", 123): ok | f 100644' in line else line for line in lines]
    for change in ((r"( 120777 \d+:\d+ links \d+ size \d+ dev 0,0) (?:new|m?c)", r"\1 changed"),
                   (r"(\| (?:\.|to) \d+ 0:0 links \d+) mc", r"\1 ")):
        lines = [re.sub(*change, line) if line.startswith("lchown") else line for line in lines]
    return lines


def test_rules_of_names_owners_and_times(kernels, initramfs, files, tmp_path):
    """All ways at once, each in a directory of its own: most of it is waiting until clocks have gone on."""
    disk, args, mounts = tmp_path / "disk", [], ""
    with open(disk, "wb") as f:
        f.truncate(64 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", disk], check=True)
    for tag, how in WAYS.items():
        share = tmp_path / tag
        share.mkdir()
        share.chmod(0o755)
        args += ["--share", f"{tag}={share},{how}"]
        mounts += f"mkdir /{tag} && mount -t virtiofs {tag} /{tag}\n"
    links = "links" if os.stat(tmp_path).st_nlink > 2 else ""  # some file systems do not count folders
    initrd = initramfs(guest_drivers.load(DRIVERS) + f"""
mkdir /local && mount -t ext4 /dev/vda /local
{mounts}
for d in local {" ".join(WAYS)}; do posix /$d {links} >/tmp/$d 2>&1 & done; wait
for d in local {" ".join(WAYS)}; do echo "#### $d"; cat /tmp/$d; done
poweroff -f
""", *files)
    result = run(kernels["cloud"], initrd, "--memory", "256M", "--cpus", 2, "--disk", disk, *args)
    assert result.status == 0 and not trouble(result.out), result
    lines = {name: result.out.split(f"#### {name}\n", 1)[1].split("posix: end\n", 1)[0].splitlines()
             for name in ("local", *WAYS)}
    assert len(lines["local"]) > 2000, lines["local"][-5:]
    for tag in WAYS:
        others = list(difflib.unified_diff(compared(lines["local"]), compared(lines[tag]), "ext4", tag, lineterm="", n=0))
        assert not others, "\n".join(others[:200])
