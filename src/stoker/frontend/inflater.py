"""Decompresses small requests on the loop, and large ones in a thread, while the loop goes on.

Invariants: the thread decompresses one message at a time, so that memory holds at most one that turns out too large;
clients take turns, so that a client with many messages delays another by one message; a request that has ended leaves
the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

from stoker.core.buffer import Buffer
from stoker.core.per_loop import one_per_loop
from stoker.frontend.compression import SMALL_INFLATED, inflate_small

_AT_ONCE_BYTES = 64 << 10
"""Bytes to make by decompression on the loop in one of its turns: parsing them holds it up, too."""

Work = Callable[[], bytes]
Done = Callable[[bytes | None, BaseException | None], None]


@dataclass(slots=True, eq=False)
class Inflation:
    """A message to decompress. ``client``: whose turn it takes; ``cancelled``: its result is not wanted any more."""

    client: object
    work: Work
    done: Done
    cancelled: bool = field(default=False, init=False)


class Inflater:
    """Decompresses for one loop (`current_inflater`). Not thread-safe."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Executor | None = None) -> None:
        self._loop = loop
        self._threads = threads
        self._waiting: dict[object, deque[Inflation]] = {}  # by client, the next first
        self._running = False
        self._left = _AT_ONCE_BYTES

    def inflate_now(self, compressed: Buffer, encoding: str, limit: int) -> bytes | None:
        """Decompresses a small message at once, unless this turn has had too many of them; None: `submit` it.

        Raises: UnknownEncoding, MessageTooLarge, BadCompression
        """
        if self._left <= 0:
            return None
        if self._left == _AT_ONCE_BYTES:
            self._loop.call_soon(self._begin_turn)
        size = SMALL_INFLATED
        try:
            data = inflate_small(compressed, encoding, limit)
            if data is not None:
                size = len(data)
        finally:
            self._left -= max(1, size)
        return data

    def _begin_turn(self) -> None:
        self._left = _AT_ONCE_BYTES

    def submit(self, client: object, work: Work, done: Done) -> Inflation:
        """Runs ``work`` in the thread; calls ``done`` on the loop with the result or the error."""
        inflation = Inflation(client, work, done)
        self._waiting.setdefault(client, deque()).append(inflation)
        self._run_next()
        return inflation

    def cancel(self, inflation: Inflation) -> None:
        """Removes a message from the queue, or drops the result if it is being decompressed. Idempotent."""
        inflation.cancelled = True
        queue = self._waiting.get(inflation.client)
        if queue is not None and inflation in queue:
            queue.remove(inflation)
            if not queue:
                del self._waiting[inflation.client]

    def _run_next(self) -> None:
        if self._running or not self._waiting:
            return
        client = next(iter(self._waiting))
        queue = self._waiting.pop(client)
        inflation = queue.popleft()
        if queue:
            self._waiting[client] = queue  # behind all others
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "stoker-inflate")
        self._running = True
        result = self._loop.run_in_executor(self._threads, inflation.work)
        result.add_done_callback(lambda done: self._ended(inflation, done))

    def _ended(self, inflation: Inflation, result: asyncio.Future[bytes]) -> None:
        self._running = False
        error = result.exception()
        self._run_next()
        if not inflation.cancelled:
            inflation.done(None if error is not None else result.result(), error)


current_inflater = one_per_loop(Inflater)
