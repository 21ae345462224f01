# SPDX-License-Identifier: MIT
"""The shared library itself, and its errors as exceptions."""
import enum
import os

from ._vz import SONAME, ffi

# VZ_LIBRARY names another file, for programs that run beside a build directory.
lib = ffi.dlopen(os.environ.get("VZ_LIBRARY", SONAME))


def enumeration(name, c_name, prefix):
    """The enum of a header as a Python one: VZ_STATE_RUNNING becomes State.RUNNING."""
    members = {member[len(prefix):]: value
               for value, member in ffi.typeof(f"enum {c_name}").elements.items()
               if member.startswith(prefix)}
    return enum.IntEnum(name, members, module="vz")


ErrorCode = enumeration("ErrorCode", "vz_error_code", "VZ_ERROR_")


class Error(Exception):
    """What the library says when something fails. code: an ErrorCode; str() is its text."""

    def __init__(self, code, text):
        super().__init__(text)
        try:
            self.code = ErrorCode(code)
        except ValueError:  # of a library newer than these bindings
            self.code = code


def text(c_string):
    return ffi.string(c_string).decode(errors="replace") if c_string else None


def error_of(c_error):
    """An Error from a struct vz_error *, None from NULL."""
    return Error(c_error.code, text(c_error.text)) if c_error else None


def new_error():
    return ffi.new("struct vz_error *", {"code": lib.VZ_ERROR_NO_MEMORY, "text": b"out of memory"})


def checked(result, c_error):
    """The result of a function that returns NULL or a negative number on failure."""
    failed = result < 0 if isinstance(result, int) else result == ffi.NULL
    if failed:
        raise error_of(c_error)
    return result


def version():
    """The library's version, "0.4.0"."""
    return text(lib.vz_version())
