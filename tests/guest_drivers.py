# SPDX-License-Identifier: MIT
"""Linux's drivers for a guest on an initramfs: files for the initramfs fixture, and the shell lines
that load them. A driver that the kernel has built in has no file, and is passed over."""
import glob
import lzma
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


def program(folder, source):
    """A static program of the guest's, made from a C file of the tree: such a pair too."""
    name = source.rsplit("/", 1)[1].removesuffix(".c")
    subprocess.run(["cc", "-O2", "-static", "-o", folder / name, f"{ROOT}/{source}"], check=True)
    return folder / name, f"bin/{name}"
