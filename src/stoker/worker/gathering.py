"""Decides which parts of a dense stream are sent in one message.  PURE.

Law: a part leaves at once, unless the last `_AT_ONCE` parts of its batch, with this one, each came within half a
millisecond of the one before; so the first parts of a batch are never held, nor are those of a slow stream.  Held parts
leave with the first part that comes a millisecond after the oldest of them, or that makes them many or large; if no
such part comes, `flusher` sends them.
"""

from __future__ import annotations

from math import inf

from stoker.core.buffer import Buffer
from stoker.ipc.to_server import MOST_PARTS, Meta, Parts

HOLD_S = 0.001
_DENSE_S = 0.0005
_AT_ONCE = 3
_MOST_BYTES = 16 << 10


class Gathering:
    """The parts of one batch that leave next. ``lengths``, ``payloads``, ``metas``: those of the message that they
    make. All times are of the monotonic clock."""

    __slots__ = ("_bytes", "_held", "_last", "_quick", "_since", "lengths", "metas", "payloads")

    def __init__(self) -> None:
        self._last = -inf
        self._quick = 0  # parts that each followed the one before within `_DENSE_S`
        self._held = self._bytes = 0
        self._since = 0.0
        self.lengths: list[int] = []
        self.payloads: list[Buffer] = []
        self.metas: dict[int, Meta] = {}

    def add(self, nbytes: int, now: float) -> bool:
        """Adds a part. Returns whether it leaves now, with all that is held; else it is held."""
        quick, self._last = now - self._last < _DENSE_S, now
        if not quick:
            self._quick = 0
            return True
        if self._quick < _AT_ONCE - 1:
            self._quick += 1
            return True
        if not self._held:
            self._since = now
        self._held += 1
        self._bytes += nbytes
        return now - self._since >= HOLD_S or self._bytes >= _MOST_BYTES or self._held >= MOST_PARTS

    def take(self, batch_id: int) -> tuple[Parts, list[Buffer]]:
        """Returns the message that leaves, with its payloads. Nothing is held any more."""
        taken = Parts(batch_id, self.lengths, self.metas), self.payloads
        self.lengths, self.payloads = [], []
        self._held = self._bytes = 0
        return taken
