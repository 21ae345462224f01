# SPDX-License-Identifier: MIT
"""The shared library itself, and its errors as exceptions."""
import enum
import os
from typing import Any, Optional

from ._vz import SONAME, ffi

# VZ_LIBRARY names another file, for programs that run beside a build directory.
lib = ffi.dlopen(os.environ.get("VZ_LIBRARY", SONAME))


class Named(enum.IntEnum):
    """A number of the library's that prints as its name."""
    __str__ = enum.Enum.__str__
    __format__ = enum.Enum.__format__


def enumeration(name: str, c_name: str, prefix: str) -> Any:
    """The enum of a header as a Python one: VZ_STATE_RUNNING becomes State.RUNNING."""
    members = {member[len(prefix):]: value
               for value, member in ffi.typeof(f"enum {c_name}").elements.items()
               if member.startswith(prefix)}
    make: Any = Named  # of members that only the library knows
    return make(name, members, module="vz")


ErrorCode = enumeration("ErrorCode", "vz_error_code", "VZ_ERROR_")


class Error(Exception):
    """What the library says when something fails. code: an ErrorCode; str() is its text."""

    code: int

    def __init__(self, code: int, text: Optional[str]) -> None:
        super().__init__(text)
        try:
            self.code = ErrorCode(code)
        except ValueError:  # of a library newer than these bindings
            self.code = code

    def __repr__(self) -> str:
        return f"vz.Error({self.code}, {str(self)!r})"


def text(c_string: Any) -> Optional[str]:
    return ffi.string(c_string).decode(errors="replace") if c_string else None


def error_of(c_error: Any) -> Optional[Error]:
    """An Error from a struct vz_error *, None from NULL."""
    return Error(c_error.code, text(c_error.text)) if c_error else None


def new_error() -> Any:
    return ffi.new("struct vz_error *", {"code": lib.VZ_ERROR_NO_MEMORY, "text": b"out of memory"})


def checked(result: Any, c_error: Any) -> Any:
    """The result of a function that returns NULL or a negative number on failure."""
    failed = result < 0 if isinstance(result, int) else result == ffi.NULL
    if failed:
        raise error_of(c_error) or MemoryError()
    return result


def version() -> str:
    """The library's version, "0.4.0"."""
    return text(lib.vz_version()) or ""
