# SPDX-License-Identifier: MIT
"""Secure Boot: firmware that lives in System Management Mode starts what is signed, and nobody else writes its
variables."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from conftest import SLOWER, VZ
from efi_disks import (END, GUID, MOUNT, VARIABLE, disk, efivarfs, fill, firmware_is_there,  # noqa: F401
                       grub)

CODE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
SHIM = "/usr/lib/shim/shimx64.efi.signed"
SIGNED_GRUB = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

pytestmark = [firmware_is_there,
              pytest.mark.skipif(not all(map(os.path.exists, (CODE, SHIM, SIGNED_GRUB))),
                                 reason="the packages shim-signed and grub-efi-amd64-signed are not installed")]


@pytest.fixture
def signed(tmp_path, kernels, initramfs, efivarfs):
    """signed(SCRIPT) is a disk with Debian's signed shim, GRUB and kernel, and an initrd that runs SCRIPT."""

    def make(script, kernel=kernels["cloud"]):
        path, config = tmp_path / "signed.img", tmp_path / "signed.cfg"
        config.write_text("set timeout=0\nsearch --file --set=root /vmlinuz\nmenuentry x {\n"
                          " linux /vmlinuz console=ttyS0\n initrd /initrd\n}\n")
        fill(path, {"EFI/BOOT/BOOTX64.EFI": SHIM, "EFI/BOOT/grubx64.efi": SIGNED_GRUB, "vmlinuz": kernel,
                    "EFI/debian/grub.cfg": config, "initrd": initramfs(script + END, efivarfs)})
        return path

    return make


def secure(vz, path, *options, store="", memory="256M", timeout=240):
    return vz("run", f"--efi={store},secure-boot", "--memory", memory, "--disk", path, *options,
              timeout=timeout)


