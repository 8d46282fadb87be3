"""When the requests of an open loop are sent, and what their answers' times mean. PURE.

Requests arrive at random (Poisson): the gaps are exponentially distributed. They are sent by this plan whether or not
earlier ones were answered, and a latency counts from the planned time. So a server that stalls makes many requests
late, as it would for independent users; a closed loop would politely wait with it (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


def schedule(rate: float, duration_s: float, seed: int) -> list[float]:
    """Seconds from the start, ascending, below ``duration_s``. The same seed gives every contender the same plan."""
    if rate <= 0:
        raise ValueError("the rate must be positive")
    draw, times, now = random.Random(seed), [], 0.0  # noqa: S311 - arrivals, not secrets
    while (now := now + draw.expovariate(rate)) < duration_s:
        times.append(now)
    return times


@dataclass(frozen=True)
class Sent:
    """One request: planned, sent and answered at, in seconds from the start; ``ok``: with the right answer."""

    planned: float
    sent: float
    answered: float
    ok: bool


def latencies_ms(calls: Sequence[Sent]) -> list[float]:
    """From the plan to the answer, for the right answers."""
    return [(call.answered - call.planned) * 1000 for call in calls if call.ok]


def generator_lag_ms(calls: Sequence[Sent]) -> float:
    """How late the median request left: a generator that cannot keep up measures itself."""
    lags = sorted(call.sent - call.planned for call in calls)
    return lags[len(lags) // 2] * 1000 if lags else 0.0
