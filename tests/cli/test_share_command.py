# SPDX-License-Identifier: MIT
"""vz share: what a machine shares, seen and changed, while its guest has it mounted."""
import fcntl
import json
import os
import subprocess
import time

import pytest

import guest_drivers
from conftest import BUILD, VZ
from machines import Control, boot, make_folder

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
    folder = tmp_path_factory.mktemp("programs")
    programs = [guest_drivers.program(folder, f"tests/boot/programs/{name}.c") for name in ("watches", "fanwatches", "holds", "waits")]
    agent = (f"{BUILD}/agent/vz-agent", "sbin/vz-agent")
    initrd = initramfs(guest_drivers.load(DRIVERS) + INIT, *modules, agent, *programs)
    folder = home / "g.vz"
    for name in ("a", "b", "auto"):
        (home / name).mkdir()
        (home / name / "file").write_text(f"in {name}\n")
    make_folder(folder, "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "256M",
                "--cmdline", "console=ttyS0 quiet", "--vsock", "cid=3", "--share", f"work={home}/a",
                "--share", f"auto/tag={home}/auto,automount,ro", "--share", f"chosen={home}/auto,mount=/srv/some where",
                "--share", f"com.apple.virtio-fs.automount=multiple,dir=one:{home}/a,dir=two:{home}/b")
    boot(folder)
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


def watch(vz, g, path, log, program="watches"):
    """Have a program of the guest's watch it; some time later the host does, too."""
    shell(vz, g, f"{program} {path} >>{log} </dev/null 2>&1 &")


def until_seen(vz, g, log, *lines, change=None):
    deadline = time.monotonic() + 60
    while True:
        if change:
            change()
        seen = shell(vz, g, f"cat {log}").splitlines()
        if all(any(line in got for got in seen) for line in lines):
            return seen
        assert time.monotonic() < deadline, (lines, seen)
        time.sleep(0.3)


def test_watchers_are_told_of_the_hosts_changes(vz, g, home):
    """c: its contents were changed; w: it was closed after writing; e: its attributes; n: made; d: removed; m, y: moved
    from, to."""
    folder, where = home / "auto", "'/srv/some where'"
    (folder / "below").mkdir()
    (folder / "below/deep").write_text("x")
    (folder / "alone").write_text("x")
    watch(vz, g, where, "/tmp/events")
    until_seen(vz, g, "/tmp/events", "\tfile", change=lambda: (folder / "file").write_text("again\n"))
    st = (folder / "file").stat()
    (folder / "fresh").write_text("new\n")
    seen = until_seen(vz, g, "/tmp/events", "n\t/srv/some where\tfresh", "c\t/srv/some where\tfresh",
                      "w\t/srv/some where\tfresh")
    assert shell(vz, g, f"cat {where}/fresh {where}/file") == "new\nagain\n"
    # What a watcher reads then is what is there now, also of a file that was looked at just before.
    assert not any(line.startswith("e\t") for line in seen)
    (folder / "over").write_text("other\n")
    until_seen(vz, g, "/tmp/events", "w\t/srv/some where\tover")
    shell(vz, g, ": >/tmp/events")
    (folder / "over").rename(folder / "fresh")
    until_seen(vz, g, "/tmp/events", "m\t/srv/some where\tover", "y\t/srv/some where\tfresh")
    assert shell(vz, g, f"cat {where}/fresh") == "other\n"
    assert vz("exec", g, "--", "test", "-e", "/srv/some where/over").status == 1
    shell(vz, g, "sleep 1; : >/tmp/events")
    (folder / "fresh").unlink()
    until_seen(vz, g, "/tmp/events", "d\t/srv/some where\tfresh")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("nowhere")
    (folder / "below/up").write_text("from elsewhere\n")
    (folder / "below/up").rename(folder / "up")
    until_seen(vz, g, "/tmp/events", "n\t/srv/some where\tfolder", "n\t/srv/some where\tlink", "n\t/srv/some where\tup",
               "w\t/srv/some where\tup")
    seen = shell(vz, g, f"cd {where}; stat -c %F folder; readlink link; cat up")
    assert seen == "directory\nnowhere\nfrom elsewhere\n"
    (folder / "folder").rename(folder / "moved")
    until_seen(vz, g, "/tmp/events", "m\t/srv/some where\tfolder", "y\t/srv/some where\tmoved")
    (folder / "moved").rmdir()
    (folder / "up").rename(folder / "below/up")
    until_seen(vz, g, "/tmp/events", "d\t/srv/some where\tmoved", "d\t/srv/some where\tup")
    assert shell(vz, g, f"cd {where}; ls -d moved up 2>/dev/null; cat below/up") == "from elsewhere\n"
    # A program is never open for writing, so that the host can start it at any time.
    shell(vz, g, "sleep 1; : >/tmp/events")
    fd = os.open(folder / "program", os.O_CREAT | os.O_WRONLY, 0o755)
    os.write(fd, b"#!/bin/true\n")
    os.close(fd)
    seen = until_seen(vz, g, "/tmp/events", "e\t/srv/some where\tprogram")
    assert not any(line.startswith(("c", "w")) for line in seen), seen
    assert vz("exec", g, "--", "test", "-e", "/srv/some where/fresh").status == 1
    now = (folder / "file").stat()
    assert (now.st_mtime_ns, now.st_ctime_ns, now.st_mode) == (st.st_mtime_ns, st.st_ctime_ns, st.st_mode)
    # Not of what is not watched: below the folder.
    (folder / "below/deep").write_text("y")
    # One file: as tail -f does it.
    watch(vz, g, f"{where}/alone", "/tmp/alone")
    until_seen(vz, g, "/tmp/alone", "c\t/srv/some where/alone", change=lambda: (folder / "alone").write_text("y"))
    assert not any("deep" in line for line in until_seen(vz, g, "/tmp/events"))


