# SPDX-License-Identifier: MIT
"""Firmware's variables as Linux's own tools have them, and killed machines: a store has the old or the new."""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

import guest_drivers
from conftest import SLOWER, VZ
from efi_disks import GUID, MOUNT, VARIABLE, disk, efivarfs, firmware_is_there, grub  # noqa: F401

pytestmark = firmware_is_there
TOOLS = "/usr/bin/efibootmgr", "/usr/bin/efivar"
DRIVERS = (*guest_drivers.VIRTIO, "virtio_blk")
VARS = "/sys/firmware/efi/efivars"

# One start after the other; variables count them.
BOOTS = f"""
export PATH=/usr/bin:/bin
insmod /mod/efivarfs.ko; mount -t efivarfs efivarfs {VARS}
n=1; while [ -e {VARS}/Step$n-{GUID} ]; do n=$((n + 1)); done
printf "\\007\\000\\000\\000step $n" >{VARS}/Step$n-{GUID}
efivar -l | grep -c {GUID}-Step | sed 's/^/steps: /'
efivar -p -n {GUID}-Step$n | grep -F "|step $n"
case $n in
1)
    efibootmgr -q --create --disk /dev/vda --part 1 --label one --loader '\\EFI\\BOOT\\BOOTX64.EFI' -u 'some data'
    efibootmgr -q --create --disk /dev/vda --part 1 --label two --loader '\\EFI\\BOOT\\BOOTX64.EFI' ;;
2)
    one=$(efibootmgr | sed -n 's/^Boot\\(....\\). one.*/\\1/p') two=$(efibootmgr | sed -n 's/^Boot\\(....\\). two.*/\\1/p')
    efibootmgr -q -o "$one,$two"; efibootmgr -q -t 1; efibootmgr -q -b "$two" -A; efibootmgr -q -n "$one" ;;
3)
    one=$(efibootmgr | sed -n 's/^Boot\\(....\\). one.*/\\1/p')
    efibootmgr -q -b "$one" -B; echo "deleted: $?" ;;
esac
efibootmgr -v | sed 's/^/told: /'
"""


def boots(vz, path, store):
    r = vz("run", f"--efi={store}", "--memory", "256M", "--disk", path, timeout=120)
    assert r.status == 0, r
    told = re.findall(r"^told: (Boot\w+)(\*?):? ?(.*?)\r?$", r.out, re.M)
    entries = {name[4:]: (star, text) for name, star, text in told if re.fullmatch("Boot[0-9A-F]{4}", name)}
    others = {name: text for name, _, text in told if not re.fullmatch("Boot[0-9A-F]{4}", name)}
    return r.out, entries, others


def number(entries, label):
    found = [n for n, (_, text) in entries.items() if re.match(rf"{label}\t", text)]
    assert len(found) == 1, entries
    return found[0]


@pytest.mark.skipif(not all(map(os.path.exists, TOOLS)), reason="efibootmgr or efivar is not installed")
def test_boot_entries_are_linuxs_to_make(vz, disk, tmp_path):
    """efibootmgr and efivar create, reorder, switch off and delete; what they said lasts over starts, and is what `vz efi`
    tells."""
    store = tmp_path / "variables.fd"
    modules = guest_drivers.files(tmp_path / "kernel", DRIVERS)
    path = disk(guest_drivers.load(DRIVERS) + BOOTS, files=(*modules, *guest_drivers.with_libraries(*TOOLS)))
    out, entries, others = boots(vz, path, store)
    one, two = number(entries, "one"), number(entries, "two")
    assert "steps: 1" in out and "|step 1" in out and "BOOTX64.EFI" in entries[one][1] and entries[one][0] == "*", out
    assert others["BootOrder"].split(",")[:2] == [two, one], out  # the newest is the first
    out, entries, others = boots(vz, path, store)
    assert f'BdsDxe: starting Boot{two} "two"' in out and others["BootCurrent"] == two, out
    assert "steps: 2" in out and "|step 2" in out and others["BootOrder"] == f"{one},{two}" and entries[two][0] == "", out
    assert others["BootNext"] == one
    variables = {v["name"]: v for v in json.loads(vz("efi", "list", store, "--json").out)}
    assert variables["BootOrder"]["text"] == f"{one},{two}" and variables[f"Boot{one}"]["text"] == "one"
    out, entries, others = boots(vz, path, store)
    assert f'BdsDxe: starting Boot{one} "one"' in out and "deleted: 0" in out and one not in entries, out
    assert "BootNext" not in others and entries[two][0] == "", out
    out, entries, others = boots(vz, path, store)
    assert two in entries and one not in others["BootOrder"].split(","), out
    assert f"Boot{one}" not in vz("efi", "list", store).out


# A store has room for some thousands, until firmware makes some at its next start.
WRITE = MOUNT + f"""
n=100000
printf '\\007\\000\\000\\000kept' >/vars/VzKept-{GUID}
printf '\\007\\000\\000\\000first' >{VARIABLE}; /usr/bin/chattr -i {VARIABLE}
while n=$((n + 1)); printf "\\007\\000\\000\\000$n" >{VARIABLE}; do echo "wrote: $n"; usleep 2000; done"""


class Storm:
    """A machine that was saved while it writes a variable again and again; its store, and what is in that."""

    def __init__(self, vz, path, folder):
        self.vz, self.store, self.state = vz, folder / "variables.fd", folder / "state"
        p, _ = self.start("run", f"--efi={self.store}", "--memory", "256M", "--disk", path, "--save", self.state)
        p.send_signal(signal.SIGTERM)
        rest = p.communicate(timeout=120 * SLOWER)[0]
        assert self.state.exists(), rest

    @staticmethod
    def start(*words):
        """It has written something since."""
        p = subprocess.Popen([VZ, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             errors="replace")
        for line in p.stdout:
            if "wrote: " in line:
                return p, line
        return pytest.fail("nothing was written")

    def kill_once(self):
        """Returns the last number that the guest knew to be written."""
        p, first = self.start("run", "--restore", self.state)
        time.sleep(random.uniform(0, 0.03))
        p.send_signal(signal.SIGKILL)
        rest = first + p.communicate()[0]
        return int(re.findall(r"wrote: (\d{6})", rest)[-1])

    def values(self):
        r = self.vz("efi", "list", self.store, "--json")
        assert r.status == 0, r
        found = [(v["name"], v.get("text")) for v in json.loads(r.out)]
        assert len(dict(found)) == len(found), found  # none is there twice
        return dict(found)


def test_a_storm_of_kills_leaves_the_old_or_the_new(vz, disk, tmp_path):
    """Twenty, or with VZ_LONG=1 four hundred; the firmware starts from what some of them have left."""
    name = VARIABLE.rsplit("/", 1)[1][: -len(GUID) - 1]
    path, long = disk(WRITE, files=guest_drivers.with_libraries("/usr/bin/chattr")), "VZ_LONG" in os.environ
    storm = Storm(vz, path, tmp_path)
    others = {n: v for n, v in storm.values().items() if n != name}
    read = disk(MOUNT + f"echo value: $(tail -c 6 {VARIABLE})")
    assert "VzKept" in others
    for n in range(400 if long else 20):
        last = storm.kill_once()
        values = storm.values()
        value = int(values.pop(name))
        assert last <= value <= last + 1 and values == others, (last, value, values)
        if n % 20 == 19:
            shutil.copy(storm.store, tmp_path / "copy.fd")
            r = vz("run", f"--efi={tmp_path}/copy.fd", "--memory", "256M", "--disk", read, timeout=120)
            assert f"value: {value}" in r.out, r
