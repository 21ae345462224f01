# SPDX-License-Identifier: MIT
"""Stores of UEFI variables, <vz/efi.h>: made, looked at and changed while no machine uses them."""
import os
from typing import Any, Callable, List, NamedTuple, Optional, Union

from ._library import enumeration, ffi, lib, text
from .runtime import called

EFI_GLOBAL_GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"  # of boot entries and their order

SecureBoot = enumeration("SecureBoot", "vz_efi_secure_boot", "VZ_EFI_SECURE_BOOT_")
EfiKeys = enumeration("EfiKeys", "vz_efi_keys", "VZ_EFI_")


class EfiVariable(NamedTuple):
    name: str
    guid: str
    attributes: int
    data: bytes


class EfiSignature(NamedTuple):
    certificate: bool  # X.509 in DER; else a hash
    owner: str         # a GUID
    data: bytes


def _bytes(c: Any) -> bytes:
    return bytes(ffi.buffer(c.data, c.length)) if c.length else b""


class EfiVariableStore:
    """A store that there is. create() makes one."""

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = os.fspath(path)

    def __repr__(self) -> str:
        return f"vz.EfiVariableStore({self.path!r})"

    @classmethod
    def create(cls, path: Union[str, "os.PathLike[str]"], firmware: Optional[str] = None, allow_overwrite: bool = False,
               secure_boot: bool = False) -> "EfiVariableStore":
        """Make one of a firmware's template: the distribution's, or the one beside a firmware. secure_boot: with the keys of
        the firmware's package."""
        store = cls(path)
        name = ffi.new("char[]", os.fsencode(firmware)) if firmware else ffi.NULL
        options = ffi.new("struct vz_efi_variable_store_options *",
                          {"size": ffi.sizeof("struct vz_efi_variable_store_options"), "firmware": name,
                           "allow_overwrite": allow_overwrite, "secure_boot": secure_boot})
        store._do(lib.vz_efi_variable_store_create, options)
        return store

    def _do(self, function: Callable[..., Any], *arguments: Any) -> None:
        called(function, os.fsencode(self.path), *arguments)

    # ---- Variables -----------------------------------------------------------------------------

    def variables(self) -> List[EfiVariable]:
        found: List[EfiVariable] = []

        @ffi.callback("vz_efi_variable_fn")  # type: ignore[untyped-decorator, unused-ignore]
        def see(_: Any, v: Any) -> bool:
            found.append(EfiVariable(text(v.name) or "", text(v.guid) or "", v.attributes, _bytes(v)))
            return True

        self._do(lib.vz_efi_variable_store_list, see, ffi.NULL)
        return found

    def set(self, name: str, data: bytes, guid: str = EFI_GLOBAL_GUID, attributes: int = 0) -> None:
        """Set a variable. attributes 0: as it was, else a variable that lasts and that a running system sees."""
        names = [ffi.new("char[]", word.encode()) for word in (name, guid)]
        content = ffi.new("char[]", data)
        self._do(lib.vz_efi_variable_store_set,
                 ffi.new("struct vz_efi_variable *",
                         {"size": ffi.sizeof("struct vz_efi_variable"), "name": names[0], "guid": names[1],
                          "attributes": attributes, "data": content, "length": len(data)}))

    def remove(self, name: str, guid: str = EFI_GLOBAL_GUID) -> None:
        self._do(lib.vz_efi_variable_store_remove, name.encode(), guid.encode())

    # ---- Secure Boot ---------------------------------------------------------------------------

    @property
    def secure_boot(self) -> Any:
        """A SecureBoot: what it is at the machine's next start."""
        state = ffi.new("enum vz_efi_secure_boot *")
        self._do(lib.vz_efi_secure_boot_get, state)
        return SecureBoot(state[0])

    def set_secure_boot(self, on: bool) -> None:
        """Switch it on or off in a store with a platform key; the keys stay."""
        self._do(lib.vz_efi_secure_boot_set, on)

    def reset_secure_boot(self) -> None:
        """Take the platform key away: set-up mode."""
        self._do(lib.vz_efi_secure_boot_reset)

    def enroll(self, keys: int, data: bytes) -> None:
        """Add a certificate (DER), lists of signatures, or the SHA-256 of a program to the EfiKeys PK, KEK, DB or DBX."""
        self._do(lib.vz_efi_secure_boot_enroll, keys, ffi.new("char[]", data), len(data))

    def enroll_default_keys(self) -> None:
        """Those of the firmware's package."""
        self._do(lib.vz_efi_secure_boot_enroll_default)

    def signatures(self, keys: int) -> List[EfiSignature]:
        found: List[EfiSignature] = []

        @ffi.callback("void(void *, const struct vz_efi_signature *)")  # type: ignore[untyped-decorator, unused-ignore]
        def see(_: Any, s: Any) -> None:
            found.append(EfiSignature(s.certificate, text(s.owner) or "", _bytes(s)))

        self._do(lib.vz_efi_secure_boot_list, keys, see, ffi.NULL)
        return found
