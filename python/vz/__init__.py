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
from .events import Delegate, End, EndReason, GuestAddress, State
from .host import Finding, HostReport, host_report
from .identity import mac_address, random_mac_address, random_machine_identifier
from .machine import Machine
from .runtime import MemoryState

MiB = 1 << 20
GiB = 1 << 30

__version__ = version()
__all__ = [
    "Config", "Connection", "Delegate", "End", "EndReason", "Error", "ErrorCode",
    "Finding", "GiB", "GuestAddress", "HostReport", "Machine", "MemoryState",
    "MiB", "Problem", "State", "balloon", "block", "block_device", "bridged", "console", "console_port",
    "disk_image", "entropy", "fd", "fd_network", "file", "forward", "generic_platform",
    "host_report", "linux", "mac_address", "nat", "network", "null", "pty", "random_mac_address",
    "random_machine_identifier", "socket", "stdio", "tap", "uart", "unix", "virtio_serial",
]
