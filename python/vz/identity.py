# SPDX-License-Identifier: MIT
"""What tells machines and network cards apart: MAC addresses and machine identifiers."""
import uuid

from ._library import Error, ErrorCode, ffi, lib, text


def random_mac_address() -> str:
    """A new address for a network card: unicast, locally administered."""
    mac = ffi.new("struct vz_mac_address *")
    lib.vz_mac_address_random(mac)
    return _mac_text(mac)


def mac_address(address: str) -> str:
    """An address in the form that the library prints; vz.Error if it is none."""
    mac = ffi.new("struct vz_mac_address *")
    if lib.vz_mac_address_parse(address.encode(), mac) < 0:
        raise Error(ErrorCode.INVALID, f"'{address}' is not a MAC address (as 52:54:00:12:34:56)")
    return _mac_text(mac)


def _mac_text(mac: object) -> str:
    buffer = ffi.new("char[]", lib.VZ_MAC_ADDRESS_TEXT_MAX)
    lib.vz_mac_address_format(mac, buffer)
    return text(buffer) or ""


def random_machine_identifier() -> uuid.UUID:
    """A new identifier for generic_platform(): keep it with the machine's disks."""
    identifier = ffi.new("struct vz_machine_identifier *")
    lib.vz_machine_identifier_random(identifier)
    return uuid.UUID(bytes=bytes(ffi.buffer(identifier)))
