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
from .efi import EFI_GLOBAL_GUID, EfiKeys, EfiSignature, EfiVariable, EfiVariableStore, SecureBoot
from .events import Delegate, End, EndReason, GuestAddress, State
from .host import (Finding, ForeignBinariesAvailability, HostReport, foreign_binaries_availability,
                   foreign_binaries_install_hint, host_report)
from .identity import mac_address, random_mac_address, random_machine_identifier
from .input import KEY_FN, POINTER_MAX, WHEEL_NOTCH, Leds, Touch, consumer_key, key, system_key
from .machine import Machine
from .runtime import HostUsbDevice, MemoryState, host_usb_devices

MiB = 1 << 20
GiB = 1 << 30

__version__ = version()
__all__ = [
    "ClipboardState", "Config", "Connection", "Delegate", "EFI_GLOBAL_GUID", "EfiKeys", "EfiSignature", "EfiVariable",
    "EfiVariableStore", "End", "EndReason", "Error", "ErrorCode", "Finding", "ForeignBinariesAvailability", "GiB",
    "GuestAddress", "HostReport", "HostUsbDevice", "KEY_FN", "Leds", "Machine", "MemoryState", "MiB", "Object",
    "POINTER_MAX", "Problem", "SecureBoot", "State", "Touch", "WHEEL_NOTCH", "consumer_key",
    "foreign_binaries_availability", "foreign_binaries_install_hint", "host_report", "host_usb_devices", "key",
    "mac_address", "random_mac_address", "random_machine_identifier", "schema", "system_key",
    *objects.__all__,
]
