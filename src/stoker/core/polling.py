"""Decides how long to poll a socket before sleeping: a worker for its next batch, the server for an answer.  PURE.

Polling helps because waking a process takes longer than a small request. Invariants: a poll lasts at most twice the
recent time between messages; repeated polling in vain makes polls rare; a worker without requests polls once and
sleeps.
"""

from __future__ import annotations

_MOST_CREDIT = 8
_LEAST_PENALTY, _MOST_PENALTY = 4, 64
_SLEEPING = 2.5
"""Multiple of the longest poll within which a message counts as soon if its reader slept, as waking takes both sides
time."""
_FORGET = 0.1


class Polling:
    """``longest_s``: how long to poll at most; 0: never.

    Messages that come soon earn credit; each poll in vain costs twice as much credit as the previous one.
    """

    __slots__ = ("_credit", "_longest_s", "_penalty", "_usual_s")

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._credit = 0
        self._penalty = _LEAST_PENALTY
        self._usual_s = longest_s

    def seconds(self) -> float:
        """Returns how long to poll now."""
        return min(self._longest_s, 2.0 * self._usual_s) if self._credit > 0 else 0.0

    def waited(self, gap_s: float, *, polled: bool) -> None:
        """Records that the next message came after ``gap_s``. ``polled``: whether the reader polled for it."""
        if polled and gap_s <= self._longest_s:
            self._credit = min(_MOST_CREDIT, self._credit + 1)
            self._penalty = max(_LEAST_PENALTY, self._penalty // 2)
            self._usual_s += (gap_s - self._usual_s) * _FORGET
        elif polled:
            self._credit = max(-_MOST_PENALTY, self._credit - self._penalty)
            self._penalty = min(_MOST_PENALTY, self._penalty * 2)
        elif gap_s <= self._longest_s * _SLEEPING:
            self._credit = min(1, self._credit + 1)
            self._usual_s = self._longest_s
        else:
            self._credit = min(0, self._credit)
