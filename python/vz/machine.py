# SPDX-License-Identifier: MIT
"""A virtual machine and its life: struct vz_machine of <vz/machine.h>, which says what the
operations do and when they are allowed. What its devices do while it runs is in runtime.py, the
clipboard in clipboard.py, its life for asyncio in aio.py."""
import atexit
import threading
import time
from typing import Any, Callable, Dict, Optional, Set

from ._library import Error, checked, error_of, ffi, lib, new_error, text
from .aio import Async
from .clipboard import Clipboard
from .config import Config
from .events import (End, State, c_delegate, done, end_of, is_in_callback, live, numbers, waiting)
from .input import Input
from .runtime import Runtime, called

POLL_S = 0.02  # with use_events_fd nobody tells us of the end while we wait


@ffi.callback("vz_machine_stats_fn")
def _counter(arg: Any, name: Any, value: int) -> None:
    ffi.from_handle(arg)[text(name)] = value


class Machine(Runtime, Input, Clipboard, Async):
    """A machine made from a Config. Use it in a with statement, or close() it in the end."""

    def __init__(self, config: Config, delegate: Any = None, use_events_fd: bool = False) -> None:
        self.delegate = delegate
        self._c = None
        self._index = next(numbers)
        self._listening: Dict[int, int] = {}
        self._hearers: Set[Callable[..., None]] = set()
        self._moved = threading.Condition()
        self._uses_events_fd = use_events_fd
        options = ffi.new("struct vz_machine_options *", {
            "size": ffi.sizeof("struct vz_machine_options"),
            "delegate": ffi.NULL if use_events_fd and not delegate else c_delegate(),
            "delegate_arg": ffi.cast("void *", self._index),
            "use_events_fd": use_events_fd,
        })
        err = new_error()
        self._c = checked(lib.vz_machine_new(config.c, options, err), err)
        live[self._index] = self

    def __repr__(self) -> str:
        return f"<vz.Machine {self.state.name.lower()}>" if self._c else "<vz.Machine closed>"

    @property
    def c(self) -> Any:
        """The struct vz_machine *, for functions of the library that have no method here."""
        if not self._c:
            raise ValueError("the machine is closed")
        return self._c

    def _heard(self, method: str, *values: Any) -> None:
        if method == "state_changed":
            with self._moved:
                self._moved.notify_all()
        for hear in list(self._hearers):
            hear(method, *values)
        call = getattr(self.delegate, method, None)
        if call:
            call(self, *values)

    def close(self) -> None:
        """Stop it at once if it runs, and let go of everything. Not in delegates or completions."""
        c, self._c = self._c, None
        self._forget_clipboard()
        if c:
            lib.vz_machine_free(c)
        self._forget_listeners()
        with self._moved:
            self._moved.notify_all()

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        c, self._c = self._c, None
        if not c:
            return
        self._forget_clipboard()
        self._forget_listeners()
        if is_in_callback():  # its own thread cannot wait for its own end
            threading.Thread(target=lib.vz_machine_free, args=(c,)).start()
        else:
            lib.vz_machine_free(c)

    # ---- Its life ------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        return State(lib.vz_machine_get_state(self.c))

    @property
    def has_ended(self) -> bool:
        """Is it stopped or in error, so that wait() would return at once?"""
        return self.state in (State.STOPPED, State.ERROR)

    @property
    def can_start(self) -> bool:
        return bool(lib.vz_machine_can_start(self.c))

    @property
    def can_pause(self) -> bool:
        return bool(lib.vz_machine_can_pause(self.c))

    @property
    def can_resume(self) -> bool:
        return bool(lib.vz_machine_can_resume(self.c))

    @property
    def can_stop(self) -> bool:
        return bool(lib.vz_machine_can_stop(self.c))

    @property
    def can_request_stop(self) -> bool:
        return bool(lib.vz_machine_can_request_stop(self.c))

    def _begin(self, operation: str, call: Callable[[Optional[Error]], None]) -> None:
        number = next(numbers)
        waiting[number] = call
        if getattr(lib, f"vz_machine_{operation}")(self.c, done, ffi.cast("void *", number)) < 0:
            del waiting[number]
            raise error_of(new_error()) or MemoryError()

    def begin_start(self, call: Callable[[Optional[Error]], None]) -> None:
        """Begin to start it; call(error) is called at the end, with None when it succeeded."""
        self._begin("start", call)

    def begin_pause(self, call: Callable[[Optional[Error]], None]) -> None:
        self._begin("pause", call)

    def begin_resume(self, call: Callable[[Optional[Error]], None]) -> None:
        self._begin("resume", call)

    def begin_stop(self, call: Callable[[Optional[Error]], None]) -> None:
        self._begin("stop", call)

    def start(self) -> None:
        called(lib.vz_machine_start_wait, self.c)

    def pause(self) -> None:
        called(lib.vz_machine_pause_wait, self.c)

    def resume(self) -> None:
        called(lib.vz_machine_resume_wait, self.c)

    def stop(self) -> None:
        """Pull the plug."""
        called(lib.vz_machine_stop_wait, self.c)

    def request_stop(self) -> None:
        """Press the power button."""
        called(lib.vz_machine_request_stop, self.c)

    def wait(self, timeout: Optional[float] = None) -> End:
        """Wait until it is stopped or in error; how the last run ended. Ctrl-C ends the waiting,
        not the machine; so does TimeoutError after timeout seconds."""
        limit = None if timeout is None else time.monotonic() + timeout
        with self._moved:
            while not self.has_ended:
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("the machine has not ended yet")
                self._moved.wait(min(left or POLL_S, POLL_S) if self._uses_events_fd else left)
        end = ffi.new("struct vz_machine_end *")
        lib.vz_machine_wait(self.c, end)
        return end_of(end)

    # ---- Delivery through a descriptor ---------------------------------------------------------

    def fileno(self) -> int:
        """Readable while completions or events wait; -1 without use_events_fd."""
        return int(lib.vz_machine_events_fd(self.c))

    def dispatch(self) -> int:
        """Deliver what waits, in this thread; how many."""
        return int(lib.vz_machine_dispatch(self.c))

    # ---- What else there is to know ------------------------------------------------------------

    def stats(self) -> Dict[str, int]:
        """Counters by name."""
        counters: Dict[str, int] = {}
        lib.vz_machine_stats(self.c, _counter, ffi.new_handle(counters))
        return counters

    def serial_path(self, index: int = 0) -> Optional[str]:
        """The name of a serial port's pseudo-terminal, or None."""
        name = ffi.new("char[256]")
        if lib.vz_machine_serial_path(self.c, index, name, len(name)) < 0:
            return None
        return text(name)


@atexit.register
def _close_all() -> None:
    """Threads of machines must not call into an interpreter that is being taken down."""
    for machine in list(live.values()):
        machine.close()