def test_watchers_by_fanotify_are_told(vz, g, home):
    """What it tells by descriptors: names that come and go it does not tell of file systems like FUSE."""
    watch(vz, g, "'/srv/some where'", "/tmp/fan", "fanwatches")
    until_seen(vz, g, "/tmp/fan", "c\t/srv/some where/fan", "w\t/srv/some where/fan",
               change=lambda: (home / "auto/fan").write_text("x"))
    shell(vz, g, "killall fanwatches")


def test_watchers_hear_once_of_the_guests_own_changes(vz, g, home):
    shell(vz, g, "mkdir -p '/srv/some where/own'")
    watch(vz, g, "'/srv/some where/own'", "/tmp/own")
    until_seen(vz, g, "/tmp/own", "\tprobe", change=lambda: (home / "auto/own/probe").write_text("x"))
    time.sleep(1)
    shell(vz, g, ": >/tmp/own; cd '/srv/some where/own'; echo x >mine; mv mine yours; rm yours; sleep 2")
    seen = shell(vz, g, "cat /tmp/own")
    assert [line for line in seen.splitlines() if "mine" in line or "yours" in line] == [
        f"{event}\t/srv/some where/own\t{name}" for event, name in
        (("n", "mine"), ("c", "mine"), ("w", "mine"), ("m", "mine"), ("y", "yours"), ("d", "yours"))], seen


def test_watchers_of_what_is_only_read_are_told(vz, g, home):
    watch(vz, g, "/media/shares/auto_tag", "/tmp/ro")
    until_seen(vz, g, "/tmp/ro", "e\t/media/shares/auto_tag\tfile",
               change=lambda: (home / "auto/file").write_text("z\n"))
    assert shell(vz, g, "cat /media/shares/auto_tag/file") == "z\n"
    (home / "auto/file").write_text("in auto\n")


def test_watchers_are_told_after_the_agents_part_died(vz, g, home):
    """Of the agent's processes it is the one that nobody waits for: all but the first, and those of this command."""
    watch(vz, g, "/mnt", "/tmp/dies")
    until_seen(vz, g, "/tmp/dies", "\tfile", change=lambda: (home / "a/file").write_text("in a\n"))
    killed = shell(vz, g, """
for p in $(pidof vz-agent); do
    cut -d' ' -f4 /proc/$p/stat | grep -qx 1 || [ $p = $PPID ] || { kill -9 $p && echo $p; }
done; : >/tmp/dies""")
    assert killed.split()
    until_seen(vz, g, "/tmp/dies", "\tfile", change=lambda: (home / "a/file").write_text("in a\n"))
    shell(vz, g, "killall watches")


def test_a_share_that_is_watched_can_be_unmounted(vz, g):
    shell(vz, g, "killall watches; sleep 3; umount '/srv/some where' && mount -t virtiofs chosen '/srv/some where'")


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


