"""Lets a client that still sends read its answer before the connection closes; closing at once would
lose the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

LINGER_S = 2.0
"""How long such a client has to read its answer."""
_MOST_BYTES = 64 << 20
_LOOK_S = 0.2


class Lingering:
    """Counts input with `discard` and drops it. ``close`` ends the connection."""

    __slots__ = ("_close", "_discarded", "_end", "_loop", "_seen", "_transport")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + LINGER_S
        self._discarded = 0
        self._seen = -1

    def begin(self) -> None:
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client left unnoticed
                self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._close)
        else:
            self._look()

    def discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _MOST_BYTES:
            self._close()

    def _look(self) -> None:
        """Closes in the end. TLS has no half-close, so it waits until the client stops sending."""
        if self._seen == self._discarded or self._loop.time() >= self._end:
            self._close()
        else:
            self._seen = self._discarded
            self._loop.call_later(_LOOK_S, self._look)
