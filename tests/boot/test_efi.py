# SPDX-License-Identifier: MIT
"""UEFI firmware starts GRUB from a disk, GRUB a kernel, and what Linux says to the firmware lasts."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from conftest import SLOWER, VZ
from efi_disks import (GUID, MOUNT, TEMPLATE, VARIABLE, disk, efivarfs, firmware_is_there,  # noqa: F401
                       grub)

pytestmark = firmware_is_there


def boot(vz, path, *options, store=None, how="--disk", memory="256M"):
    how, comma, more = how.partition(",")
    return vz("run", f"--efi={store}" if store else "--efi", "--memory", memory, how, f"{path}{comma}{more}", *options,
              timeout=120)


FACTS = """
echo firmware: $(cat /sys/firmware/efi/fw_platform_size)
echo line: $(cat /proc/cmdline)
echo tables: $(ls /sys/firmware/acpi/tables)
echo vendor: $(cat /sys/class/dmi/id/sys_vendor)
echo cpus: $(grep -c ^processor /proc/cpuinfo)
echo bars: $(grep -c " : 0000:00:" /proc/iomem)
dmesg | grep -E "can't|failed|BUG|WARNING|conflict|bogus|FW bug" | sed 's/^/trouble: /'
dmesg -n 1
"""


@pytest.mark.parametrize("how,memory", [("--disk", "256M"), ("--nvme", "4G"), ("--usb-disk", "256M"),
                                        ("--usb-disk,uas", "256M")])
def test_linux_finds_the_machine_as_the_firmware_left_it(vz, disk, how, memory):
    r = boot(vz, disk(FACTS), "--cpus", "2", "--net", "nat", how=how, memory=memory)
    assert r.status == 0, r
    assert "firmware: 64" in r.out
    assert "line: BOOT_IMAGE=/vmlinuz console=ttyS0" in r.out
    tables = next(line for line in r.out.splitlines() if line.startswith("tables:")).split()
    assert {"APIC", "DSDT", "FACP", "FACS", "MCFG"} <= set(tables)
    assert "vendor: VZ" in r.out
    assert "cpus: 2" in r.out
    assert "bars: 0" not in r.out and "bars: " in r.out
    trouble = [line for line in r.out.splitlines() if line.startswith("trouble: ")]
    assert not [line for line in trouble if "Kernel image" not in line], trouble


def test_variables_last(vz, disk, tmp_path):
    store = tmp_path / "variables.fd"
    write = MOUNT + f"printf '\\007\\000\\000\\000hello' >{VARIABLE}; echo wrote $?"
    read = MOUNT + f"echo value: $(tail -c 5 {VARIABLE})"
    r = boot(vz, disk(write), store=store)
    assert "wrote 0" in r.out, r
    assert store.stat().st_size == os.path.getsize(TEMPLATE)
    r = boot(vz, disk(read), store=store)
    assert "value: hello" in r.out, r
    r = boot(vz, disk(read))  # another machine, without a store
    assert "value: hello" not in r.out and "value:" in r.out, r


def test_variables_are_seen_and_changed_without_a_machine(vz, disk, tmp_path):
    store = tmp_path / "variables.fd"
    assert vz("efi", "create", store).status == 0
    assert "exists" in vz("efi", "create", store).err
    assert vz("efi", "set", store, "VzTest", "from outside", "--guid", GUID).status == 0
    r = boot(vz, disk(MOUNT + f"echo value: $(tail -c 12 {VARIABLE})"), store=store)
    assert "value: from outside" in r.out, r
    variables = {v["name"]: v for v in json.loads(vz("efi", "list", store, "--json").out)}
    assert variables["VzTest"]["text"] == "from outside" and variables["VzTest"]["attributes"] == 7
    order = variables["BootOrder"]["text"].split(",")
    shell = next(n for n, v in variables.items() if v.get("text") == "EFI Internal Shell")[4:]
    assert shell in order and order[0] != shell
    assert vz("efi", "set", store, "BootOrder", f"{shell},{order[0]}").status == 0
    assert vz("efi", "delete", store, "VzTest", "--guid", GUID).status == 0
    p = subprocess.Popen([VZ, "run", f"--efi={store}", "--memory", "256M", "--disk", disk("")],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    for line in p.stdout:
        if "BdsDxe: starting" in line:
            break
    p.kill()
    p.communicate()
    assert "EFI Internal Shell" in line
    assert "VzTest" not in vz("efi", "list", store).out
    for words in (["set", store, "BootOrder", "frog"], ["delete", store, "VzTest"], ["list", "/etc/passwd"]):
        r = vz("efi", *words)
        assert r.status == 1 and len(r.err.splitlines()) == 1, r


def test_a_variable_is_deleted_under_its_own_guid(vz, tmp_path):
    """Another of that name stays, and does not count as it."""
    store, others = tmp_path / "variables.fd", "01020304-0506-0708-090a-0b0c0d0e0f10"
    assert vz("efi", "create", store).status == 0
    for text, guid in (("others", others), ("ours", GUID)):
        assert vz("efi", "set", store, "VzTest", text, "--guid", guid).status == 0
    assert vz("efi", "delete", store, "VzTest", "--guid", GUID).status == 0
    left = [(v["guid"], v["text"]) for v in json.loads(vz("efi", "list", store, "--json").out) if v["name"] == "VzTest"]
    assert left == [(others, "others")], left
    r = vz("efi", "delete", store, "VzTest", "--guid", GUID)
    assert r.status == 1 and "has no variable VzTest" in r.err, r


def test_a_reset_goes_through_the_firmware_again(vz, disk, tmp_path):
    script = MOUNT + f"""