def test_one_that_no_share_led_to_when_the_machine_was_locked(vz, g, home, tmp_path):
    """In the sandbox, its threads may open that one then; and again the one of before."""
    for i in range(3):
        folder = tmp_path / f"later{i}"
        (folder / "below").mkdir(parents=True)
        (folder / "below" / "file").write_text(f"later {i}\n")
        assert vz("share", g, f"work={folder}").status == 0
        assert shell(vz, g, "cat /mnt/below/file; echo new >/mnt/below/new") == f"later {i}\n"
        assert (folder / "below" / "new").read_text() == "new\n"
    assert vz("share", g, f"work={home}/a").status == 0
    assert "below" not in shell(vz, g, "ls /mnt")


def test_watchers_are_told_of_what_is_shared_now(vz, g, home):
    for name in ("a", "b"):
        (home / name / "both").mkdir()
    assert vz("share", g, f"work={home}/a").status == 0
    watch(vz, g, "/mnt/both", "/tmp/then")
    until_seen(vz, g, "/tmp/then", "\tbefore", change=lambda: (home / "a/both/before").write_text("x"))
    assert vz("share", g, f"work={home}/b").status == 0
    shell(vz, g, "killall watches; ls /mnt/both")
    watch(vz, g, "/mnt/both", "/tmp/now")
    until_seen(vz, g, "/tmp/now", "\tafter", change=lambda: [(home / name / "both" / word).write_text("x")
                                                            for name, word in (("a", "hidden"), ("b", "after"))])
    assert "hidden" not in shell(vz, g, "cat /tmp/now")
    shell(vz, g, "killall watches")


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
exec 8<>kept 9<gone
holds 8 sh -c 'while [ ! -e go ]; do sleep 0.2; done
  cat <&8 >out; echo after >&8; (cat <&9 || echo lost) >>out 2>&1; mv out done' </dev/null >/dev/null 2>&1 &
sleep 1; sync""")
    for command in (("save", g), ("restore", g)):
        r = vz(*command)
        assert r.status == 0, r
        (home / "a/gone").unlink(missing_ok=True)
    with open(home / "a/kept", "rb") as f:  # it has its lock
        with pytest.raises(BlockingIOError):
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with pytest.raises(OSError):
            fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    (home / "a/go").touch()
    deadline = time.monotonic() + 120
    while not (home / "a/done").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    out = (home / "a/done").read_text()
    assert out.startswith("before\n") and "lost" in out and "gone" not in out, out
    assert (home / "a/kept").read_text() == "before\nafter\n"


def test_who_waits_for_a_lock_gets_it_after_pauses_saves_and_rewinds(vz, g, home):
    """A program of the host has it until the end; meanwhile nothing comes of the guest's waiting, no error either."""
    assert vz("share", g, f"work={home}/a").status == 0

    def waits_on():
        assert sorted(shell(vz, g, "cat /tmp/waits").splitlines()) == ["flock begins", "posix begins"]

    with open(home / "a/waited", "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_EX)
        shell(vz, g, "waits /mnt/waited /tmp/waits </dev/null >/dev/null 2>&1 &")
        deadline = time.monotonic() + 120
        while shell(vz, g, "cat /tmp/waits 2>/dev/null | wc -l").strip() != "2":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        shell(vz, g, "sleep 0.5")  # to be there, as well
        for commands in ((("pause", g), ("resume", g)), (("save", g), ("restore", g)), (("snapshot", g, "waiting"),),
                         (("rewind", g, "waiting"),)):
            for command in commands:
                r = vz(*command)
                assert r.status == 0, r
            waits_on()
    deadline = time.monotonic() + 120
    while len(seen := shell(vz, g, "cat /tmp/waits").splitlines()) < 4:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    assert sorted(seen[2:]) == ["flock: 0", "posix: 0"]


def test_what_is_removed_is_an_empty_folder(vz, g, home):
    assert vz("share", g, "--remove", "work").status == 0
    assert shares(vz, g) == ""
    assert shell(vz, g, "ls /mnt | wc -l").strip() == "0"
    left = json.loads((home / "g.vz/config.json").read_text())["directorySharingDevices"]
    assert [d["tag"] for d in left] == list(OTHERS)
    r = vz("share", g, f"work={home}/a")
    assert (r.status, r.err) == (0, ""), r
    assert shell(vz, g, "cat /mnt/file") == "in a\n"
