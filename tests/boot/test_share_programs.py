# SPDX-License-Identifier: MIT
"""Programs that ask much of a file system, at work on a share: the host's own, which the guest has from its /usr."""
import concurrent.futures
import fcntl
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

import guest_drivers

from boots import run, trouble
from conftest import SLOWER

DRIVERS = (*guest_drivers.VIRTIO, "fuse", "virtiofs")
IS_LONG = "VZ_LONG" in os.environ
ROUNDS = 30


def needs(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")


def until_there(path):
    end = time.monotonic() + 300 * SLOWER
    while not path.exists():
        assert time.monotonic() < end, f"the guest has not made {path.name}"
        time.sleep(0.005)


@pytest.fixture
def at_work(kernels, initramfs, tmp_path):
    """at_work(SCRIPT) has the guest's bash do it in /work, which is returned as the host has it. Its end is "done"."""

    def go(script, meanwhile=None):
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        (tmp_path / "script").write_text("set -e\nexport HOME=/root PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8\ncd /work\n" + script +
                                         "\necho '#### done'\n")
        initrd = initramfs(guest_drivers.load(DRIVERS) + """
mkdir /h && mount -t tmpfs -o mode=755 h /h && cd /h && mkdir usr etc tmp proc dev work root run var && chmod 1777 tmp
for d in bin sbin lib lib64; do ln -s usr/$d $d; done
echo "root:x:0:0:root:/root:/bin/sh
user:x:1000:1000::/tmp:/bin/sh" >etc/passwd; echo "root:x:0:
user:x:1000:" >etc/group
mount -t virtiofs usr usr && mount -t virtiofs work work && mount -t proc proc proc && mount -o bind /dev dev
mkdir -p dev/shm && mount -t tmpfs shm dev/shm; ifconfig lo 127.0.0.1; cp /script tmp/script; : >work/ready
chroot . /bin/bash tmp/script; poweroff -f
""", *guest_drivers.files(tmp_path, DRIVERS), (tmp_path / "script", "script"))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            other = pool.submit(meanwhile, work) if meanwhile else None
            result = run(kernels["cloud"], initrd, "--memory", "768M", "--cpus", 2, "--share", "usr=/usr,ro", "--share", f"work={work}")
            if other:
                other.result(timeout=300 * SLOWER)  # what went wrong there is why this fails
        assert result.status == 0 and not trouble(result.out) and "#### done" in result.out, result
        return work

    return go


@needs("git")
def test_git(at_work):
    work = at_work("""
git config --global user.email a@b; git config --global user.name a; git config --global init.defaultBranch main
git init -q r && cd r
for i in $(seq 60); do mkdir -p d$((i % 7)); echo "file $i" >d$((i % 7))/f$i; done; chmod 755 d1/f1; ln -s d1/f1 link
git add . && git commit -qm one && git mv d1/f8 d2/moved && git commit -qm two && git checkout -q -b other HEAD~1
git checkout -q main && git merge -q other && git gc -q && git fsck --strict && git status --porcelain
cd .. && git clone -q r copy && git -C copy log --oneline | wc -l >count && rm -rf copy
""")
    assert (work / "count").read_text() == "2\n"
    r = subprocess.run(["git", "-c", "safe.directory=*", "-C", work / "r", "status", "--porcelain"], capture_output=True,
                       text=True, check=True)
    assert r.stdout == "" and (work / "r/d2/moved").read_text() == "file 8\n"


# Each file is known to the guest, and cached, before the host, which has locked it, changes it and lets go of it at once.
LOCKS = ("flock", "posix", "polled", "again")
LOCKED = '''
import fcntl, os, time
def polled(f):
    while True:
        try:
            return fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100)
        except BlockingIOError:
            pass
def posix(f):
    fcntl.lockf(f, fcntl.LOCK_EX, 1, 100)
take = {"flock": lambda f: fcntl.flock(f, fcntl.LOCK_EX), "posix": posix, "polled": polled, "again": posix}
for name, lock in take.items():
    reader, locker = os.open(name, os.O_RDWR), os.open(name, os.O_RDWR)
    if name == "again":  # a part of it had been locked by the guest before
        fcntl.lockf(locker, fcntl.LOCK_EX, 1, 0)
    os.pread(reader, 4096, 0)
    open("known-" + name, "w").close()
    lock(locker)
    seen = os.pread(reader, 4096, 0)
    open("seen-" + name, "wb").write(seen)
reader = os.open("mode", os.O_RDWR)
os.pread(reader, 4096, 0)
open("known-mode", "w").close()
while not os.path.exists("changed-mode"):
    time.sleep(0.01)
os.fchmod(reader, 0o600)
open("seen-mode", "wb").write(os.pread(reader, 4096, 0))
'''


@needs("python3")
def test_what_was_changed_is_seen_by_who_locks_it_next(at_work, tmp_path):
    """At once, though else the guest may believe for a second what it knows. And its chmod() hides no change."""
    work = tmp_path / "work"
    work.mkdir()
    for name in (*LOCKS, "mode"):
        (work / name).write_text("old")
    held = {name: open(work / name, "r+", buffering=1) for name in LOCKS}
    for name, f in held.items():
        if name == "flock":
            fcntl.flock(f, fcntl.LOCK_EX)
        else:
            fcntl.lockf(f, fcntl.LOCK_EX, 1, 100)

    def on_host(work):
        for name, f in held.items():
            until_there(work / f"known-{name}")
            f.write("new")
            f.close()  # and it is free
        until_there(work / "known-mode")
        (work / "mode").write_text("new")
        (work / "changed-mode").touch()

    at_work(f"cat >/tmp/locked.py <<'END'\n{LOCKED}END\npython3 /tmp/locked.py", on_host)
    assert {name: (work / f"seen-{name}").read_text() for name in (*LOCKS, "mode")} == dict.fromkeys((*LOCKS, "mode"), "new")


@needs("sqlite3")
def test_sqlite_locks_against_the_host(at_work):
    """Guest and host put rows into one data base at the same time, each by many transactions."""

    def on_host(work):
        until_there(work / "made")
        for n in range(ROUNDS * 3):
            with sqlite3.connect(work / "db", timeout=300) as db:
                db.execute("update sum set n = n + 1")
                db.execute("insert into t values ('host', ?)", (n,))
            db.close()

    work = at_work(f"""
sqlite3 db "create table t(who, n); create table sum(n); insert into sum values (0)"; : >made
put() {{ for i in $(seq {ROUNDS}); do
    sqlite3 -cmd '.timeout 300000' db "begin immediate; update sum set n = n + 1; insert into t values ('$1', $i); commit"
done; }}
put a & put b & wait
sqlite3 db 'pragma integrity_check' | grep -qx ok
""", on_host)
    with sqlite3.connect(work / "db") as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        assert db.execute("select n from sum").fetchone() == (5 * ROUNDS,)
        assert db.execute("select who, count(*) from t group by who order by who").fetchall() == \
            [("a", ROUNDS), ("b", ROUNDS), ("host", 3 * ROUNDS)]


@needs("dpkg-deb")
def test_a_debian_package_is_built(at_work):
    """With files of several owners, set-ID bits and a device, as no fakeroot is needed for them here."""
    work = at_work("""
mkdir -p p/DEBIAN p/usr/bin p/dev
printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: p\\n' >p/DEBIAN/control
cp /usr/bin/true p/usr/bin/p; chown 0:1000 p/usr/bin/p; chmod 6755 p/usr/bin/p; ln -s p p/usr/bin/q; mknod p/dev/null c 1 3
dpkg-deb -b p p.deb && mkdir x && dpkg-deb -x p.deb x && cmp x/usr/bin/p /usr/bin/true
stat -c '%a %u:%g %F' x/usr/bin/p x/dev/null >seen
""")
    assert (work / "seen").read_text() == "6755 0:1000 regular file\n644 0:0 character special file\n"
    listed = subprocess.check_output(["dpkg-deb", "-c", work / "p.deb"], text=True)
    assert "-rwsr-sr-x root/1000" in listed.replace("root/user", "root/1000") and "crw-r--r--" in listed, listed
    assert not os.stat(work / "x/usr/bin/p").st_mode & 0o6000


@needs("rpmbuild", "rpm")
def test_an_rpm_package_is_built(at_work):
    """By the guest's root, with files of others and set-ID bits, and unpacked as root does."""
    work = at_work("""
cat >p.spec <<'END'
Name: p
Version: 1
Release: 1
Summary: p
License: none
%description
p
%install
mkdir -p %{buildroot}/usr/bin; cp /usr/bin/true %{buildroot}/usr/bin/p; ln -s p %{buildroot}/usr/bin/q
%files
%attr(6755,root,user) /usr/bin/p
/usr/bin/q
END
mkdir -p tmp db root/etc && cp /etc/passwd /etc/group root/etc
as() { "$@" >log 2>&1 || { cat log; exit 1; }; }
as rpmbuild -bb --define '_topdir /work/top' --define '_tmppath /work/tmp' --define '_dbpath /work/db' \\
    --define '__os_install_post %{nil}' p.spec
as rpm --root /work/root --dbpath /db --initdb
as rpm --root /work/root --dbpath /db -i --nodeps --ignorearch --ignoreos top/RPMS/*/p-1-1.*.rpm
rpm --root /work/root --dbpath /db -q --qf '%{NAME} %{VERSION}\\n' p >seen 2>log; stat -c '%a %u:%g %F' root/usr/bin/p >>seen; cmp root/usr/bin/q /usr/bin/true
""")
    assert (work / "seen").read_text() == "p 1\n6755 0:1000 regular file\n"
    assert not os.stat(work / "root/usr/bin/p").st_mode & 0o6000


@needs("npm")
def test_npm_installs(at_work):
    """Packages that are there, for there is no network: their dependencies on each other, links and scripts."""
    work = at_work("""
for n in 1 2 3; do
    mkdir -p p$n && echo '{"name":"pN","version":"1.0.N","bin":{"pN":"run.js"},"main":"run.js"}' | sed "s/N/$n/g" >p$n/package.json
    printf '#!/usr/bin/env node\\nconsole.log("p%s runs")\\n' $n >p$n/run.js; chmod 755 p$n/run.js
done
export npm_config_cache=/work/cache npm_config_offline=true npm_config_update_notifier=false
export npm_config_audit=false npm_config_fund=false
for n in 1 2; do tar czf p$n.tgz --transform "s,^p$n,package," p$n; done
mkdir app && cd app && echo '{"name":"app","version":"1.0.0"}' >package.json && npm install --silent ../p1.tgz ../p2.tgz ../p3
for n in 1 2 3; do node_modules/.bin/p$n; done >../runs
""")
    assert (work / "runs").read_text() == "p1 runs\np2 runs\np3 runs\n"
    assert (work / "app/node_modules/.bin/p1").is_symlink() and (work / "app/node_modules/p3").is_symlink()
    assert "p2.tgz" in (work / "app/package-lock.json").read_text()


@needs("pg_ctl", "initdb", "pgbench")
@pytest.mark.skipif(not IS_LONG, reason="takes minutes: VZ_LONG=1")
def test_postgresql(at_work):
    """A cluster of a user's of the guest: many sessions at once, a second server that is refused, a crash, checksums."""
    at_work("""
pg=$(dirname $(readlink -f $(ls -d /usr/lib/postgresql/*/bin/postgres | tail -n 1))); mkdir pg; chown 1000:1000 pg; chmod 700 pg
as() { setpriv --reuid=1000 --regid=1000 --clear-groups env PATH=$pg:$PATH PGHOST=/tmp PGUSER=postgres PGDATABASE=postgres "$@"; }
options="-k /tmp -c listen_addresses="
as initdb -k -U postgres -A trust -D pg >/dev/null
as pg_ctl -w -t 300 -D pg -l pg/log -o "$options" start >/dev/null
! as pg_ctl -w -t 20 -D pg -o "$options -p 5433" start >/dev/null 2>&1
as pgbench -q -i -s 1 >/dev/null 2>&1; as pgbench -n -c 4 -t 50 2>&1 | grep 'actually processed: 200/200'
kill -9 $(head -n 1 pg/postmaster.pid); while [ -e /proc/$(head -n 1 pg/postmaster.pid) ]; do sleep 0.1; done; sleep 2
as pg_ctl -w -t 300 -D pg -l pg/log -o "$options" start >/dev/null
as psql -Atc "select sum(delta) = (select sum(abalance) from pgbench_accounts), count(*) from pgbench_history" | grep -x 't|200'
as pg_ctl -w -t 300 -D pg -m fast stop >/dev/null; as pg_checksums --check -D pg | grep 'Bad checksums:  *0'
""")
