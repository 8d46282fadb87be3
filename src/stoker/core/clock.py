"""Time as an argument.  Seconds are floats of a monotonic clock; the wall clock never decides anything."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Returns seconds of a clock that never goes back, shared by all processes of one machine."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC: comparable between the server and its workers, which check deadlines themselves."""

    now = staticmethod(time.monotonic)
