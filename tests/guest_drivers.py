# SPDX-License-Identifier: MIT
"""Linux's drivers for a guest on an initramfs: files for the initramfs fixture, and the shell lines
that load them. A driver that the kernel has built in has no file, and is passed over."""
import glob
import lzma
import os
import re
import subprocess

from conftest import ROOT

VIRTIO = ("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci")
SOUND = ("soundcore", "snd", "snd-timer", "snd-pcm", "virtio_snd")
NETWORK = ("failover", "net_failover", "virtio_net")
SOCKETS = ("vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")


def load(names, **parameters):
    """Shell lines that load them, in this order; parameters: name="what the driver is told"."""
    return "".join(f"[ ! -f /mod/{m}.ko ] || insmod /mod/{m}.ko {parameters.get(m, '')}\n"
                   for m in names)


def unpacked(path):
    """Newer kernels' are compressed, which busybox does not understand."""
    plain = path.removesuffix(".xz")
    if plain != path:
        with lzma.open(path) as f, open(plain, "wb") as out:
            out.write(f.read())
    return plain


def files(folder, names, where="mod", kernel="cloud"):
    """Pairs of file and path in the guest; folder is where the kernel's package is unpacked."""
    subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-{kernel}/package.deb", folder], check=True)
    found = [([unpacked(path) for path in glob.glob(f"{folder}/**/{m}.ko*", recursive=True)], m)
             for m in names]
    return [(paths[0], f"{where}/{m}.ko") for paths, m in found if paths]


class Needs:
    """A kernel's package, unpacked into a folder, for whoever wants drivers by name, and what they need first."""

    def __init__(self, folder, kernel="amd64"):
        subprocess.run(["dpkg-deb", "-x", f"{ROOT}/cache/kernel-{kernel}/package.deb", folder], check=True)
        paths = glob.glob(f"{folder}/**/*.ko", recursive=True)
        self.found = {os.path.basename(path)[:-3].replace("-", "_"): path for path in paths}

    def add(self, name, known):
        if name in known or name not in self.found:
            return
        with open(self.found[name], "rb") as f:
            needs = re.search(rb"\0depends=([^\0]*)\0", f.read()).group(1).decode()
        for need in filter(None, needs.split(",")):
            self.add(need.replace("-", "_"), known)
        known.append(name)

    def __call__(self, *names):
        """Files for an initramfs, and the shell lines that load them."""
        order = []
        for name in names:
            assert name in self.found, name
            self.add(name, order)
        return [(self.found[n], f"mod/{n}.ko") for n in order], "".join(f"insmod /mod/{n}.ko\n" for n in order)


def program(folder, source):
    """A static program of the guest's, made from a C file of the tree: such a pair too."""
    name = source.rsplit("/", 1)[1].removesuffix(".c")
    subprocess.run(["cc", "-O2", "-static", "-o", folder / name, f"{ROOT}/{source}"], check=True)
    return folder / name, f"bin/{name}"


def with_libraries(*programs):
    """Programs of this system and what they load: (file here, its path in a guest)."""
    found = {p: p for p in programs}
    for program in programs:
        out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        found |= {path: path for path in re.findall(r"(/\S+) \(0x", out)}
    return [(os.path.realpath(here), there) for here, there in found.items()]
