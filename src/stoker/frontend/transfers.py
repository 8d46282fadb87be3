"""Lets large transfers take turns, so that small requests beside them wait for one turn and not for a whole message.

All connections together read and write about `TURN_BYTES` of large transfers per turn of the loop, over any protocol.
A connection that finds the turn over waits for a later one; those that wait continue in order.  Data that comes in
pieces of less than `LARGE_BYTES` is not counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from stoker.core.per_loop import one_per_loop

TURN_BYTES = 1 << 20
LARGE_BYTES = 64 << 10
READ_BYTES = 256 << 10
"""Bytes that a loop reads at once from a connection with much to read."""


class Transfers:
    """Counts the large transfers of one loop (`current_transfers`). Not thread-safe."""

    __slots__ = ("_left", "_loop", "_planned", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = TURN_BYTES
        self._planned = False
        self._waiting: deque[Callable[[], None]] = deque()

    def spend(self, size: int) -> bool:
        """Counts bytes that were read or written. False: this turn is over; `wait` before the next ones."""
        self._left -= size
        self._plan()
        return self._left > 0

    def wait(self, go_on: Callable[[], None]) -> None:
        """Calls ``go_on`` once, in a later turn."""
        self._waiting.append(go_on)
        self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._planned = False
        self._left = TURN_BYTES
        try:
            for _ in range(len(self._waiting)):
                if self._left <= 0:
                    break
                self._waiting.popleft()()
        finally:
            if self._waiting:
                self._plan()


current_transfers = one_per_loop(Transfers)
"""Returns the large transfers of the running loop."""


class Reading:
    """Lets a transport read while its connection wants to and the turn allows it."""

    __slots__ = ("_awaits_turn", "_reads", "_transfers", "_transport", "wanted")

    def __init__(self, transport: asyncio.ReadTransport) -> None:
        self._transport = transport
        self._transfers = current_transfers()
        self._reads = True
        self._awaits_turn = False
        self.wanted = True

    def want(self, wanted: bool) -> None:
        if wanted is not self.wanted and not self._transport.is_closing():
            self.wanted = wanted
            self._apply()

    def received(self, size: int) -> None:
        """Counts a large piece, and pauses reading at the end of the turn: the loop would read dozens in a row."""
        if not self._transfers.spend(size) and not self._awaits_turn:
            self._awaits_turn = True
            self._apply()
            self._transfers.wait(self._go_on)

    def _go_on(self) -> None:
        self._awaits_turn = False
        if self.wanted:
            self._transfers.spend(READ_BYTES)  # the next piece comes within this turn
            self._apply()

    def _apply(self) -> None:
        reads = self.wanted and not self._awaits_turn
        if reads is self._reads or self._transport.is_closing():
            return
        self._reads = reads
        if reads:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
