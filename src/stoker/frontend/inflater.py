"""Decompresses small requests on the loop, and large ones in a thread, while the loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from stoker.core.buffer import Buffer
from stoker.core.per_loop import one_per_loop
from stoker.frontend.client_queue import ClientQueue, Queued
from stoker.frontend.compression import SMALL_INFLATED, inflate_small

_AT_ONCE_BYTES = 64 << 10
"""Bytes to make by decompression on the loop in one of its turns: parsing them holds it up, too."""

Inflation = Queued[Callable[[], bytes]]


class Inflater(ClientQueue[Callable[[], bytes]]):
    """Decompresses for one loop (`current_inflater`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Executor | None = None) -> None:
        super().__init__()
        self._loop = loop
        self._threads = threads
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

    def _start(self, queued: Inflation) -> asyncio.Future[bytes]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "stoker-inflate")
        return self._loop.run_in_executor(self._threads, queued.work)


current_inflater = one_per_loop(Inflater)
