# SPDX-License-Identifier: MIT
"""Files behind the initrd: Linux takes all of them as one."""
import os
import subprocess

import boots


def test_kernel_and_initrds_from_pipes_last_over_a_reset(kernels, initramfs, tmp_path):
    extra = tmp_path / "extra"
    extra.write_text("from the first\n")
    first = initramfs("exit 1", (extra, "extra"))
    second = initramfs("cat /extra; reboot -f")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = ('cat "$4" > "$3" & exec "$0" run --kernel <(cat "$1") --initrd <(cat "$2") '
              '--module "$3" --cmdline "console=ttyS0 quiet"')
    p = subprocess.Popen(["bash", "-c", script, boots.VZ, kernels["cloud"], first, fifo, second],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        seen = 0
        for line in p.stdout:
            seen += b"from the first" in line
            if seen == 2:
                break
        assert seen == 2
    finally:
        p.kill()
        p.wait()


def test_linux_unpacks_initrd_and_modules(kernels, initramfs, tmp_path):
    extra = tmp_path / "extra"
    extra.write_text("from the first\n")
    first = initramfs("exit 1", (extra, "extra"))
    second = initramfs("cat /extra; echo from the second; poweroff -f")
    r = boots.run(kernels["cloud"], first, "--module", second)
    assert "from the first" in r.out and "from the second" in r.out, r
