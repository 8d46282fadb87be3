"""Decides when slots whose workers fail to start may try again: one slot of a model at a time.  PURE.

The slots of a model mostly fail for the same reason. So a failed attempt postpones the other slots that fail alike to
the same time, at which another slot takes its turn; a successful attempt lets all others start at once. Slots that have
failed at least two times fewer in a row are not alike. Delays are TorchServe's; slots that fail alike skip the first.
"""

from __future__ import annotations

from collections.abc import Iterator

from stoker.pool.slot_states import backoff_s

SHARED_ROWS = 3
"""Entries of the table of delays that slots skip when several fail alike, since each failure counts for all of them."""


class _Failing:
    """``failures``: in a row. ``after_load``: the model had loaded, and the process died soon after. ``free``: another
    slot has succeeded, so this one may try whatever the others do."""

    __slots__ = ("after_load", "due_at", "failures", "free", "tried_at")

    def __init__(self) -> None:
        self.failures = 0
        self.tried_at = self.due_at = 0.0
        self.after_load = False
        self.free = False


class Retries:
    """Identifies slots by number."""

    def __init__(self) -> None:
        self._failing: dict[int, _Failing] = {}
        self._trying: int | None = None

    def failed(self, slot: int, failures: int, now: float, *, after_load: bool = False) -> int:
        """Records the slot's ``failures``-th failed start in a row; returns the seconds until its next attempt."""
        own = self._failing.setdefault(slot, _Failing())
        own.failures = max(own.failures + 1, failures)
        own.tried_at, own.after_load, own.free = now, after_load, False
        alike = list(self._alike(slot, own))
        delay_s = backoff_s(own.failures + (SHARED_ROWS if alike else 0))
        own.due_at = now + delay_s
        for other in alike:
            other.failures = max(other.failures, own.failures)
            other.due_at = max(other.due_at, own.due_at)
        self._tried(slot)
        return delay_s

    def _alike(self, slot: int, own: _Failing) -> Iterator[_Failing]:
        for number, other in self._failing.items():
            if number != slot and not other.free and other.failures >= own.failures - 1:
                yield other

    def wait_s(self, slot: int, now: float) -> float | None:
        """Returns how long the slot must wait; None: until another slot's attempt ends."""
        own = self._failing.get(slot)
        if own is None or own.free:
            return 0.0
        if now < own.due_at:
            return own.due_at - now
        return 0.0 if self._trying is None and self._next(now) == slot else None

    def _next(self, now: float) -> int:
        """Picks the due slot whose last attempt is longest ago."""
        due = (number for number, one in self._failing.items() if not one.free and one.due_at <= now)
        return min(due, key=lambda number: self._failing[number].tried_at)

    def trying(self, slot: int) -> None:
        """Records that the slot starts an attempt."""
        if slot in self._failing and not self._failing[slot].free:
            self._trying = slot

    def loaded(self, slot: int) -> bool:
        """Records a successful start. False: the previous process had loaded too, and died; call `steady` later."""
        own = self._failing.get(slot)
        if own is not None and own.after_load:
            return False
        self.steady(slot)
        return True

    def steady(self, slot: int) -> None:
        """Records that the slot's worker is stable; the other slots may try at once."""
        if self._failing.pop(slot, None) is not None:
            for other in self._failing.values():
                other.free = True
        self._tried(slot)

    def forget(self, slot: int) -> None:
        """Drops a retired slot."""
        self._failing.pop(slot, None)
        self._tried(slot)

    def _tried(self, slot: int) -> None:
        if self._trying == slot:
            self._trying = None
