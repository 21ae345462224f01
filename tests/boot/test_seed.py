# SPDX-License-Identifier: MIT
"""What `--seed` makes for cloud-init: as Linux mounts it, and as other programs read it."""
import subprocess

import pytest

import boots
import guest_drivers
from conftest import BUILD

DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk", "cdrom", "isofs")
UUID = "01234567-89ab-cdef-0123-456789abcdef"
USER = "#cloud-config\nusers:\n- name: me\n" + "# long\n" * 1000


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return guest_drivers.files(tmp_path_factory.mktemp("modules"), DRIVERS)


def test_linux_mounts_it(kernels, initramfs, modules, tmp_path):
    user, network = tmp_path / "user,data", tmp_path / "network"
    user.write_text(USER)
    network.write_text("version: 2\n")
    # Rock Ridge, and without it Joliet.
    script = guest_drivers.load(DRIVERS) + (
        "mkdir -p /mnt; echo x >/dev/vda || echo read-only\n"
        "for o in ro ro,norock; do mount -t iso9660 -o $o /dev/vda /mnt || echo no $o; ls -1 /mnt\n"
        "cat /mnt/meta-data /mnt/network-config; cmp /mnt/user-data /user-data && echo same; umount /mnt; done\n"
        "poweroff -f\n")
    r = boots.run(kernels["cloud"], initramfs(script, *modules, (user, "user-data")), "--uuid", UUID, "--name",
                  "my box", "--seed", str(user).replace(",", ",,") + f",network-config={network}")
    assert r.status == 0, r
    assert "read-only" in r.out, r
    assert r.out.count("\nsame\n") == 2 and r.out.count("version: 2") == 2, r
    assert r.out.count(f"instance-id: {UUID}\nlocal-hostname: my-box\n") == 2, r
    assert r.out.count("meta-data\nnetwork-config\nuser-data\n") == 2, r


def tool(*args):
    return subprocess.run(list(map(str, args)), check=True, stdout=subprocess.PIPE, text=True).stdout


def test_other_programs_read_it(tmp_path):
    user, image = tmp_path / "user-data", tmp_path / "seed.iso"
    user.write_text(USER)
    tool(f"{BUILD}/tests/disk/diskrig", "seed", user, image)
    assert tool("blkid", "-p", "-s", "LABEL", "-s", "TYPE", "-o", "value", image).split() == ["cidata", "iso9660"]
    for tree in "-R", "-J":
        names = tool("isoinfo", tree, "-f", "-i", image).split()
        assert names == ["/meta-data", "/user-data"], tree
        assert tool("isoinfo", tree, "-x", "/user-data", "-i", image) == USER
    assert "Rock Ridge signatures version 1 found" in tool("isoinfo", "-d", "-i", image)


@pytest.mark.parametrize("value, said", [("/nowhere", "/nowhere: No such file"), ("/etc", "/etc: is not a file"),
                                         ("/etc/hostname,/nowhere", "/nowhere: No such file")])
def test_what_is_not_there_is_named(vz, tiny_kernel, value, said):
    r = vz("run", "--kernel", tiny_kernel(b"\xf4"), "--seed", value)
    assert r.status == (2 if "not a file" in said else 1) and said in r.err and r.err.count("\n") == 1, r


def test_what_cloud_init_would_ignore_is_refused(vz, tiny_kernel, tmp_path):
    user = tmp_path / "user-data"
    user.write_text("users: []\n")
    r = vz("run", "--kernel", tiny_kernel(b"\xf4"), "--seed", user)
    assert r.status == 1 and "#cloud-config" in r.err and str(user) in r.err, r


def test_what_provisioning_says_is_in_the_seed(kernels, initramfs, modules, tmp_path):
    form = tmp_path / "form.json"
    form.write_text('{"username": "me", "password": "secret", "sshKeys": ["ssh-ed25519 AAAA me"], "hostname": "web"}')
    script = guest_drivers.load(DRIVERS) + "mount -t iso9660 -o ro /dev/vda /mnt; cat /mnt/user-data; poweroff -f\n"
    r = boots.run(kernels["cloud"], initramfs(script, *modules), "--provision", form)
    assert r.status == 0 and "#cloud-config\n" in r.out, r
    assert '"plain_text_passwd": "secret"' in r.out and '"hostname": "web"' in r.out, r


@pytest.mark.parametrize("form, said", [
    ('{"username": "me", "fullName": "a:b"}', "full name"), ('{"username": "root"}', "user name 'root'"),
    ('{"username": "me", "password": ""}', "password"), ("nonsense", "provisioning: line 1"), ('{"x": 1}', "x: is not known")])
def test_bad_provisioning_is_refused(vz, tiny_kernel, tmp_path, form, said):
    (tmp_path / "form.json").write_text(form)
    r = vz("run", "--kernel", tiny_kernel(b"\xf4"), "--provision", tmp_path / "form.json")
    assert r.status == 2 and said in r.err and r.err.count("\n") == 1, r