def until(path, *needles, store=""):
    """Run from path's disk until the console says one of needles: which."""
    p = subprocess.Popen([VZ, "run", f"--efi={store},secure-boot", "--memory", "256M", "--disk", path],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    seen = []
    for line in p.stdout:
        seen.append(line)
        found = [n for n in needles if n in line]
        if found:
            break
    else:
        pytest.fail("not said: " + "".join(seen))
    p.kill()
    p.communicate()
    return found[0]


def state_of(name):
    return f"echo {name}: $(tail -c 1 /vars/{name}-{GLOBAL} | od -An -tu1)\n"


@pytest.mark.parametrize("cpus", [1, 4])
def test_the_signed_chain_boots_and_is_told(vz, signed, cpus):
    r = secure(vz, signed(MOUNT + state_of("SecureBoot") + state_of("SetupMode") +
                          "dmesg | grep -i 'locked down'"), "--cpus", cpus)
    assert r.status == 0, r
    assert "UEFI Secure Boot is enabled" in r.out
    assert "SecureBoot: 1" in r.out and "SetupMode: 0" in r.out
    assert "locked down from EFI Secure Boot" in r.out


def test_an_unsigned_boot_loader_is_refused(disk):
    said = until(disk("echo it runs"), "it runs", "Security Violation", "Access Denied")
    assert said in ("Security Violation", "Access Denied")


def test_a_changed_kernel_is_refused(signed, tmp_path, kernels):
    changed = tmp_path / "vmlinuz"
    data = bytearray(kernels["cloud"].read_bytes() if hasattr(kernels["cloud"], "read_bytes")
                     else open(kernels["cloud"], "rb").read())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    assert until(signed("echo it runs", changed), "it runs", "bad shim signature") == "bad shim signature"


ATTACK = MOUNT + """
word() { busybox devmem $1 32; }
echo inside: $(word 0xff00000) $(word 0xffffffc)
busybox devmem 0xff00000 32 0x12345678
echo after: $(word 0xff00000)
echo store: $(word 0xffc00028) $(word 0xffc00064)
for v in 0x40 0x00 0x20 0xd0 0xff; do busybox devmem 0xffc00064 8 $v; done
echo store after: $(word 0xffc00028) $(word 0xffc00064)
config=/sys/bus/pci/devices/0000:00:00.0/config
echo registers: $(dd if=$config bs=1 skip=157 count=2 2>/dev/null | od -An -tx1)
printf '\\112\\070' | dd of=$config bs=1 seek=157 conv=notrunc 2>/dev/null
echo registers after: $(dd if=$config bs=1 skip=157 count=2 2>/dev/null | od -An -tx1)
"""


def test_the_kernel_reaches_neither_the_mode_s_memory_nor_the_store(vz, disk, tmp_path):
    """Secure Boot is not in force yet, so that this kernel may do everything."""
    store = tmp_path / "store.fd"
    r = vz("run", f"--efi={store},firmware={CODE}", "--memory", "256M", "--cpus", "2", "--disk",
           disk(ATTACK + f"printf '\\007\\000\\000\\000hello' >{VARIABLE}; echo wrote: $?"), timeout=240)
    said = dict(re.findall(r"^(inside|after|store|store after|registers|registers after|wrote): (.*?)\s*$",
                           r.out, re.M))
    assert said["inside"] == "0xFFFFFFFF 0xFFFFFFFF", r
    assert said["after"] == "0xFFFFFFFF"
    assert said["store"].startswith("0x4856465F") and said["store after"] == said["store"]
    assert said["registers"] == said["registers after"] and int(said["registers"][:2], 16) & 0x18 == 0x18
    assert said["wrote"] == "0"
    assert "hello" in vz("efi", "list", store, "--json").out


def test_every_cpu_writes_variables(vz, signed, tmp_path):
    store = tmp_path / "store.fd"
    write = MOUNT + f"""
for n in 0 1 2 3 0 1 2 3; do
    printf '\\007\\000\\000\\000from'$n >/tmp/v; i=/vars/Cpu$n-{GUID}
    [ ! -e $i ] || chattr -i $i
    taskset $((1 << n)) cp /tmp/v $i && echo wrote: $n
done"""
    r = secure(vz, signed("mkdir -p /tmp\n" + write), "--cpus", "4", store=store)
    assert r.out.count("wrote: ") >= 4, r
    names = vz("efi", "list", store, "--json").out
    assert all(f"from{n}" in names for n in range(4))


FIRST_OR_SECOND = MOUNT + f"""
if [ -e {VARIABLE} ]; then echo second time; else
    printf '\\007\\000\\000\\000again' >{VARIABLE}; echo first time; sleep 1; reboot -f; fi"""


def test_a_saved_machine_goes_on_securely(vz, signed, tmp_path):
    path, state = signed(FIRST_OR_SECOND), tmp_path / "state"
    p = subprocess.Popen([VZ, "run", "--efi=,secure-boot", "--memory", "256M", "--cpus", "2", "--disk", path,
                          "--save", state], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                         errors="replace")
    for line in p.stdout:
        if line.strip() == "first time":
            break
    p.send_signal(signal.SIGTERM)
    rest = p.communicate(timeout=60 * SLOWER)[0]
    assert state.exists(), rest
    r = vz("run", "--restore", state, timeout=240)
    assert "second time" in r.out and "first time" not in r.out and "UEFI Secure Boot is enabled" in r.out, r


def test_keys_are_enrolled_and_switched_without_a_machine(vz, disk, tmp_path):
    """A store of the plain template becomes one that refuses, one that does not, and one with a key of its own."""
    def is_refused():
        return until(disk("echo it runs"), "it runs", "Security Violation", "Access Denied", store=store) != "it runs"

    def said(*words):
        r = vz("efi", *words)
        assert r.status == 0, r
        return r.out

    store = tmp_path / "store.fd"
    said("create", store)
    assert said("secure-boot", store).startswith("setup")
    r = vz("efi", "secure-boot", store, "on")
    assert r.status == 1 and "platform key" in r.err
    said("secure-boot", store, "default-keys")
    assert said("secure-boot", store).startswith("on")
    assert "Microsoft Corporation UEFI CA 2011" in said("keys", store)
    assert is_refused()
    said("secure-boot", store, "off")
    assert not is_refused()
    said("secure-boot", store, "on")
    program = tmp_path / "sha256"  # of the Authenticode digest: what sbverify and pesign print
    key, der = tmp_path / "key.pem", tmp_path / "key.der"
    subprocess.run(["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=vz test",
                    "-days", "30", "-keyout", key, "-outform", "DER", "-out", der], check=True,
                   stderr=subprocess.DEVNULL)
    said("enroll", store, "db", der)
    said("enroll", store, "db", der)
    keys = [k for k in json.loads(said("keys", store, "--json")) if k.get("subject") == "vz test"]
    assert len(keys) == 1 and keys[0]["keys"] == "db" and bytes.fromhex(keys[0]["data"]) == der.read_bytes()
    program.write_text("ab" * 32 + "\n")
    said("enroll", store, "dbx", program)
    assert "ab" * 32 in said("keys", store)
    r = vz("efi", "enroll", store, "KEK", program)
    assert r.status == 1 and "certificates" in r.err
    r = vz("efi", "enroll", store, "db", key)
    assert r.status == 1 and "DER" in r.err
    assert is_refused()
    said("secure-boot", store, "setup")
    assert not is_refused()
