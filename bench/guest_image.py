# SPDX-License-Identifier: MIT
"""What the benches of devices boot: a Debian kernel, and an initramfs with its drivers and a program of bench/."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def modules_of(package, wanted):
    """{name: path}: of the modules in an unpacked kernel package those that are wanted and are there."""
    found = {}
    for top, _, files in os.walk(package):
        found.update({f[:-3]: os.path.join(top, f) for f in files if f.endswith(".ko") and f[:-3] in wanted})
    return found


def guest_image(folder, flavour, program, modules, init, added=()):
    """(kernel, initramfs). flavour: of the kernel. program: of bench/, without .c, and at the guest's root. init loads
    what /mod/order names, in the order of modules. added: further FILE:PATH for make-initramfs."""
    subprocess.run([os.path.join(ROOT, "scripts/fetch-kernel"), flavour, "busybox"], check=True)
    binary, package = os.path.join(folder, program), os.path.join(folder, f"package-{flavour}")
    subprocess.run(["gcc", "-O2", "-march=x86-64", "-static", "-o", binary, os.path.join(ROOT, f"bench/{program}.c")],
                   check=True)
    kernel = os.path.join(ROOT, f"cache/kernel-{flavour}")
    subprocess.run(["dpkg-deb", "-x", f"{kernel}/package.deb", package], check=True)
    found, order = modules_of(package, modules), os.path.join(folder, "order")
    with open(order, "w", encoding="ascii") as f:
        f.writelines(m + "\n" for m in modules if m in found)
    initrd = os.path.join(folder, f"{program}.cpio")
    files = [f"{binary}:/{program}", f"{order}:/mod/order", *(f"{path}:/mod/{m}.ko" for m, path in found.items()), *added]
    subprocess.run([os.path.join(ROOT, "scripts/make-initramfs"), initrd, "--init", init,
                    *(word for f in files for word in ("--add", f))], check=True)
    return f"{kernel}/vmlinuz", initrd
