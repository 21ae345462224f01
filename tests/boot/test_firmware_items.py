# SPDX-License-Identifier: MIT
"""Texts that a guest asks for by fw_cfg."""
import pytest

import boots
import guest_drivers


def test_a_guest_reads_them(kernels, initramfs, tmp_path):
    initrd = initramfs("echo \"one: <$(fwcfg opt/org.example/one)>\"; echo \"two: <$(fwcfg opt/two)>\"\n"
                       "fwcfg opt/three; echo three: $?\npoweroff -f\n",
                       guest_drivers.program(tmp_path, "tests/virtio/fwcfg.c"))
    r = boots.run(kernels["cloud"], initrd, "--fw-cfg", "opt/org.example/one=a text, with = and commas",
                  "--fw-cfg", "opt/two=2")
    assert r.status == 0, r
    assert "one: <a text, with = and commas>" in r.out and "two: <2>" in r.out and "three: 2" in r.out, r


def test_linux_lists_them(kernels, initramfs, tmp_path):
    """By its own driver, which finds the ports in ACPI's tables."""
    files = guest_drivers.files(tmp_path, ["qemu_fw_cfg"])
    script = guest_drivers.load(["qemu_fw_cfg"]) + """cd /sys/firmware/qemu_fw_cfg; echo "revision: $(cat rev)"
for f in by_name/opt/*/raw by_name/opt/*/*/raw; do echo "$f: <$(cat $f)>"; done; poweroff -f
"""
    initrd = initramfs(script, *files)
    r = boots.run(kernels["cloud"], initrd, "--fw-cfg", "opt/org.example/one=a text", "--fw-cfg", "opt/two=2")
    assert r.status == 0 and not boots.trouble(r.out), r
    assert "revision: 3" in r.out, r
    assert "by_name/opt/org.example/one/raw: <a text>" in r.out and "by_name/opt/two/raw: <2>" in r.out, r


@pytest.mark.parametrize("options, text", [
    (["etc/x=1"], "opt/ and more"), (["opt/=1"], "opt/ and more"), (["opt/x"], "NAME=TEXT"),
    (["opt/x=1", "opt/x=2"], "two are called opt/x"), ([f"opt/{i}=x" for i in range(17)], "there are 16 already")])
def test_what_is_none(vz, tiny_kernel, options, text):
    r = vz("run", "--kernel", tiny_kernel(b"\xf4"), "--timeout", "5s", *[w for o in options for w in ("--fw-cfg", o)])
    assert r.status in (1, 2) and text in r.err, r
