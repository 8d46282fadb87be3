"""Decides which parts of a dense stream are sent in one message.  PURE.

Invariant: a part leaves at once, unless the last `_AT_ONCE` parts of its batch, with this one, each came within half a
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
_BYTES_EACH = _MOST_BYTES // MOST_PARTS  # counted for each part beside its own, so that empty ones fill a message, too


class Gathering:
    """The parts of one batch that leave next. ``lengths``, ``payloads``, ``metas``: those of the message that they
    make, but for the payloads that are ``uncounted``, behind them.  ``held_bytes``: 0 while nothing is held, else no
    less than the held parts have.  ``rows``: one for each job of the batch, whose outputs leave as they are; -1: not
    so.  All times are of the monotonic clock."""

    __slots__ = ("_last", "_quick", "_until", "held_bytes", "lengths", "metas", "payloads", "rows", "uncounted")

    def __init__(self, rows: int = -1) -> None:
        self._last = self._until = -inf
        self._quick = 0  # parts that each followed the one before within `_DENSE_S`
        self.held_bytes = 0
        self.rows = rows
        self.lengths: list[int] = []
        self.payloads: list[Buffer] = []
        self.uncounted: list[bytes] = []
        self.metas: dict[int, Meta] = {}

    def add(self, nbytes: int, now: float) -> bool:
        """Adds a part. Returns whether it leaves now, with all that is held; else it is held."""
        pause, self._last = now - self._last, now
        if pause >= _DENSE_S:
            self._quick = 0
            return True
        held = self.held_bytes
        if not held:
            self._quick += 1
            if self._quick < _AT_ONCE:
                return True
            self._until = now + HOLD_S
        held = self.held_bytes = held + nbytes + _BYTES_EACH
        return held >= _MOST_BYTES or now >= self._until

    def count(self) -> list[int]:
        """Adds what is uncounted to ``lengths`` and ``payloads``. Returns its bytes by row."""
        fresh, self.uncounted = self.uncounted, []
        lengths = list(map(len, fresh))
        self.lengths += lengths
        self.payloads += fresh
        return [sum(lengths[row :: self.rows]) for row in range(self.rows)]

    def take(self, batch_id: int) -> tuple[Parts, list[Buffer]]:
        """Returns the message that leaves, with its payloads. Nothing is held any more."""
        taken = Parts(batch_id, self.lengths, self.metas), self.payloads
        self.lengths, self.payloads = [], []
        self.held_bytes = 0
        return taken
