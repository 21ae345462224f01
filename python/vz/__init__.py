# SPDX-License-Identifier: MIT
"""Virtual machines for programs: libvz from Python.

    import vz

    config = vz.Config(
        cpus=2, memory=512 * vz.MiB,
        boot_loader=vz.linux("vmlinuz", initrd="initrd.img", cmdline="console=hvc0"),
        serial_ports=[vz.virtio_serial(vz.stdio())],
        network_devices=[vz.network(vz.nat())])
    with vz.Machine(config) as machine:
        machine.start()
        print(machine.wait().reason)

Functions of the library that fail raise vz.Error, which has its code and its text.
"""
from ._library import Error, ErrorCode, version
from .config import (Config, Problem, balloon, block, block_device, bridged, console, console_port,
                     disk_image, entropy, fd, fd_network, file, forward, generic_platform, linux,
                     nat, network, null, pty, socket, stdio, tap, uart, unix, virtio_serial)
from .connection import Connection
from .machine import Delegate, End, EndReason, Machine, MemoryState, State

MiB = 1 << 20
GiB = 1 << 30

__version__ = version()
__all__ = [
    "Config", "Connection", "Delegate", "End", "EndReason", "Error", "ErrorCode", "GiB", "Machine", "MemoryState",
    "MiB", "Problem", "State", "balloon", "block", "block_device", "bridged", "console", "console_port",
    "disk_image", "entropy", "fd", "fd_network", "file", "forward", "generic_platform", "linux",
    "nat", "network", "null", "pty", "socket", "stdio", "tap", "uart", "unix", "virtio_serial",
]
