# SPDX-License-Identifier: MIT
"""Disks of a running guest that reads and writes them all the time, made longer; and what cannot be."""
import subprocess
import time

from conftest import SLOWER
from machines import Control, home  # noqa: F401 (a fixture)

MIB = 1 << 20
GUEST = """
mkdir -p /tmp; dd if=/dev/urandom of=/tmp/x bs=64k count=32 2>/dev/null
for i in $(seq 600); do [ -b /dev/nvme0n1 ] && [ -b /dev/nvme0n2 ] && break; sleep 0.1; done
echo ready
rounds() {
    n=0
    until [ $(cat /sys/block/$1/size) = 262144 ] && [ $n -ge 3 ]; do
        dd if=/tmp/x of=/dev/$1 bs=64k seek=$((n % 3 * 32)) oflag=direct 2>/dev/null
        dd if=/dev/$1 of=/tmp/$1 bs=64k skip=$((n % 3 * 32)) count=32 iflag=direct 2>/dev/null
        cmp /tmp/x /tmp/$1 || echo "$1 differs"
        n=$((n + 1))
    done
    dd if=/tmp/x of=/dev/$1 bs=64k seek=2016 oflag=direct 2>/dev/null || echo "$1 has no end"
    dd if=/dev/$1 of=/tmp/$1 bs=64k skip=2016 count=32 iflag=direct 2>/dev/null
    cmp /tmp/x /tmp/$1 && echo "$1 is well"
}
rounds nvme0n1 & rounds nvme0n2 & wait
dmesg | grep -i 'nvme.*\\(timeout\\|abort\\|error\\|fail\\)'
echo over; poweroff -f
"""


def test_disks_grow_under_load(vz, home, kernels, initramfs, tmp_path):
    raw, qcow2, folder = tmp_path / "raw.img", tmp_path / "d.qcow2", home / "one.vz"
    raw.write_bytes(bytes(16 * MIB))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "16M"], check=True)
    folder.mkdir()
    config = vz("run", "--kernel", kernels["cloud"], "--initrd", initramfs(GUEST), "--cmdline", "console=ttyS0 quiet",
                "--cpus", "2", "--nvme", str(raw), "--nvme-namespace", str(qcow2), "--print-config")
    assert config.status == 0, config
    (folder / "config.json").write_text(config.out)
    assert vz("start", "one").status == 0

    def wait_for(word):
        end = time.monotonic() + 300 * SLOWER
        while word not in (text := vz("logs", "one").out):
            assert time.monotonic() < end and "differs" not in text, text
            time.sleep(0.1)
        return text

    wait_for("ready")
    c = Control(folder)
    for mib in (17, 40, 64, 100, 128):
        for disk in (0, 1):
            assert c.call("limit-disk", disk=disk, bytes=mib * MIB, operations=(mib % 2) * 1000)["result"] == {}
            assert vz("set", "one", f"disk.{disk}.size={mib}M").status == 0
            assert c.call("resize-disk", disk=disk, size=mib * MIB)["result"] == {}  # as it is
            for size in (512, 8 * MIB, mib * MIB - 512, mib * MIB + 1, (1 << 63) - 512, (1 << 63) - 1):
                assert "error" in c.call("resize-disk", disk=disk, size=size), size
        if mib == 40:
            assert vz("pause", "one").status == 0 and vz("resume", "one").status == 0
    assert all(c.call("limit-disk", disk=d, bytes=0, operations=0)["result"] == {} for d in (0, 1))
    text = wait_for("over")
    assert "nvme0n1 is well" in text and "nvme0n2 is well" in text and "nvme nvme0" not in text, text
    assert vz("wait", "one", "--for", "stop").status == 0
    assert raw.stat().st_size == 128 * MIB
    subprocess.run(["qemu-img", "check", "-q", qcow2], check=True)
