"""Keeps a connection open until its client has read the answer, which closing at once would lose if more bytes came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from stoker.frontend.sockets import unacknowledged

LINGER_S = 2.0
"""Time without progress after which the client is not waited for."""
_MOST_BYTES = 64 << 20


class Lingering:
    """Counts input with `discard` and drops it. ``close`` ends the connection; not called after `cancel`."""

    __slots__ = ("_close", "_discarded", "_next", "_transport", "_unread")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._discarded = 0
        self._unread = 0
        self._next: asyncio.Handle | None = None

    def begin(self) -> None:
        self._next = asyncio.get_running_loop().call_soon(self._end_output)  # asyncio's write would end it twice

    def _end_output(self) -> None:
        with suppress(OSError):  # the client left unnoticed
            self._transport.write_eof()
        self._wait(unacknowledged(self._transport))

    def discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _MOST_BYTES:
            self._close()

    def cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _wait(self, unread: int) -> None:
        self._unread = unread
        self._next = asyncio.get_running_loop().call_later(LINGER_S, self._check)

    def _check(self) -> None:
        unread = unacknowledged(self._transport)
        if unread < self._unread or self._transport.get_write_buffer_size():
            self._wait(unread)
        else:
            self._close()
