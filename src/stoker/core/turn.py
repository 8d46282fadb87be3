"""Defers work to the end of the event loop's turn, so that requests that arrive together leave together.

Callbacks that bring requests or answers, such as a socket's, go through `Turn.run`.  What they defer runs as soon as
they return, without waiting for another round of the loop.  While the loop calls several such callbacks per round, the
deferred work runs once, after all of them: requests of many connections share one dispatch and one write to the worker.
Outside of `run`, `defer` uses ``call_soon``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from stoker.core.per_loop import one_per_loop

_ROUNDS = 4
"""Passes over the deferred work per turn: a deferred dispatch defers a write. The rest waits for the next turn."""

_LONE_ROUNDS = 8
"""Consecutive rounds with a single callback after which gathering stops."""
_LOOK_AGAIN = 256
"""Callbacks after which gathering is tried again, to find out whether several come per round now."""


class Turn:
    """The turn of one loop (`current_turn`). Not thread-safe. ``gathers``: deferred work waits for all callbacks of a
    round, because recent rounds had several."""

    __slots__ = ("_callbacks", "_due", "_lone", "_loop", "_planned", "_within", "gathers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Callable[[], None]] = deque()
        self._planned = False
        self._within = False
        self.gathers = False
        self._callbacks = 0  # in this round while gathering, else since gathering stopped
        self._lone = 0

    def defer(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once at the end of this turn, after everything that was deferred before."""
        self._due.append(callback)
        if not (self._planned or self._within):
            self._plan()

    def run(self, work: Callable[..., object], *arguments: Any) -> None:
        """Calls ``work``, then what it deferred: at once, or while the turn `gathers`, after the round's callbacks."""
        self._callbacks += 1
        if self.gathers:
            work(*arguments)
            return
        if self._callbacks >= _LOOK_AGAIN:
            self.gathers, self._callbacks, self._lone = True, 0, 0
        self._within = True
        try:
            work(*arguments)
        finally:
            self._run_due()

    def _run_due(self) -> None:
        due = self._due
        try:
            for _ in range(_ROUNDS):
                if not due:
                    break
                for _ in range(len(due)):
                    due.popleft()()
        finally:
            self._within = False
            if due and not self._planned:
                self._plan()

    def _plan(self) -> None:
        self._planned = True
        self._loop.call_soon(self._on_planned)

    def _on_planned(self) -> None:
        self._planned = False
        if self.gathers:
            self._lone = self._lone + 1 if self._callbacks <= 1 else 0
            self.gathers = self._lone < _LONE_ROUNDS
            self._callbacks = 0
        self._within = True
        self._run_due()


current_turn = one_per_loop(Turn)
"""Returns the turn of the running loop."""
