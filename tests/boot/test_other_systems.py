# SPDX-License-Identifier: MIT
"""What is no Linux, or starts one in its own way: boot managers, memory testers, network boot, a hypervisor. Each comes
from its Debian package, which is not installed, and sees the machine with drivers of its own."""
import contextlib
import hashlib
import http.server
import os
import re
import signal
import subprocess
import threading

import pexpect
import pytest

import boots
import guest_drivers
from conftest import PATIENT, SLOWER, VZ
from efi_disks import END, efivarfs, fill, firmware_is_there, grub  # noqa: F401

LIMIT_S = 180 * SLOWER


@contextlib.contextmanager
def machine(*options, limit_s=LIMIT_S):
    """vz on a terminal; gone when the block is."""
    child = pexpect.spawn(VZ, ["run", *map(str, options)], timeout=limit_s, encoding="utf-8", codec_errors="replace",
                          dimensions=(25, 80))
    child.delaybeforesend = None
    try:
        yield child
    finally:
        if child.isalive():
            child.kill(signal.SIGKILL)
            child.wait()
        child.close()


# ---- Memtest86+: its own drivers for USB keyboards, serial ports, timers; every address of memory -

MEMTEST = "console=ttyS0,115200 nopause"


def memtest_goes_on(child):
    """It has found the machine's memory and CPUs, and is at its sixth test or a later one, without an error."""
    child.expect(r"Memtest86\+")
    child.expect(r"#[5-9] +\[")
    assert not re.search(r"Errors: *[1-9]", child.before), child.before


@pytest.mark.parametrize("cpus", [1, 2])
def test_memtest_tests_memory(package, cpus):
    with machine("--kernel", package("memtest86+") + "/boot/memtest86+x64.bin", "--cmdline", MEMTEST, "--memory", "64M",
                 "--cpus", cpus) as child:
        memtest_goes_on(child)


@pytest.mark.skipif("VZ_LONG" not in os.environ, reason="takes minutes: VZ_LONG=1")
def test_memtest_passes(package):
    """All of its tests, once."""
    with machine("--kernel", package("memtest86+") + "/boot/memtest86+x64.bin", "--cmdline", MEMTEST, "--memory", "64M",
                 "--cpus", "2", limit_s=3600 * SLOWER) as child:
        child.expect(r"Pass: +1 +Errors: (\d+)")
        assert child.match.group(1) == "0"


@firmware_is_there
def test_memtest_starts_by_firmware(package, tmp_path, grub):  # noqa: F811
    config = tmp_path / "grub.cfg"
    config.write_text(f"linux /memtest {MEMTEST}\nboot\n")
    fill(tmp_path / "disk.img", {"EFI/BOOT/BOOTX64.EFI": grub, "grub.cfg": config,
                                 "memtest": package("memtest86+") + "/boot/memtest86+x64.efi"})
    with machine("--efi", "--memory", "128M", "--usb-disk", tmp_path / "disk.img") as child:
        memtest_goes_on(child)


# ---- Boot managers --------------------------------------------------------------------------------

@pytest.fixture
def linux_files(kernels, initramfs, efivarfs):  # noqa: F811
    """What each of them starts: a kernel and its initrd."""
    return {"vmlinuz": kernels["cloud"], "initrd": initramfs("echo started: $(cat /proc/cmdline)" + END, efivarfs)}


def starts_linux(vz, path, words, *options):
    r = vz("run", "--efi", "--memory", "256M", *options, path, timeout=LIMIT_S)
    assert r.status == 0 and re.search(f"[\r\n]started: .*{words}", r.out), r


