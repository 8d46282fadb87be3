"""Decides which parts of a dense stream are sent in one message.  PURE.

Law: a part leaves at once unless it follows several others within less than half a millisecond each; so the first one
does, and each of a stream of a token now and then.  What is held leaves with the part that comes a millisecond after
it was held, or that makes it much; if no such part comes, it is `flusher`'s to send.
"""

from __future__ import annotations

from math import inf

from stoker.ipc.to_server import MOST_PARTS

HOLD_S = 0.001
_DENSE_S = 0.0005
_AT_ONCE = 3
_MOST_BYTES = 16 << 10


class Gathering:
    """All times are of the monotonic clock."""

    __slots__ = ("_bytes", "_held", "_last", "_quick", "_since")

    def __init__(self) -> None:
        self._last = -inf
        self._quick = 0  # parts that each followed the one before within `_DENSE_S`
        self._held = self._bytes = 0
        self._since = 0.0

    def add(self, nbytes: int, now: float) -> bool:
        """Adds a part. Returns whether it leaves now, with all that is held; else it is held."""
        quick, self._last = now - self._last < _DENSE_S, now
        if not quick:
            self._quick = 0
            return True
        self._quick += 1
        if self._quick < _AT_ONCE:
            return True
        if not self._held:
            self._since = now
        self._held += 1
        self._bytes += nbytes
        return self._held >= MOST_PARTS or self._bytes >= _MOST_BYTES or now - self._since >= HOLD_S

    def left(self) -> None:
        """Records that nothing is held any more."""
        self._held = self._bytes = 0
