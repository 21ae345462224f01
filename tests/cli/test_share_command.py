# SPDX-License-Identifier: MIT
"""vz share: what a machine shares, seen and changed, while its guest has it mounted."""
import json
import os
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, VZ
from machines import Control

DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.SOCKETS, "fuse", "virtiofs")
INIT = """
mount -t tmpfs tmp /tmp; mkdir -p /dev/pts /var/lib; mount -t devpts pts /dev/pts
mount -t virtiofs work /mnt
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd; echo root:x:0: >/etc/group
/sbin/vz-agent --background
while :; do sleep 1000; done
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    os.environ["VZ_HOME"] = str(home)
    yield home
    subprocess.run([VZ, "stop", "--now", "g"])
    del os.environ["VZ_HOME"]


@pytest.fixture(scope="module")
def g(home, kernels, initramfs, tmp_path_factory):
    """A machine that runs, with home/a shared as work, and home/b."""
    modules = guest_drivers.files(tmp_path_factory.mktemp("modules"), DRIVERS)
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *modules, (f"{BUILD}/agent/vz-agent", "sbin/vz-agent"))
    folder = home / "g.vz"
    folder.mkdir()
    for name in ("a", "b", "auto"):
        (home / name).mkdir()
        (home / name / "file").write_text(f"in {name}\n")
    config = subprocess.run(
        [VZ, "run", "--print-config", "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M",
         "--cmdline", "console=ttyS0 quiet", "--vsock", "cid=3", "--share", f"work={home}/a",
         "--share", f"auto/tag={home}/auto,automount,ro", "--share", f"chosen={home}/auto,mount=/srv/some where",
         "--share", f"com.apple.virtio-fs.automount=multiple,dir=one:{home}/a,dir=two:{home}/b"],
        check=True, stdout=subprocess.PIPE)
    (folder / "config.json").write_bytes(config.stdout)
    subprocess.run([VZ, "start", "g"], check=True)
    r = subprocess.run([VZ, "wait", "g", "--for", "boot", "--timeout", "10m"], stderr=subprocess.PIPE)
    assert r.returncode == 0, (r.stderr, (folder / "console.log").read_text())
    return "g"


def shell(vz, g, script):
    r = vz("exec", g, "--", "sh", "-c", script)
    assert r.status == 0, r
    return r.out


OTHERS = ("auto/tag", "chosen", "com.apple.virtio-fs.automount")


def shares(vz, g):
    return "".join(line for line in vz("share", g).out.splitlines(True) if line.split("\t")[0] not in OTHERS)


def test_the_agent_mounts_what_is_to_be_mounted(vz, g):
    deadline = time.monotonic() + 120
    while vz("exec", g, "--", "grep", "-q", "automount virtiofs", "/proc/mounts").status:
        assert time.monotonic() < deadline, vz("exec", g, "--", "cat", "/proc/mounts")
        time.sleep(0.5)
    assert shell(vz, g, "cat '/media/shares/auto_tag/file' '/srv/some where/file' /media/shares/com.apple*/two/file") == \
        "in auto\nin auto\nin b\n"
    assert shell(vz, g, "grep -c 'virtiofs.*nosuid,nodev' /proc/mounts") == "3\n"


def test_another_directory_in_its_place(vz, g, home):
    assert shares(vz, g) == f"work\t{home}/a\n"
    assert json.loads(vz("share", g, "--json").out)[0]["share"]["path"] == f"{home}/a"
    assert shell(vz, g, "cat /mnt/file") == "in a\n"
    r = vz("share", g, f"work={home}/b,ro")
    assert (r.status, r.out, r.err) == (0, "", ""), r
    assert shares(vz, g) == f"work\t{home}/b\tread-only\n"
    assert shell(vz, g, "cd /mnt && cat file; touch new 2>/dev/null || echo cannot write") == "in b\ncannot write\n"
    r = vz("share", g, f"work=multiple,dir=a:{home}/a,dir=b:{home}/b:ro")
    assert r.status == 0, r
    assert shell(vz, g, "cat /mnt/a/file /mnt/b/file") == "in a\nin b\n"
    assert shares(vz, g) == f"work\ta:{home}/a\nwork\tb:{home}/b\tread-only\n"
    r = vz("share", g, f"work={home}/nothing")
    assert r.status == 1 and "nothing" in r.err, r
    assert shell(vz, g, "cat /mnt/a/file") == "in a\n"


def test_a_tag_that_the_machine_was_not_started_with(vz, g, home):
    r = vz("share", g, f"more={home}/b")
    assert r.status == 0 and "the next time" in r.err, r
    assert f"more\t{home}/b\n" in vz("share", g).out
    assert vz("share", g, "--remove", "more").status == 0
    r = vz("share", g, "--remove", "more")
    assert r.status == 1 and "'more'" in r.err, r
    assert vz("share", g, "--remove", "work", f"a={home}/a").status == 1


def test_the_method_answers_what_is_wrong(g, home):
    c = Control(home / "g.vz")
    for params, code in (({}, 30004), ({"tag": "none", "share": None}, 30004), ({"tag": "work", "share": {}}, 2),
                         ({"tag": "work", "share": {"path": 5}}, 2), ({"tag": 5}, 2),
                         ({"tag": "work", "share": {"directories": [5]}}, 2)):
        answer = c.call("share", **params)
        assert answer["error"]["code"] == code, (params, answer)
    c.close()


def test_files_that_are_open_outlive_a_save(vz, g, home):
    """A program of the guest goes on with the file that it has open, after a restore."""
    assert vz("share", g, f"work={home}/a").status == 0
    shell(vz, g, """
cd /mnt && echo before >kept && echo gone >gone
( exec 8<>kept 9<gone; while [ ! -e go ]; do sleep 0.2; done
  cat <&8 >out; echo after >&8; (cat <&9 || echo lost) >>out 2>&1; mv out done ) </dev/null >/dev/null 2>&1 &
sleep 1; sync""")
    for command in (("save", g), ("restore", g)):
        r = vz(*command)
        assert r.status == 0, r
        (home / "a/gone").unlink(missing_ok=True)
    (home / "a/go").touch()
    deadline = time.monotonic() + 120
    while not (home / "a/done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    out = (home / "a/done").read_text()
    assert out.startswith("before\n") and "lost" in out and "gone" not in out, out
    assert (home / "a/kept").read_text() == "before\nafter\n"


def test_what_is_removed_is_an_empty_folder(vz, g, home):
    assert vz("share", g, "--remove", "work").status == 0
    assert shares(vz, g) == ""
    assert shell(vz, g, "ls /mnt | wc -l").strip() == "0"
    left = json.loads((home / "g.vz/config.json").read_text())["directorySharingDevices"]
    assert [d["tag"] for d in left] == list(OTHERS)
    r = vz("share", g, f"work={home}/a")
    assert (r.status, r.err) == (0, ""), r
    assert shell(vz, g, "cat /mnt/file") == "in a\n"
