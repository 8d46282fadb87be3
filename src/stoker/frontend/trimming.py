"""Gives memory back to the system after many clients have left.

malloc keeps what lies between blocks that are still in use: after a crowd with large messages that is most of what the
crowd held.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

_AFTER_CLOSED = 100
_PAUSE_S = 2.0
"""From one of these connections to the trim, so that the memory of those that leave with it is free too."""


def _malloc_trim() -> Callable[[int], object]:
    """Returns glibc's function; other C libraries have none."""
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return lambda _: None
    return found


class Trimming:
    """Counts closed connections with `closed`, and trims after many of them."""

    __slots__ = ("_closed", "_planned", "_trim")

    def __init__(self, trim: Callable[[int], object] | None = None) -> None:
        self._trim = trim or _malloc_trim()
        self._closed = 0
        self._planned = False

    def closed(self) -> None:
        self._closed += 1
        if self._closed >= _AFTER_CLOSED and not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_later(_PAUSE_S, self._run)

    def _run(self) -> None:
        self._closed, self._planned = 0, False
        self._trim(0)
