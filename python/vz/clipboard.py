# SPDX-License-Identifier: MIT
"""The clipboard that is shared with a guest whose SPICE agent runs, <vz/clipboard.h>: a part of Machine."""
from typing import Any, NamedTuple, Tuple, Union

from ._library import checked, ffi, lib, new_error

TYPES = ("text", "png", "bmp", "tiff", "jpeg")


class ClipboardState(NamedTuple):
    """What is on offer."""
    agent: bool             # is there one in the guest?
    types: Tuple[str, ...]  # of TYPES
    guest: bool             # does the guest offer it?


def _type(name: str) -> int:
    if name not in TYPES:
        raise ValueError(f"type {name!r} is none of {', '.join(TYPES)}")
    return TYPES.index(name) + 1


class Clipboard:
    c: Any  # of Machine
    _party: Any = None

    def _clipboard(self) -> Any:
        if not self._party:
            err = new_error()
            self._party = checked(lib.vz_clipboard_new(self.c, ffi.NULL, err), err)
        return self._party

    def _forget_clipboard(self) -> None:
        party, self._party = self._party, None
        if party:
            lib.vz_clipboard_free(party)

    def set_clipboard(self, content: Union[str, bytes], type: str = "text", primary: bool = False) -> None:
        """Offer it to the guest, until somebody else copies; in any state of the machine. Needs spice_agent()."""
        data, err = content.encode() if isinstance(content, str) else bytes(content), new_error()
        checked(lib.vz_clipboard_set(self._clipboard(), primary, _type(type), ffi.from_buffer(data), len(data), err),
                err)

    def get_clipboard(self, type: str = "text", primary: bool = False) -> bytes:
        """What was copied last, in the guest or by set_clipboard()."""
        size, err = ffi.new("size_t *"), new_error()
        data = checked(lib.vz_clipboard_fetch_wait(self._clipboard(), primary, _type(type), size, err), err)
        try:
            return bytes(ffi.buffer(data, size[0]))
        finally:
            lib.free(data)

    def clipboard_state(self, primary: bool = False) -> ClipboardState:
        state = ffi.new("struct vz_clipboard_state *", {"size": ffi.sizeof("struct vz_clipboard_state")})
        err = new_error()
        checked(lib.vz_clipboard_get_state(self._clipboard(), state, err), err)
        types = tuple(name for i, name in enumerate(TYPES) if state.types[primary] >> i + 1 & 1)
        return ClipboardState(state.agent, types, state.is_guest[primary])