def put(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


@firmware_is_there
@pytest.mark.parametrize("how", ["--usb-disk", "--disk"])
def test_systemd_boot_starts_linux(vz, package, linux_files, tmp_path, how):
    path = tmp_path / "disk.img"
    fill(path, {})
    subprocess.run(["mmd", "-i", f"{path}@@1M", "::/loader", "::/loader/entries"], check=True)
    entry = "title x\nlinux /vmlinuz\ninitrd /initrd\noptions console=ttyS0 by=systemd-boot\n"
    fill(path, {"EFI/BOOT/BOOTX64.EFI": package("systemd-boot-efi") + "/usr/lib/systemd/boot/efi/systemd-bootx64.efi",
                "loader/loader.conf": put(tmp_path, "loader.conf", "timeout 0\n"),
                "loader/entries/x.conf": put(tmp_path, "x.conf", entry), **linux_files})
    starts_linux(vz, path, "by=systemd-boot", how)


@firmware_is_there
def test_refind_starts_linux(vz, package, linux_files, tmp_path):
    config = ('timeout -1\ntextonly true\nscanfor manual\nmenuentry "x" {\n loader /vmlinuz\n initrd /initrd\n'
              ' options "console=ttyS0 by=refind"\n}\n')
    fill(tmp_path / "disk.img", {
        "EFI/BOOT/BOOTX64.EFI": package("refind") + "/usr/share/refind/refind/refind_x64.efi",
        "EFI/BOOT/refind.conf": put(tmp_path, "refind.conf", config), **linux_files})
    starts_linux(vz, tmp_path / "disk.img", "by=refind", "--usb-disk")


@firmware_is_there
def test_syslinux_starts_linux(vz, package, linux_files, tmp_path):
    config = ("SERIAL 0 115200\nDEFAULT x\nPROMPT 0\nLABEL x\n LINUX /vmlinuz\n INITRD /initrd\n"
              " APPEND console=ttyS0 by=syslinux\n")
    fill(tmp_path / "disk.img", {
        "EFI/BOOT/BOOTX64.EFI": package("syslinux-efi") + "/usr/lib/SYSLINUX.EFI/efi64/syslinux.efi",
        "EFI/BOOT/ldlinux.e64": package("syslinux-common") + "/usr/lib/syslinux/modules/efi64/ldlinux.e64",
        "EFI/BOOT/syslinux.cfg": put(tmp_path, "syslinux.cfg", config), **linux_files})
    starts_linux(vz, tmp_path / "disk.img", "by=syslinux", "--nvme")


# ---- GRUB as a judge ------------------------------------------------------------------------------

JUDGE = ("part_gpt fat iso9660 linux normal search search_fs_file configfile hashsum gcry_sha256 halt lspci lsacpi "
         "smbios lsefi lsmmap date")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    config = put(folder, "grub.cfg", "search --file --set=root /blob\nconfigfile ($root)/grub.cfg\n")
    subprocess.run(["grub-mkstandalone", "-O", "x86_64-efi", "-o", folder / "grub.efi", "--themes=", "--locales=",
                    "--fonts=", f"--install-modules={JUDGE} memdisk tar boot test", f"--modules={JUDGE}",
                    f"boot/grub/grub.cfg={config}"], check=True)
    return folder / "grub.efi"


@firmware_is_there
@pytest.mark.parametrize("how", ["--disk", "--nvme", "--usb-disk"])
def test_grub_reads_a_large_file_whole(vz, judge, tmp_path, how):
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(20 << 20))
    fill(tmp_path / "disk.img", {"EFI/BOOT/BOOTX64.EFI": judge, "blob": blob,
                                 "grub.cfg": put(tmp_path, "x.cfg", "sha256sum /blob\nlspci\nlsacpi\nhalt\n")})
    r = vz("run", "--efi", "--memory", "128M", how, tmp_path / "disk.img", timeout=LIMIT_S)
    assert r.status == 0 and hashlib.sha256(blob.read_bytes()).hexdigest() in r.out, r
    assert "8086:29c0" in r.out and re.search("FACP|APIC", r.out), r


# ---- iPXE: network boot by its own driver ---------------------------------------------------------

