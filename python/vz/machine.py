# SPDX-License-Identifier: MIT
"""A virtual machine and its life: struct vz_machine of <vz/machine.h>, which says what the
operations do and when they are allowed.

Delegates and completions are called in the machine's event thread, where the guest's devices wait
for them; or, for a Machine made with use_events_fd, in the thread that calls dispatch().
"""
import asyncio
import atexit
import itertools
import threading
import weakref
from typing import NamedTuple

from ._library import checked, enumeration, error_of, ffi, lib, new_error, text
from .connection import Connection

State = enumeration("State", "vz_machine_state", "VZ_STATE_")
EndReason = enumeration("EndReason", "vz_end_reason", "VZ_END_")

OPERATIONS = ("start", "pause", "resume", "stop")

_live = weakref.WeakValueDictionary()  # number -> Machine: what C hands back to our callbacks
_numbers = itertools.count(1)
_in_callback = threading.local()


class End(NamedTuple):
    """How a run ended."""
    reason: EndReason
    debug_code: int
    text: str


class MemoryState(NamedTuple):
    """How a guest's memory stands; all in bytes."""
    target: int  # as set, after rounding
    actual: int  # what the guest has now, as it says
    freed: int   # what went back to the host in this run


class Delegate:
    """What a program may hear of a machine; override what is of interest. (Any object that has
    some of these methods will do.)"""

    def state_changed(self, machine, state):
        pass

    def guest_did_stop(self, machine, end):
        """The guest ended by itself."""

    def did_stop_with_error(self, machine, end):
        pass

    def network_disconnected(self, machine, device, error):
        """The host's end of network device number device is gone."""

    def console_port_opened(self, machine, device, port):
        """A program in the guest opened it."""

    def console_port_closed(self, machine, device, port):
        pass


def _end(c_end):
    return End(EndReason(c_end.reason), c_end.debug_code, text(c_end.text))


def _number(arg):
    return int(ffi.cast("uintptr_t", arg))


def _tell(arg, method, *values):
    machine = _live.get(_number(arg))
    call = getattr(machine and machine.delegate, method, None)
    if call:
        _in_callback.now = True
        try:
            call(machine, *values)
        finally:
            _in_callback.now = False


def _callback(c_type):
    return lambda function: ffi.callback(c_type, function)


@_callback("void(void *, struct vz_machine *, enum vz_machine_state)")
def _state_changed(arg, _, state):
    _tell(arg, "state_changed", State(state))


@_callback("void(void *, struct vz_machine *, const struct vz_machine_end *)")
def _guest_did_stop(arg, _, end):
    _tell(arg, "guest_did_stop", _end(end))


@_callback("void(void *, struct vz_machine *, const struct vz_machine_end *)")
def _did_stop_with_error(arg, _, end):
    _tell(arg, "did_stop_with_error", _end(end))


@_callback("void(void *, struct vz_machine *, unsigned, const struct vz_error *)")
def _network_disconnected(arg, _, device, err):
    _tell(arg, "network_disconnected", device, error_of(err))


@_callback("void(void *, struct vz_machine *, unsigned, unsigned)")
def _console_port_opened(arg, _, device, port):
    _tell(arg, "console_port_opened", device, port)


@_callback("void(void *, struct vz_machine *, unsigned, unsigned)")
def _console_port_closed(arg, _, device, port):
    _tell(arg, "console_port_closed", device, port)


_waiting = {}  # number -> what to call at an operation's end


@_callback("vz_machine_done_fn")
def _done(arg, _, err):
    call = _waiting.pop(_number(arg))
    _in_callback.now = True
    try:
        call(error_of(err))
    finally:
        _in_callback.now = False


_listeners = {}  # number -> what to call with a connection


@_callback("vz_socket_accept_fn")
def _accept(arg, _, connection):
    call = _listeners.get(_number(arg))
    if not call:
        return False
    _in_callback.now = True
    try:
        return call(Connection.of(connection, borrowed=True)) is not False
    finally:
        _in_callback.now = False


@_callback("vz_machine_stats_fn")
def _counter(arg, name, value):
    ffi.from_handle(arg)[text(name)] = value


