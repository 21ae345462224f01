# SPDX-License-Identifier: MIT
"""A machine's life for asyncio: a part of Machine. Not for one made with use_events_fd."""
import asyncio
from typing import Any, AsyncIterator, Callable, NamedTuple, Optional, Tuple

from ._library import Error
from .connection import Connection
from .events import End


class Event(NamedTuple):
    """What a delegate would hear: the name of its method, and its values."""
    name: str
    values: Tuple[Any, ...]


class Async:
    _begin: Callable[..., None]  # of Machine, as the next
    _hearers: Any
    wait: Callable[..., End]
    connect: Callable[[int], Connection]

    async def _performed(self, operation: str) -> None:
        loop = asyncio.get_running_loop()
        future: "asyncio.Future[None]" = loop.create_future()

        def settle(error: Optional[Error]) -> None:
            if future.cancelled():
                return
            if error:
                future.set_exception(error)
            else:
                future.set_result(None)

        self._begin(operation, lambda error: loop.call_soon_threadsafe(settle, error))
        await future

    async def start_async(self) -> None:
        await self._performed("start")

    async def pause_async(self) -> None:
        await self._performed("pause")

    async def resume_async(self) -> None:
        await self._performed("resume")

    async def stop_async(self) -> None:
        await self._performed("stop")

    async def wait_async(self) -> End:
        """Wait until it is stopped or in error; how the last run ended."""
        async for _ in self._until_ended():
            pass
        return self.wait(timeout=0)

    async def _until_ended(self) -> AsyncIterator[Event]:
        async for event in self.events():
            if getattr(self, "has_ended"):
                return
            yield event

    async def connect_async(self, port: int) -> Connection:
        """Connect to a port of the guest."""
        return await asyncio.get_running_loop().run_in_executor(None, self.connect, port)

    async def events(self) -> AsyncIterator[Event]:
        """What happens from now on, beginning with the present state, as state_changed."""
        loop = asyncio.get_running_loop()
        queue: "asyncio.Queue[Event]" = asyncio.Queue()

        def hear(name: str, *values: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, Event(name, values))

        self._hearers.add(hear)
        try:
            yield Event("state_changed", (getattr(self, "state"),))
            while True:
                yield await queue.get()
        finally:
            self._hearers.discard(hear)
