"""Waiting in asyncio: each wait is one descriptor in the loop, and holds no thread.

`asyncio` is imported by the programs that use it, and not by others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ._errors import ArgumentError, ClosedError
from ._tendmap import Changes, Client


class _Source(Protocol):
    def fileno(self) -> int: ...


async def readable(source: _Source, timeout: float | None = None) -> bool:
    """Waits until the descriptor of `source` is readable. False at the timeout."""
    import asyncio

    loop = asyncio.get_running_loop()
    descriptor = source.fileno()
    waiter: asyncio.Future[bool] = loop.create_future()

    def wake(answer: bool) -> None:
        if not waiter.done():
            waiter.set_result(answer)

    loop.add_reader(descriptor, wake, True)
    timer = None if timeout is None else loop.call_later(timeout, wake, False)
    try:
        return await waiter
    finally:
        if timer is not None:
            timer.cancel()
        # A loop that is closed while a task waits has forgotten the descriptor.
        if not loop.is_closed():
            loop.remove_reader(descriptor)


#: The objects that a task is waiting for: a loop has one callback for each descriptor.
_waiting: set[Changes] = set()


class Iterator:
    """The sequences of a `Changes`, each as the map changes."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def __aiter__(self) -> Iterator:
        return self

    async def __anext__(self) -> int:
        changes = self._changes
        if changes.closed:
            raise StopAsyncIteration
        if changes in _waiting:
            text = "another task waits for this tendmap.Changes; wanted one for each task"
            raise ArgumentError(text)
        _waiting.add(changes)
        try:
            await readable(changes)
            return changes.take()
        except ClosedError:
            raise StopAsyncIteration from None
        finally:
            _waiting.discard(changes)


async def changed(changes: Changes, after: int, timeout: float | None) -> int:
    """The live sequence once it is another one than `after`, or at the timeout."""
    import asyncio

    loop = asyncio.get_running_loop()
    end = None if timeout is None else loop.time() + timeout
    with changes:
        while True:
            now = changes.take()
            left = None if end is None else end - loop.time()
            if now != after or (left is not None and left <= 0):
                return now
            await readable(changes, left)


async def connect(
    hosts: str | Iterable[str | tuple[str, int] | tuple[str, int, str | None] | list[Any]],
    **settings: Any,
) -> Client:
    """A client that has connected: `tendmap.Client(hosts, **settings)` for asyncio.

    The event loop goes on, even if no server answers. Cancelling it ends the wait at
    once; the attempt ends by itself, at the latest after its timeouts, and is undone.
    The program's end does not wait for it.

        async with await tendmap.connect("127.0.0.1:3000") as client:
            print(client.route("test", "users", 42).address)
    """
    settings.pop("lazy", None)
    client = Client(hosts, lazy=True, **settings)
    try:
        return await connected(client)
    except BaseException:
        client.close()
        raise


async def connected(client: Client) -> Client:
    """Connects a lazy client, or makes a child's own part."""
    pending = client._connecting()
    try:
        await readable(pending)
    except BaseException:
        pending.abandon()
        raise
    client._connected(pending)
    return client


async def closed(client: Client) -> None:
    """Closes a client."""
    pending = client._closing()
    if pending is None:
        return
    try:
        await readable(pending)
    except BaseException:
        pending.abandon()
        raise
    pending.end()
