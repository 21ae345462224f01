# SPDX-License-Identifier: MIT
"""A guest's root installs a system onto a share, where an ordinary user of the host runs vz; and it is booted from there."""
import os
import shutil
import subprocess

import pytest

import guest_drivers

from conftest import PATIENT, SLOWER, VZ
from test_root import AS_NOBODY, NOBODY, give_away, unpacked  # noqa: F401 (a fixture)

MIRROR = os.environ.get("VZ_DEBIAN_MIRROR", "deb.debian.org")
DRIVERS = (*guest_drivers.VIRTIO, *guest_drivers.NETWORK, "fuse", "virtiofs")
PREPARE = """
mkdir /h && mount -t tmpfs -o mode=755 h /h && cd /h
mkdir usr etc tmp proc sys dev work root run var && chmod 1777 tmp
for d in bin sbin lib lib64; do ln -s usr/$d $d; done
echo "root:x:0:0:root:/root:/bin/sh
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin" >etc/passwd; echo "root:x:0:" >etc/group
ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2
echo nameserver 10.0.2.3 >etc/resolv.conf
mount -t virtiofs usr usr && mount -t virtiofs work work
mount -t proc proc proc && mount -t sysfs sys sys && mount -o bind /dev dev
mkdir -p dev/shm dev/pts var/lib/dpkg var/cache var/log etc/apt/apt.conf.d etc/apt/trusted.gpg.d etc/dpkg/dpkg.cfg.d
cp /script tmp/script
PATH=/usr/sbin:/usr/bin chroot . /bin/bash tmp/script && echo "#### done"; poweroff -f
"""


@pytest.fixture
def install(kernels, initramfs, tmp_path):
    """install(SCRIPT) has the guest's bash do it, as root, in /work; returned is that, which is all an ordinary user's."""

    def go(script, limit_s=600):
        work, home = tmp_path / "work", tmp_path / "home"
        work.mkdir()
        home.mkdir()
        give_away(work, home)
        (tmp_path / "script").write_text("set -e\nexport HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8\n"
                                         "cd /work\n" + script)
        initrd = shutil.copy(initramfs(guest_drivers.load(DRIVERS) + PREPARE, *guest_drivers.files(tmp_path, DRIVERS),
                                       (tmp_path / "script", "script")), home)
        r = subprocess.run([*AS_NOBODY, VZ, "run", "--kernel", kernels["cloud"], "--initrd", initrd, "--memory", "1G",
                            "--cpus", "2", "--net", "nat", "--cmdline", f"console=ttyS0 quiet {PATIENT}", "--share", "usr=/usr,ro",
                            "--share", f"work={work},map=root"], stdin=subprocess.DEVNULL, capture_output=True,
                           env={**os.environ, "HOME": str(home), "VZ_HOME": str(home)}, timeout=limit_s * SLOWER)
        assert r.returncode == 0 and b"#### done" in r.stdout, (r.stdout[-3000:].decode(errors="replace"), r.stderr)
        for top, folders, names in os.walk(work):
            for name in (*folders, *names):
                st = os.lstat(os.path.join(top, name))
                assert st.st_uid == (NOBODY if AS_NOBODY else os.geteuid()) and not st.st_mode & 0o6000, (top, name)
        return work

    return go


def boot(tree, *command, unpacked):  # noqa: F811
    (kernel,) = unpacked("cloud").glob("boot/vmlinuz-*")  # with its modules beside it
    r = subprocess.run([*AS_NOBODY, VZ, "run", "--memory", "512M", "--root", tree, "--kernel", kernel, "--", *command],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900 * SLOWER,
                       env={**os.environ, "HOME": str(tree), "VZ_HOME": str(tree)})
    assert r.returncode == 0, r
    return r.stdout


def test_what_dpkg_installed_is_booted(install, unpacked):  # noqa: F811
    """One package, with users' files, set-ID bits, a device, a configuration file and a script that runs at the end."""
    work = install("""
mkdir -p p/DEBIAN p/bin p/dev p/etc p/proc p/sys p/run p/tmp p/root p/sbin p/home/user
mkdir -p root/var/lib/dpkg/updates root/var/lib/dpkg/info
printf 'Package: p\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: p\\n' >p/DEBIAN/control
printf '/etc/passwd\\n' >p/DEBIAN/conffiles; : >root/var/lib/dpkg/status
printf '#!/bin/sh\\nchown 1000:1000 $DPKG_ROOT/home/user\\n' >p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
cp /proc/1/exe p/bin/busybox; for n in sh stat ls cat mount id chown; do ln -s busybox p/bin/$n; done
printf 'root:x:0:0::/root:/bin/sh\\nuser:x:1000:1000::/:/bin/sh\\n' >p/etc/passwd
cp p/bin/busybox p/bin/su; chmod 4755 p/bin/su; mknod p/dev/thing c 10 200; chmod 660 p/dev/thing; chown 0:1000 p/dev/thing
dpkg-deb -b p p.deb >/dev/null; rm -rf p
dpkg --root=/work/root --force-script-chrootless --force-not-root --no-triggers -i p.deb
""")
    out = boot(work / "root", "/bin/stat", "-c", "%a %u:%g %F %t,%T", "/bin/su", "/home/user", "/etc/passwd", "/bin/sh",
               unpacked=unpacked)
    assert out == ("4755 0:0 regular file 0,0\n755 1000:1000 directory 0,0\n644 0:0 regular file 0,0\n"
                   "777 0:0 symbolic link 0,0\n"), out


@pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes many minutes and the network: VZ_LONG=1")
def test_what_mmdebstrap_installed_is_booted(install, unpacked):  # noqa: F811
    work = install(f"""
mmdebstrap --mode=root --variant=minbase --include=init,systemd-sysv --aptopt='APT::Sandbox::User "root"' bookworm debian \\
    http://{MIRROR}/debian >log 2>&1 || {{ cat log; false; }}
test -x debian/sbin/init
""", limit_s=3000)
    out = boot(work / "debian", "sh", "-c", "systemctl is-system-running --wait; stat -c '%U:%G %a' /etc/shadow /usr/bin/passwd; "
               "dpkg --audit; dpkg -s bash | grep Status", unpacked=unpacked)
    assert out.splitlines()[1:] == ["root:shadow 640", "root:root 4755", "Status: install ok installed"], out
