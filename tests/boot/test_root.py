# SPDX-License-Identifier: MIT
"""A directory of the host as a guest's root (--root)."""
import os
import shutil
import subprocess
import time

import pytest

from conftest import BUILD, ROOT, SLOWER, VZ, Result

NOBODY = 65534
# As an ordinary user whose the tree is; the tests' own folders are not for others to enter.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """unpacked(NAME): a kernel's package, unpacked: boot/ and lib/modules/."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(f"kernel-{name}")
            subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-{name}/package.deb", made[name]], check=True)
        return made[name]

    return get


@pytest.fixture
def tree(tmp_path):
    """A root of busybox without an init, that belongs to an ordinary user."""
    tree = tmp_path / "root, of a guest"
    for folder in ("bin", "dev", "etc", "proc", "run", "sbin", "sys", "tmp", "root"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(f"{ROOT}/cache/busybox", tree / "bin/busybox")
    for name in subprocess.check_output([tree / "bin/busybox", "--list"], text=True).split():
        if name not in ("busybox", "init", "linuxrc"):
            (tree / "bin" / name).symlink_to("busybox")
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")
    return tree


def give_away(*folders):
    """To the user as whom vz runs, with all that is in them; the way there may be gone by anybody."""
    for folder in folders if AS_NOBODY else ():
        subprocess.run(["chown", "-hR", f"{NOBODY}:{NOBODY}", folder], check=True)
        for above in folder.parents:
            if above.owner() == "root" and len(above.parts) > 2:
                above.chmod(0o755)


def run(tree, *args, kernel=None, home=None, options=""):
    boot = ["--kernel", *map(str, kernel.glob("boot/vmlinuz-*"))] if kernel else []
    env = {**os.environ, "HOME": str(home or tree), "VZ_HOME": str(home or tree)}
    r = subprocess.run([*AS_NOBODY, VZ, "run", "--memory", "256M", "--root", str(tree).replace(",", ",,") + options,
                        *boot, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=env,
                       timeout=600 * SLOWER)
    return Result(r.returncode, r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace"))


def test_a_command_in_a_root_without_an_init(tree, unpacked):
    """With a kernel from elsewhere; everything is root's, and stays an ordinary user's on the host."""
    (tree / "bin/set-id").write_bytes((tree / "bin/busybox").read_bytes())
    give_away(tree)
    r = run(tree, "--", "/bin/sh", "-c", """
grep -c '^vz-root / virtiofs rw' /proc/mounts; stat -c '%u:%g' / /bin/sh /etc/passwd
echo written >/new; chown 3:4 /new; chmod 4755 /new; mknod /null c 1 3; ln -s new /link; stat -c %u:%g:%a /new /link
chown 0:0 /new; touch /root/plain; ls /dev/pts | grep -c ptmx; ip addr show lo | grep -c 'inet 127.0.0.1'; exit 7""",
            kernel=unpacked("cloud"))
    assert (r.status, r.out, r.err) == \
        (7, "1\n0:0\n0:0\n0:0\n3:4:4755\n0:0:777\n1\n1\n", ""), r
    assert (tree / "new").read_text() == "written\n" and (tree / "link").is_symlink()
    for name in ("new", "null", "link", "root/plain"):
        assert os.lstat(tree / name).st_uid == (NOBODY if AS_NOBODY else os.geteuid())
    assert not os.lstat(tree / "new").st_mode & 0o4000
    # What root in the guest makes needs nothing beside it.
    assert os.listxattr(tree / "root/plain") == [] and os.listxattr(tree / "null") != []


def test_a_root_without_an_init_has_a_network(tree, unpacked):
    """By DHCP, before the command runs; what the directory has for resolv.conf stays, and is not seen."""
    (tree / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
    give_away(tree)
    r = run(tree, "--net", "nat", "--", "/bin/sh", "-c", """
ip -4 -o addr show eth0 | grep -o 'inet [0-9./]*'; ip route | grep ^default | cut -d' ' -f1-5; cat /etc/resolv.conf
ping -c 1 -W 5 10.0.2.2 | grep -c '1 packets received'""", kernel=unpacked("cloud"))
    assert (r.status, r.out) == (0, "inet 10.0.2.15/24\ndefault via 10.0.2.2 dev eth0\nnameserver 10.0.2.3\n1\n"), r
    assert (tree / "etc/resolv.conf").read_text() == "nameserver 192.0.2.1\n"
    (tree / "etc/resolv.conf").unlink()
    (tree / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    r = run(tree, "--", "/bin/sh", "-c", "ip -o link | wc -l; cat /etc/resolv.conf", kernel=unpacked("cloud"))
    assert (r.status, r.out) == (1, "1\n"), r
    r = run(tree, "--net", "nat", "--", "/bin/sh", "-c",
            "cat /etc/resolv.conf; ls -l /etc/resolv.conf | grep -c 'run/systemd'", kernel=unpacked("cloud"))
    assert (r.status, r.out) == (0, "nameserver 10.0.2.3\n1\n"), r


@pytest.mark.parametrize("kernel", ["amd64", "newer"])  # modules in order; compressed ones, and virtiofs in the kernel
def test_the_roots_own_kernel_and_init(tree, unpacked, kernel):
    for folder in ("boot", "lib"):
        shutil.copytree(unpacked(kernel) / folder, tree / folder, symlinks=True)
    (tree / "sbin/init").write_text("""#!/bin/sh
mount -t proc proc /proc
echo "== pid $$ $(grep -c ' / virtiofs' /proc/mounts) $(uname -r)"; ls /; poweroff -f
""")
    (tree / "sbin/init").chmod(0o755)
    give_away(tree)
    r = run(tree)
    version = os.listdir(unpacked(kernel) / "lib/modules")[0]
    assert r.status == 0 and f"== pid 1 1 {version}\n" in r.out.replace("\r", ""), r


def test_what_is_only_read_and_where_changes_go(tree, unpacked, tmp_path):
    kernel, changes = unpacked("cloud"), tmp_path / "changes"
    changes.mkdir()
    (tree / "old").write_text("old\n")
    give_away(tree, changes)
    before = sorted(os.listdir(tree))
    script = ("echo x >/new && rm /old && echo more >>/etc/passwd && cat /new && ls / && rmdir /tmp && mkdir /tmp && "
              "ls /tmp")
    r = run(tree, "--", "/bin/sh", "-c", script, kernel=kernel, options=",ro")
    assert r.status == 0 and "new" in r.out.split() and "old" not in r.out.split(), r
    assert sorted(os.listdir(tree)) == before and "more" not in (tree / "etc/passwd").read_text()
    r = run(tree, "--", "/bin/sh", "-c", script, kernel=kernel, options=f",changes={changes}")
    assert r.status == 0 and "new" in r.out.split(), r
    assert sorted(os.listdir(tree)) == before and "more" not in (tree / "etc/passwd").read_text()
    r = run(tree, "--", "/bin/sh", "-c", "cat /new; ls -d /old; tail -n 1 /etc/passwd; stat -c %u /new", kernel=kernel,
            options=f",changes={changes}")
    assert r.out == "x\nmore\n0\n" and "/old" in r.err, r


def test_what_is_wrong_is_said(tree, unpacked):
    give_away(tree)
    for options, word in (("", "no kernel in its /boot"), (",rw", "expected DIR[,ro]"),
                          (",map=x", "'x' is not mine, root")):
        r = run(tree, options=options, kernel=None if options == "" else unpacked("cloud"))
        assert r.status == 2 and word in r.err, r
    for option in (("--efi",), ("--initrd", "x"), ("--boot-disk", "x")):
        r = run(tree, *option)
        assert r.status == 2 and f"--root and {option[0]}" in r.err, r
    r = run("/nonexistent", kernel=unpacked("cloud"), home="/tmp")
    assert r.status == 1 and "/nonexistent: No such file" in r.err, r


def test_a_kernel_without_the_driver_ends_with_a_sentence(tree, unpacked, tmp_path):
    """Its modules are nowhere, nor is the one by which it could tell of its panic."""
    (tmp_path / "lone/boot").mkdir(parents=True)
    shutil.copy(*unpacked("cloud").glob("boot/vmlinuz-*"), tmp_path / "lone/boot")
    give_away(tree, tmp_path / "lone")
    r = run(tree, kernel=tmp_path / "lone")
    assert r.status == 3 and "panicked" in r.err, r
    assert "has no virtiofs of its own, and there is no lib/modules/" in r.out, r
    r = run(tree, "--", "true", kernel=tmp_path / "lone")  # its console is nobody's
    assert r.status == 125 and "panicked" in r.err, r


def test_a_printed_configuration_starts_the_same_machine(tree, unpacked, tmp_path):
    (tree / "sbin/init").write_text("#!/bin/sh\necho == the init; poweroff -f\n")
    (tree / "sbin/init").chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    give_away(tree, home)
    for _ in range(2):
        r = run(tree, "--print-config", kernel=unpacked("cloud"), home=home)
        assert r.status == 0 and "/proc/" not in r.out, r
    assert len(list(home.glob("root-*.initrd"))) == 1
    (tmp_path / "machine.json").write_text(r.out)
    (tmp_path / "machine.json").chmod(0o644)
    r = subprocess.run([*AS_NOBODY, VZ, "run", "--config", tmp_path / "machine.json"], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, env={**os.environ, "VZ_HOME": str(home)}, timeout=600 * SLOWER)
    assert r.returncode == 0 and "== the init" in r.stdout, r


def test_links_in_the_root_lead_to_nothing_else_of_the_host(tree, unpacked, tmp_path):
    """vz reads kernel and modules itself, and a guest may have written them."""
    kernel, (version,) = unpacked("cloud"), os.listdir(unpacked("cloud") / "lib/modules")
    beside, folder = tmp_path / "beside.ko", tree / "lib/modules" / version
    shutil.copy(next(kernel.glob("lib/modules/*/kernel/fs/fuse/virtiofs.ko*")), beside)
    folder.mkdir(parents=True)
    (folder / "virtiofs.ko").symlink_to(beside)
    give_away(tree)
    r = run(tree, kernel=kernel)
    assert r.status == 2 and "virtiofs.ko: No such file" in r.err, r
    (folder / "virtiofs.ko").unlink()
    os.mkfifo(folder / "virtiofs.ko")
    r = run(tree, kernel=kernel)
    assert r.status == 2 and "virtiofs.ko: not a regular file" in r.err, r
    (tree / "boot").mkdir()
    (tree / "boot/vmlinuz-1").symlink_to(next(kernel.glob("boot/vmlinuz-*")))
    r = run(tree)
    assert r.status == 2 and "boot/vmlinuz-1: No such file" in r.err, r


def test_a_saved_one_is_restored(tree, unpacked, tmp_path):
    out = tmp_path / "out"
    state, console = out / "state", out / "console"
    out.mkdir()
    give_away(tree, out)
    kernel = next(unpacked("cloud").glob("boot/vmlinuz-*"))
    vz = [*AS_NOBODY, VZ, "run", "--serial", f"file:{console}"]
    env = {**os.environ, "HOME": str(tree), "VZ_HOME": str(tree)}
    (tree / "sbin/init").write_text("#!/bin/sh\nuntil [ -e /goes-on ]; do echo waits; sleep 1; done; poweroff -f\n")
    (tree / "sbin/init").chmod(0o755)
    p = subprocess.Popen([*vz, "--memory", "256M", "--root", str(tree).replace(",", ",,"), "--kernel", kernel,
                          "--save", state], env=env)
    deadline = time.monotonic() + 300 * SLOWER
    while not console.exists() or "waits" not in console.read_text():
        assert time.monotonic() < deadline and p.poll() is None
        time.sleep(0.2)
    p.terminate()
    p.wait(120 * SLOWER)
    (tree / "goes-on").write_text("")
    r = subprocess.run([*vz, "--restore", state], env=env, capture_output=True, timeout=300 * SLOWER)
    assert r.returncode == 0, r


def test_a_debian_with_its_kernel_and_systemd(tmp_path):
    tree, folders = tmp_path / "debian", "bin boot etc home lib lib64 mnt opt root sbin srv usr var"
    for folder in ("dev", "proc", "run", "sys", "tmp"):
        (tree / folder).mkdir(parents=True)
    assert os.path.exists(f"{ROOT}/cache/debian.img"), "scripts/debian-demo makes it"
    subprocess.run(["debugfs", "-R", f"rdump {folders} {tree}", f"{ROOT}/cache/debian.img"], check=True,
                   capture_output=True)
    (tree / "etc/fstab").write_text("")
    (tree / "tmp").chmod(0o1777)
    # Programs of another processor too, which stay registered when systemd starts its own part of that again.
    shutil.copy(f"{BUILD}/agent/vz-agent", tree / "usr/sbin/vz-agent")
    (tree / "usr/lib/binfmt.d").mkdir(exist_ok=True)
    (tree / "usr/lib/binfmt.d/other.conf").write_text(":other:M::abcdefgh::/bin/true:\n")
    subprocess.run(["aarch64-linux-gnu-gcc", "-O2", "-static", "-o", tree / "root/foreign",
                    f"{ROOT}/tests/boot/programs/foreign.c", "-lm", "-pthread"], check=True)
    give_away(tree)
    r = run(tree, "--memory", "512M", "--foreign", "arm64", "--", "sh", "-c",
            "/root/foreign again; systemctl restart systemd-binfmt; /root/foreign again; "
            "systemctl is-system-running --wait; systemctl --failed --no-legend; "
            "stat -c %U:%a /etc/shadow; touch /root/x; chown nobody /root/x; stat -c %U /root/x; "
            "dpkg -s bash | grep Status",
            home=tmp_path)
    assert r.status == 0 and r.out == \
        "again /root/foreign\n" * 2 + "running\nroot:640\nnobody\nStatus: install ok installed\n", r