class Machine:
    """A machine made from a Config. Use it in a with statement, or close() it in the end."""

    def __init__(self, config, delegate=None, use_events_fd=False):
        self.delegate = delegate
        self._c = None
        self._index = next(_numbers)
        self._listening = {}  # port -> number in _listeners
        functions = ffi.new("struct vz_machine_delegate *", {
            "size": ffi.sizeof("struct vz_machine_delegate"),
            "state_changed": _state_changed,
            "guest_did_stop": _guest_did_stop,
            "did_stop_with_error": _did_stop_with_error,
            "network_disconnected": _network_disconnected,
            "console_port_opened": _console_port_opened,
            "console_port_closed": _console_port_closed,
        })
        options = ffi.new("struct vz_machine_options *", {
            "size": ffi.sizeof("struct vz_machine_options"),
            "delegate": functions if delegate else ffi.NULL,
            "delegate_arg": ffi.cast("void *", self._index),
            "use_events_fd": use_events_fd,
        })
        err = new_error()
        self._c = checked(lib.vz_machine_new(config.c, options, err), err)
        _live[self._index] = self

    @property
    def c(self):
        """The struct vz_machine *, for functions of the library that have no method here."""
        if not self._c:
            raise ValueError("the machine is closed")
        return self._c

    def close(self):
        """Stop it at once if it runs, and let go of everything. Not in delegates or completions."""
        c, self._c = self._c, None
        if c:
            lib.vz_machine_free(c)
        self._forget_listeners()

    def _forget_listeners(self):
        for number in self._listening.values():
            _listeners.pop(number, None)
        self._listening.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        c, self._c = self._c, None
        if not c:
            return
        self._forget_listeners()
        if getattr(_in_callback, "now", False):  # its own thread cannot wait for its own end
            threading.Thread(target=lib.vz_machine_free, args=(c,)).start()
        else:
            lib.vz_machine_free(c)

    # ---- Its life ------------------------------------------------------------------------------

    @property
    def state(self):
        return State(lib.vz_machine_state(self.c))

    def can(self, operation):
        """Would "start", "pause", "resume", "stop" or "request_stop" be accepted now?"""
        return bool(getattr(lib, f"vz_machine_can_{operation}")(self.c))

    def begin(self, operation, done=None):
        """Begin "start", "pause", "resume" or "stop"; done(error) is called at its end, with None
        when it succeeded."""
        if operation not in OPERATIONS:
            raise ValueError(f"no operation: {operation}")
        number = next(_numbers)
        _waiting[number] = done or (lambda error: None)
        function = getattr(lib, f"vz_machine_{operation}")
        if function(self.c, _done, ffi.cast("void *", number)) < 0:
            raise _waiting.pop(number) and error_of(new_error())

    async def perform(self, operation):
        """begin() for asyncio: await machine.perform("start"). Not with use_events_fd."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle(error):
            if future.cancelled():
                return
            if error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self.begin(operation, lambda error: loop.call_soon_threadsafe(settle, error))
        await future

    def _wait_for(self, operation):
        err = new_error()
        checked(getattr(lib, f"vz_machine_{operation}_wait")(self.c, err), err)

    def start(self):
        self._wait_for("start")

    def pause(self):
        self._wait_for("pause")

    def resume(self):
        self._wait_for("resume")

    def stop(self):
        self._wait_for("stop")

    def request_stop(self):
        """Press the power button."""
        err = new_error()
        checked(lib.vz_machine_request_stop(self.c, err), err)

    def wait(self):
        """Wait until it is stopped or in error; how the last run ended, as an End."""
        end = ffi.new("struct vz_machine_end *")
        lib.vz_machine_wait(self.c, end)
        return _end(end)

    # ---- Its memory and its sockets ------------------------------------------------------------

    def set_memory_target(self, size):
        """How many bytes the guest should have left; needs a balloon."""
        err = new_error()
        checked(lib.vz_machine_set_memory_target(self.c, size, err), err)

    def memory_state(self):
        err = new_error()
        state = ffi.new("struct vz_memory_state *", {"size": ffi.sizeof("struct vz_memory_state")})
        checked(lib.vz_machine_memory_state(self.c, state, err), err)
        return MemoryState(state.target, state.actual, state.freed)

    def connect(self, port):
        """Connect to a port of the guest and wait: a Connection."""
        err = new_error()
        return Connection.of(checked(lib.vz_machine_socket_connect_wait(self.c, port, err), err),
                             borrowed=False)

    def listen(self, port, accept):
        """Take the guest's connections to a port of the host: accept(connection) is called as a
        delegate is, and refuses by returning False."""
        number, err = next(_numbers), new_error()
        _listeners[number] = accept
        try:
            checked(lib.vz_machine_socket_listen(self.c, port, _accept,
                                                 ffi.cast("void *", number), err), err)
        except Exception:
            del _listeners[number]
            raise
        _listeners.pop(self._listening.get(port), None)
        self._listening[port] = number

    def unlisten(self, port):
        lib.vz_machine_socket_unlisten(self.c, port)
        _listeners.pop(self._listening.pop(port, None), None)

    # ---- Delivery through a descriptor ---------------------------------------------------------

    def fileno(self):
        """Readable while completions or events wait; -1 without use_events_fd."""
        return lib.vz_machine_events_fd(self.c)

    def dispatch(self):
        """Deliver what waits, in this thread; how many."""
        return lib.vz_machine_dispatch(self.c)

    # ---- What else there is to know ------------------------------------------------------------

    def stats(self):
        """Counters by name."""
        counters = {}
        lib.vz_machine_stats(self.c, _counter, ffi.new_handle(counters))
        return counters

    def serial_path(self, index=0):
        """The name of a serial port's pseudo-terminal, or None."""
        name = ffi.new("char[256]")
        if lib.vz_machine_serial_path(self.c, index, name, len(name)) < 0:
            return None
        return text(name)


@atexit.register
def _close_all():
    """Threads of machines must not call into an interpreter that is being taken down."""
    for machine in list(_live.values()):
        machine.close()
