"""Gives memory back to the system after many clients have left.

malloc keeps free memory that lies between blocks still in use: after many clients with large messages, that is most of
what they took.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_AFTER_CLOSED = 16
"""Closed connections that make trimming worthwhile."""
_QUIET_S = 1.0
"""Time without another one before memory is trimmed."""
_AT_MOST_S = 10.0
"""Longest wait for such a time."""


def _malloc_trim() -> Callable[[int], object]:
    """Returns glibc's function; for another C library, one that does nothing."""
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda _: None
    return found


class Trimming:
    """Counts connections as they close, and trims once many have closed.

    It waits, but not forever, until no more of them close, so that the memory of all of them is free.
    """

    __slots__ = ("_closed", "_closed_at", "_planned_at", "_trim")

    def __init__(self, trim: Callable[[int], object] | None = None) -> None:
        self._trim = trim or _malloc_trim()
        self._closed = 0
        self._closed_at = 0.0
        self._planned_at: float | None = None

    def closed(self) -> None:
        loop = asyncio.get_running_loop()
        self._closed += 1
        self._closed_at = loop.time()
        if self._closed >= _AFTER_CLOSED and self._planned_at is None:
            self._planned_at = self._closed_at
            loop.call_later(_QUIET_S, self._run)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._closed_at + _QUIET_S - loop.time()
        if wait_s > 0 and self._planned_at is not None and loop.time() < self._planned_at + _AT_MOST_S:
            loop.call_later(wait_s, self._run)
            return
        self._closed, self._planned_at = 0, None
        self._trim(0)
