# SPDX-License-Identifier: MIT
"""Virtual machines for programs: libvz from Python.

    import vz

    config = vz.Config(
        cpus=2, memory=512 * vz.MiB,
        boot_loader=vz.linux("vmlinuz", initrd="initrd.img", cmdline="console=ttyS0 console=hvc0"),
        serial_ports=[vz.virtio_serial(vz.stdio())],
        network_devices=[vz.network(vz.nat())])
    with vz.Machine(config) as machine:
        machine.start()
        print(machine.wait().reason)

Functions of the library that fail raise vz.Error, which has its code and its text.
"""
from ._library import Error, ErrorCode, version
from ._object import Object
from .clipboard import ClipboardState
from .config import *  # noqa: F401,F403  the objects of a configuration, under both their names
from .config import Config, Problem, console, fd, objects, schema
from .connection import Connection
from .events import Delegate, End, EndReason, GuestAddress, State
from .host import (Finding, ForeignBinariesAvailability, HostReport, foreign_binaries_availability,
                   foreign_binaries_install_hint, host_report)
from .identity import mac_address, random_mac_address, random_machine_identifier
from .machine import Machine
from .runtime import HostUsbDevice, MemoryState, host_usb_devices

MiB = 1 << 20
GiB = 1 << 30

__version__ = version()
__all__ = [
    "ClipboardState", "Config", "Connection", "Delegate", "End", "EndReason", "Error", "ErrorCode", "Finding",
    "ForeignBinariesAvailability", "GiB",
    "GuestAddress", "HostReport", "HostUsbDevice", "Machine", "MemoryState", "MiB", "Object", "Problem", "State",
    "foreign_binaries_availability", "foreign_binaries_install_hint", "host_report", "host_usb_devices", "mac_address",
    "random_mac_address", "random_machine_identifier", "schema",
    *objects.__all__,
]
