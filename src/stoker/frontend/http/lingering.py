"""Keeps a connection open until a client that still sends has read its answer, which closing at once would lose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

LINGER_S = 2.0
"""Time for such a client to read its answer."""
_MOST_BYTES = 64 << 20


class Lingering:
    """Counts input with `discard` and drops it. ``close`` ends the connection."""

    __slots__ = ("_close", "_discarded", "_transport")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self._discarded = 0

    def begin(self) -> None:
        with suppress(OSError):  # the client left unnoticed
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._close)

    def discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _MOST_BYTES:
            self._close()
