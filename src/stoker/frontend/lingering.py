"""Keeps a connection open until its client has read the answer, which closing at once would lose if more bytes came.

A kernel that gets more bytes for a closed socket drops what it has not delivered yet, and resets the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from stoker.frontend.sockets import unacknowledged

LINGER_S = 2.0
"""Time in which the client neither reads nor sends after which it is not waited for."""
MOST_S = 30.0
"""Time after which sending alone does not count."""
_MOST_BYTES = 64 << 20


class Lingering:
    """Ends the output with `begin`; counts input with `discard` and drops it.  ``close`` ends the connection; not
    called after `cancel`."""

    __slots__ = ("_began", "_close", "_discarded", "_next", "_seen", "_transport", "_unread")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._began = time.monotonic()
        self._discarded = self._seen = 0
        self._unread = 0
        self._next: asyncio.Handle | None = None

    def begin(self) -> None:
        self._next = asyncio.get_running_loop().call_soon(self._end_output)  # asyncio's write would end it twice

    def discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _MOST_BYTES:
            self._close()

    def cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _end_output(self) -> None:
        with suppress(OSError):  # the client left unnoticed
            self._transport.write_eof()
        self._wait()

    def _wait(self) -> None:
        self._seen, self._unread = self._discarded, self._unread_now()
        self._next = asyncio.get_running_loop().call_later(LINGER_S, self._check)

    def _check(self) -> None:
        sends = self._discarded > self._seen and time.monotonic() - self._began < MOST_S
        if sends or self._unread_now() < self._unread:
            self._wait()
        else:
            self._close()

    def _unread_now(self) -> int:
        return unacknowledged(self._transport) + self._transport.get_write_buffer_size()