if [ -e {VARIABLE} ]; then echo second time; else
    printf '\\007\\000\\000\\000again' >{VARIABLE}; echo first time; reboot -f; fi"""
    r = boot(vz, disk(script), store=tmp_path / "variables.fd")
    assert r.status == 0, r
    assert r.out.index("first time") < r.out.index("second time"), r


RESETS = ("acpi", "kbd", "pci", "efi", "bios")


def test_every_way_to_reset_leads_to_the_firmware(vz, disk, tmp_path):
    """One after the other; a variable counts them."""
    name, guid = VARIABLE.split("-", 1)
    script = MOUNT + f"""
k=0; while [ -e {name}$k-{guid} ]; do k=$((k + 1)); done
set -- {" ".join(RESETS)}
echo "start: $k"
[ $k -lt $# ] || poweroff -f
shift $k
printf '\\007\\000\\000\\000x' >{name}$k-{guid}
echo $1 >/sys/kernel/reboot/type; echo "way: $(cat /sys/kernel/reboot/type)"
sleep 0.2; reboot -f; sleep 20; echo "it hangs" """
    r = boot(vz, disk(script), store=tmp_path / "variables.fd")
    assert r.status == 0 and "it hangs" not in r.out, r
    assert [line[5:].strip() for line in r.out.splitlines() if line.startswith("way: ")] == list(RESETS), r
    assert f"start: {len(RESETS)}" in r.out, r


FIRST_OR_SECOND = MOUNT + f"""
if [ -e {VARIABLE} ]; then echo second time; else
    printf '\\007\\000\\000\\000again' >{VARIABLE}; echo first time; sleep 1; reboot -f; fi"""


def test_a_saved_machine_has_its_variables(vz, disk, tmp_path):
    """Those that are kept nowhere else, too."""
    path, state = disk(FIRST_OR_SECOND), tmp_path / "state"
    p = subprocess.Popen([VZ, "run", "--efi", "--memory", "256M", "--disk", path, "--save", state],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    for line in p.stdout:
        if line.strip() == "first time":
            break
    p.send_signal(signal.SIGTERM)
    rest = p.communicate(timeout=60 * SLOWER)[0]
    assert state.exists(), rest
    r = vz("run", "--restore", state, timeout=120)
    assert "second time" in r.out and "first time" not in r.out, r


def test_a_machine_in_a_folder_has_its_variables_there(vz, disk, tmp_path):
    def run(folder):
        assert vz("start", folder).status == 0
        assert vz("wait", folder, "--for", "stop", "--timeout", "2m", timeout=150).status == 0
        return (folder / "console.log").read_text(errors="replace")

    one, two = tmp_path / "one.vz", tmp_path / "two.vz"
    r = vz("create", one, "--from", disk(FIRST_OR_SECOND), "--efi", "--memory", "256M")
    assert r.status == 0, r
    out = run(one)
    assert out.index("first time") < out.index("second time")
    assert vz("clone", one, two).status == 0
    assert (two / "variables.fd").read_bytes() == (one / "variables.fd").read_bytes()
    assert (two / "variables.fd").stat().st_ino != (one / "variables.fd").stat().st_ino
    out = run(two)
    assert "second time" in out and "first time" not in out
    config = one / "config.json"
    config.write_text(config.read_text().replace('"variables.fd"', f'"{one}/variables.fd"'))
    r = vz("clone", one, tmp_path / "three.vz")
    assert r.status != 0 and "both machines would write it" in r.err, r


def test_a_machine_goes_back_to_the_variables_that_it_had(vz, disk, tmp_path):
    def times():
        before = log.stat().st_size if log.exists() else 0
        assert vz("start", folder).status == 0
        assert vz("wait", folder, "--for", "stop", "--timeout", "2m", timeout=150).status == 0
        out = log.read_bytes()[before:].decode(errors="replace")
        return out.count("first time"), out.count("second time")

    folder = tmp_path / "one.vz"
    log = folder / "console.log"
    assert vz("create", folder, "--from", disk(FIRST_OR_SECOND), "--efi", "--memory", "256M").status == 0
    assert vz("snapshot", folder, "new").status == 0
    assert times() == (1, 1)  # it starts once more by itself
    assert vz("snapshot", folder, "used").status == 0
    assert vz("rewind", folder, "new").status == 0
    assert times() == (1, 1)
    assert vz("rewind", folder, "used").status == 0
    assert times() == (0, 1)
    for tag in ("new", "used"):
        assert vz("snapshot", folder, "--delete", tag).status == 0
    stores = list(folder.glob("variables*"))
    assert len(stores) == 1, stores


def test_what_was_written_survives_a_kill(vz, disk, tmp_path):
    """Each round kills the machine while it writes; the next finds what it has said to have written, or what it
    was just about to."""
    store = tmp_path / "variables.fd"
    name, guid = VARIABLE.split("-", 1)  # a variable of each start, since older ones are immutable
    path = disk(MOUNT + f"""
k=0; while [ -e {name}$k-{guid} ]; do k=$((k + 1)); done
echo "found: $(tail -c 6 {name}$((k - 1))-{guid} 2>/dev/null)"; n=100000
while n=$((n + 1)); printf "\\007\\000\\000\\000$n" >{name}$k-{guid}; do echo "wrote: $n"; done""")
    written = ""
    for _ in range(3):
        p = subprocess.Popen([VZ, "run", f"--efi={store}", "--memory", "256M", "--disk", path],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
        seen = []
        for line in p.stdout:
            if line.startswith("found: "):
                seen.append(line.split()[1:])
            if line.startswith("wrote: "):
                break
        else:
            pytest.fail("nothing was written")
        time.sleep(random.uniform(0.02, 0.4))
        p.send_signal(signal.SIGKILL)
        rest = [line + p.stdout.read()]
        p.wait()
        assert seen, rest
        if written:
            assert seen[0] and int(written) <= int(seen[0][0]) <= int(written) + 1
        written = "".join(rest).split("wrote: ")[-1][:6]
        assert written.isdigit() and len(written) == 6, rest


def test_files_that_do_not_go_together_are_refused(vz, tmp_path):
    def run(*options):
        r = vz("run", *options, "--memory", "128M")
        assert r.status != 0
        return r.err

    old = tmp_path / "old.fd"
    old.write_bytes(open("/usr/share/OVMF/OVMF_VARS.fd", "rb").read())
    code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
    assert "different builds" in run(f"--efi={old},firmware={code}")
    assert "cannot do Secure Boot" in run(f"--efi=,firmware={code},secure-boot")
    damaged = tmp_path / "damaged.fd"
    damaged.write_bytes(bytes(os.path.getsize(TEMPLATE)))
    assert "no store of UEFI variables" in run(f"--efi={damaged}")
    disk = tmp_path / "disk.img"  # somebody forgot --disk
    disk.write_bytes(bytes(4 << 20))
    assert f"{disk}: is no store of UEFI variables" in run(f"--efi={disk}")
    for value in (",firmware=", "a.fd,b.fd", "a.fd,frimware=/x", ",firmware=/x,firmware=/y",
                  "a.fd,secure-boot=on"):
        assert "is not [STORE][,firmware=FILE][,secure-boot]" in run(f"--efi={value}")
    assert "firmware finds the kernel itself" in run("--efi", "--kernel", "/dev/null")


def test_too_little_memory_is_told(vz):
    r = vz("run", "--efi", "--memory", "32M")
    assert r.status == 1 and "needs 64 MiB of memory" in r.err, r


def test_a_store_belongs_to_one_machine(vz, disk, tmp_path):
    store = tmp_path / "variables.fd"
    path = disk("echo up; sleep 60")
    p = subprocess.Popen([VZ, "run", f"--efi={store}", "--memory", "256M", "--disk", path],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    for line in p.stdout:
        if "up" == line.strip():
            break
    r = vz("run", f"--efi={store}", "--memory", "128M", timeout=30 * SLOWER)
    p.kill()
    p.communicate()
    assert r.status != 0 and str(store) in r.err and "uses it" in r.err, r
