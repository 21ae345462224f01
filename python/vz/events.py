# SPDX-License-Identifier: MIT
"""How the library calls back: delegates, completions and listeners, found again by a number that C
hands back to us. They are called in the machine's event thread, where the guest's devices wait for
them; or, for a Machine made with use_events_fd, in the thread that calls dispatch()."""
import itertools
import threading
import weakref
from typing import Any, Callable, Dict, NamedTuple, Optional

from ._library import Error, enumeration, error_of, ffi, text
from .connection import Connection

State = enumeration("State", "vz_machine_state", "VZ_STATE_")
EndReason = enumeration("EndReason", "vz_end_reason", "VZ_END_")

live: Any = weakref.WeakValueDictionary()  # number -> Machine
numbers = itertools.count(1)
waiting: Dict[int, Callable[[Optional[Error]], None]] = {}  # number -> what to call at an end
listeners: Dict[int, Callable[[Connection], Any]] = {}      # number -> what takes connections
_in_callback = threading.local()


class End(NamedTuple):
    """How a run ended."""
    reason: Any  # an EndReason
    debug_code: int
    text: Optional[str]


class GuestAddress(NamedTuple):
    """Numeric addresses; "" where one is not known (yet)."""
    ipv4: str
    ipv6: str


class Delegate:
    """What a program may hear of a machine; override what is of interest. (Any object that has
    some of these methods will do.)"""

    def state_changed(self, machine: Any, state: Any) -> None:
        pass

    def guest_did_stop(self, machine: Any, end: End) -> None:
        """The guest ended by itself."""

    def did_stop_with_error(self, machine: Any, end: End) -> None:
        pass

    def network_disconnected(self, machine: Any, device: int, error: Optional[Error]) -> None:
        """The host's end of network device number device is gone."""

    def disk_connected(self, machine: Any, device: int) -> None:
        """The connection of storage device number device is there again."""

    def disk_error(self, machine: Any, device: int, error: Optional[Error]) -> None:
        """The connection of storage device number device was lost, or leads to another disk now."""

    def usb_device_disconnected(self, machine: Any, uuid: str) -> None:
        """A USB device of the host is gone from it, and from the machine."""

    def console_port_opened(self, machine: Any, device: int, port: int) -> None:
        """A program in the guest opened it."""

    def console_port_closed(self, machine: Any, device: int, port: int) -> None:
        pass

    def guest_address_changed(self, machine: Any, device: int, address: GuestAddress) -> None:
        """The guest behind the NAT of network device number device has an address, or another."""

    def guest_panicked(self, machine: Any, crash_kernel: bool) -> None:
        """The guest's kernel panicked; crash_kernel: another one takes over."""


def is_in_callback() -> bool:
    return getattr(_in_callback, "now", False)


def end_of(c_end: Any) -> End:
    return End(EndReason(c_end.reason), c_end.debug_code, text(c_end.text))


def address_of(c_address: Any) -> GuestAddress:
    return GuestAddress(text(c_address.ipv4) or "", text(c_address.ipv6) or "")


def _called(function: Callable[..., Any], *values: Any) -> Any:
    _in_callback.now = True
    try:
        return function(*values)
    finally:
        _in_callback.now = False


def _number(arg: Any) -> int:
    return int(ffi.cast("uintptr_t", arg))


def _tell(arg: Any, method: str, *values: Any) -> None:
    machine = live.get(_number(arg))
    if machine:
        _called(machine._heard, method, *values)


@ffi.callback("void(void *, struct vz_machine *, enum vz_machine_state)")
def _state_changed(arg: Any, _: Any, state: int) -> None:
    _tell(arg, "state_changed", State(state))


@ffi.callback("void(void *, struct vz_machine *, const struct vz_machine_end *)")
def _guest_did_stop(arg: Any, _: Any, end: Any) -> None:
    _tell(arg, "guest_did_stop", end_of(end))


@ffi.callback("void(void *, struct vz_machine *, const struct vz_machine_end *)")
def _did_stop_with_error(arg: Any, _: Any, end: Any) -> None:
    _tell(arg, "did_stop_with_error", end_of(end))


@ffi.callback("void(void *, struct vz_machine *, unsigned, const struct vz_error *)")
def _network_disconnected(arg: Any, _: Any, device: int, err: Any) -> None:
    _tell(arg, "network_disconnected", device, error_of(err))


@ffi.callback("void(void *, struct vz_machine *, unsigned)")
def _disk_connected(arg: Any, _: Any, device: int) -> None:
    _tell(arg, "disk_connected", device)


@ffi.callback("void(void *, struct vz_machine *, unsigned, const struct vz_error *)")
def _disk_error(arg: Any, _: Any, device: int, err: Any) -> None:
    _tell(arg, "disk_error", device, error_of(err))


@ffi.callback("void(void *, struct vz_machine *, const char *)")
def _usb_device_disconnected(arg: Any, _: Any, uuid: Any) -> None:
    _tell(arg, "usb_device_disconnected", text(uuid) or "")


@ffi.callback("void(void *, struct vz_machine *, unsigned, unsigned)")
def _console_port_opened(arg: Any, _: Any, device: int, port: int) -> None:
    _tell(arg, "console_port_opened", device, port)


@ffi.callback("void(void *, struct vz_machine *, unsigned, unsigned)")
def _console_port_closed(arg: Any, _: Any, device: int, port: int) -> None:
    _tell(arg, "console_port_closed", device, port)


@ffi.callback("void(void *, struct vz_machine *, unsigned, const struct vz_guest_address *)")
def _guest_address_changed(arg: Any, _: Any, device: int, address: Any) -> None:
    _tell(arg, "guest_address_changed", device, address_of(address))


@ffi.callback("void(void *, struct vz_machine *, _Bool)")
def _guest_panicked(arg: Any, _: Any, crash_kernel: bool) -> None:
    _tell(arg, "guest_panicked", bool(crash_kernel))


@ffi.callback("vz_machine_done_fn")
def done(arg: Any, _: Any, err: Any) -> None:
    _called(waiting.pop(_number(arg)), error_of(err))


@ffi.callback("vz_socket_accept_fn")
def accept(arg: Any, _: Any, connection: Any) -> bool:
    call = listeners.get(_number(arg))
    return call is not None and _called(call, Connection.of(connection, borrowed=True)) is not False


def c_delegate() -> Any:
    """A struct vz_machine_delegate with the functions above."""
    return ffi.new("struct vz_machine_delegate *", {
        "size": ffi.sizeof("struct vz_machine_delegate"),
        "state_changed": _state_changed,
        "guest_did_stop": _guest_did_stop,
        "did_stop_with_error": _did_stop_with_error,
        "network_disconnected": _network_disconnected,
        "disk_connected": _disk_connected,
        "disk_error": _disk_error,
        "usb_device_disconnected": _usb_device_disconnected,
        "console_port_opened": _console_port_opened,
        "console_port_closed": _console_port_closed,
        "guest_address_changed": _guest_address_changed,
        "guest_panicked": _guest_panicked,
    })
