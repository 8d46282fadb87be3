"""When to offer a message again to a native stream that had no room: one schedule for all streams of a listener.

A full queue is usually emptied within microseconds; only a client that does not read keeps it full.  So a stream is
tried again in each of the next turns of the event loop, then, with all others that are stuck, on one timer that slows
down while nothing moves.  No thread waits for any client.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

QUICK_TURNS = 24
FIRST_DELAY_S = 0.002
LONGEST_DELAY_S = 0.032


class Blocked(Protocol):
    turns: int

    def retry(self) -> bool:
        """Whether the stream is no longer stuck: the message is gone, or the call is over."""
        ...


class Retries:
    """``add`` starts at once; nothing runs while nothing is stuck."""

    def __init__(self) -> None:
        self._quick: list[Blocked] = []
        self._slow: list[Blocked] = []
        self._delay_s = FIRST_DELAY_S
        self._turn_planned = False
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._quick) + len(self._slow)

    def add(self, blocked: Blocked) -> None:
        blocked.turns = 0
        self._quick.append(blocked)
        self._plan_turn()

    def close(self) -> None:
        self._quick.clear()
        self._slow.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _plan_turn(self) -> None:
        if self._quick and not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        tried, self._quick = self._quick, []
        for blocked in tried:
            if blocked.retry():
                continue
            blocked.turns += 1
            if blocked.turns < QUICK_TURNS:
                self._quick.append(blocked)
            else:
                self._slow_down(blocked)
        self._plan_turn()

    def _slow_down(self, blocked: Blocked) -> None:
        self._slow.append(blocked)
        self._delay_s = FIRST_DELAY_S
        if self._timer is None:
            self._plan_tick()

    def _plan_tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        tried, self._slow = self._slow, []
        stuck = [blocked for blocked in tried if not blocked.retry()]
        moved = len(stuck) < len(tried)
        self._delay_s = FIRST_DELAY_S if moved else min(2 * self._delay_s, LONGEST_DELAY_S)
        self._slow.extend(stuck)
        if self._slow:
            self._plan_tick()
