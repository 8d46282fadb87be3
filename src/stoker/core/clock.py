"""Defines the clock that decisions use: monotonic, in seconds.  No decision depends on the wall clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Returns the time in seconds. It never goes back, and is the same for all processes of a machine."""
        ...


class MonotonicClock:
    """Reads CLOCK_MONOTONIC, which server and workers share: workers check deadlines themselves."""

    now = staticmethod(time.monotonic)
