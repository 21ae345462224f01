# SPDX-License-Identifier: MIT
"""Files behind the initrd: Linux takes all of them as one."""
import boots


def test_linux_unpacks_initrd_and_modules(kernels, initramfs, tmp_path):
    extra = tmp_path / "extra"
    extra.write_text("from the first\n")
    first = initramfs("exit 1", (extra, "extra"))
    second = initramfs("cat /extra; echo from the second; poweroff -f")
    r = boots.run(kernels["cloud"], first, "--module", second)
    assert "from the first" in r.out and "from the second" in r.out, r