class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """served({NAME: FILE}): the address of a server of these files, as a guest behind NAT sees it."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Files(*a, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(files):
        for name, path in files.items():
            os.symlink(path, folder / name)
        return f"http://10.0.2.2:{server.server_port}"

    yield serve
    server.shutdown()


@firmware_is_there
def test_ipxe_starts_linux_from_the_network(package, linux_files, served, tmp_path):
    """By its own driver for virtio. (snponly.efi has a network only where it was itself loaded from there.)"""
    fill(tmp_path / "disk.img", {"EFI/BOOT/BOOTX64.EFI": package("ipxe") + "/boot/ipxe.efi"})
    url = served(linux_files)
    with machine("--efi", "--memory", "384M", "--usb-disk", tmp_path / "disk.img", "--net", "nat,host") as child:
        child.expect("Ctrl-B")
        child.send("\x02")
        for line in ("dhcp", f"kernel {url}/vmlinuz initrd=initrd console=ttyS0 by=ipxe",
                     f"initrd --name initrd {url}/initrd", "boot"):
            child.expect("iPXE>")
            child.send(line + "\r")
        child.expect("started: .*by=ipxe")


def test_ipxe_for_a_bios_is_refused(vz, package):
    r = vz("run", "--kernel", package("ipxe") + "/boot/ipxe.lkrn", "--memory", "64M", timeout=60)
    assert r.status == 1 and "calls a BIOS" in r.err and len(r.err.splitlines()) == 1, r


# ---- Xen: a hypervisor that takes the machine for itself ------------------------------------------

XEN = "console=com1 com1=115200,8n1 dom0_mem=320M sync_console"
DOM0 = f"console=hvc0 {PATIENT}"


def xen_of(package):
    folder = package("xen-hypervisor-4.17-amd64") + "/boot"
    return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.startswith("xen-4")]


@pytest.fixture
def dom0(kernels, initramfs):
    script = ("echo dom0: $(cat /sys/hypervisor/type) $(grep -c ^processor /proc/cpuinfo)\n"
              "poweroff -f\n")
    return kernels["amd64"], initramfs(script)


def xen_runs(child, cpus):
    """Up to the end: Xen turns the machine off."""
    child.expect("Xen version")
    child.expect(rf"dom0: xen {cpus}\b")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


@pytest.mark.parametrize("cpus", [1, 2])
def test_xen_starts_a_linux(package, dom0, cpus):
    kernel = next(f for f in xen_of(package) if f.endswith(".gz"))
    with machine("--kernel", kernel, "--cmdline", XEN, "--module", f"{dom0[0]},vmlinuz {DOM0}", "--module",
                 f"{dom0[1]},initrd", "--memory", "768M", "--cpus", cpus) as child:
        xen_runs(child, cpus)


@firmware_is_there
def test_xen_starts_by_firmware(package, dom0, tmp_path):
    config = f"[global]\ndefault=x\n[x]\noptions={XEN}\nkernel=vmlinuz {DOM0}\nramdisk=initrd\n"
    xen = next(f for f in xen_of(package) if f.endswith(".efi"))
    fill(tmp_path / "disk.img", {"EFI/BOOT/BOOTX64.EFI": xen, "EFI/BOOT/BOOTX64.cfg": put(tmp_path, "xen.cfg", config),
                                 "EFI/BOOT/vmlinuz": dom0[0], "EFI/BOOT/initrd": dom0[1]})
    with machine("--efi", "--memory", "768M", "--disk", tmp_path / "disk.img") as child:
        xen_runs(child, 1)


# ---- One kernel after the other -------------------------------------------------------------------

DRIVERS = ("virtio_pci", "virtio_blk", "nvme", "xhci_pci", "usb_storage", "sd_mod")
DISKS = ("vda", "nvme0n1", "sda")


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return guest_drivers.Needs(tmp_path_factory.mktemp("modules"))


@pytest.fixture
def three_disks(tmp_path):
    options = []
    for option, name in zip(("--disk", "--nvme", "--usb-disk"), DISKS):
        (tmp_path / name).write_bytes(os.urandom(8 << 20))
        options += [option, tmp_path / name]
    return options


@pytest.fixture
def second(initramfs, modules):
    """An initrd that sums up the disks, whatever was going on on them before."""
    files, load = modules(*DRIVERS)
    script = load + "".join(f"for i in $(seq 300); do [ -b /dev/{d} ] && break; sleep 0.1; done\n" for d in DISKS)
    script += "".join(f"echo sum: {d} $(md5sum </dev/{d})\n" for d in DISKS)
    return initramfs(script + "echo second: $(cat /proc/cmdline)\npoweroff -f\n", *files)


@pytest.fixture
def first(kernels, initramfs, modules, second, tmp_path):
    """first(HOW): an initrd that has all of them busy, and loads the second kernel."""
    def make(how, text, then=""):
        files, load = modules(*DRIVERS)
        busy = "".join(f"for i in $(seq 300); do [ -b /dev/{d} ] && break; sleep 0.1; done\n"
                       f"(while :; do cat /dev/{d} >/dev/null; echo 1 >/proc/sys/vm/drop_caches; done) &\n"
                       for d in DISKS)
        script = f"sleep 1; kexec {how} /vmlinuz /initrd '{text}'\n{then}\nsleep 60; echo it hangs; poweroff -f\n"
        return initramfs(load + busy + script, *files, (kernels["amd64"], "vmlinuz"), (second, "initrd"),
                         guest_drivers.program(tmp_path, "tests/boot/kexec.c"))

    return make


def sums(tmp_path):
    return [f"sum: {d} {hashlib.md5((tmp_path / d).read_bytes()).hexdigest()}" for d in DISKS]


APPEND = f"console=ttyS0 quiet {PATIENT}"


def test_a_kernel_starts_another(kernels, first, three_disks, tmp_path):
    r = boots.run(kernels["amd64"], first("go", f"{APPEND} by=kexec"), *three_disks, "--cpus", "2", "--memory", "768M",
                  limit_s=LIMIT_S)
    assert r.status == 0 and re.search("^second: .*by=kexec", r.out, re.M) and not boots.trouble(r.out), r
    assert all(line in r.out for line in sums(tmp_path)), r


def test_a_crashed_kernel_leaves_the_machine_to_another(kernels, first, three_disks, tmp_path):
    """Without a word to any device: it finds them in the middle of their work."""
    crash = "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger"
    r = boots.run(kernels["amd64"], first("crash", f"{APPEND} by=crash nr_cpus=1", crash), *three_disks, "--cpus", "2",
                  "--memory", "1G", limit_s=LIMIT_S, cmdline="console=ttyS0 quiet crashkernel=256M")
    assert r.status == 0 and re.search("^second: .*by=crash", r.out, re.M), r
    assert all(line in r.out for line in sums(tmp_path)), r
