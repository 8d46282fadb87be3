"""The end of the event loop's turn, as a place to put work: what arrives together then leaves together.

`asyncio`'s ``call_soon`` alone would do, at the price of one more round of the loop (a system call, and the interpreter
lock let go and fought for) for each link of the chain: dispatch, then write.  A callback of the loop that brings much
work, such as a socket's, is therefore wrapped in ``with turn:`` and what it defers is done as it ends.  Outside of such
a callback, `defer` is ``call_soon``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from weakref import WeakKeyDictionary

_ROUNDS = 4
"""Rounds per turn: a deferred dispatch defers a write in its turn. Callbacks beyond that run in the next turn."""


class Turn:
    """One for each loop: `current_turn`. Not thread-safe."""

    __slots__ = ("_due", "_loop", "_planned", "_within")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Callable[[], None]] = deque()
        self._planned = False
        self._within = False

    def defer(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` once at the end of this turn, after what was deferred before."""
        self._due.append(callback)
        if not self._within:
            self._plan()

    def __enter__(self) -> None:
        self._within = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        due = self._due
        try:
            for _ in range(_ROUNDS):
                if not due:
                    break
                for _ in range(len(due)):
                    due.popleft()()
        finally:
            self._within = False
            if due:
                self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._on_planned)

    def _on_planned(self) -> None:
        self._planned = False
        with self:
            pass


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


def current_turn() -> Turn:
    """Returns the turn of the running loop."""
    loop = asyncio.get_running_loop()
    turn = _turns.get(loop)
    if turn is None:
        turn = _turns[loop] = Turn(loop)
    return turn
