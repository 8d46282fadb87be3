"""Plans when the requests of an open loop are sent, and computes latencies from the plan. PURE.

Requests arrive at random (Poisson): the gaps are exponentially distributed.  They are sent by this plan whether or not
earlier ones were answered, and a latency counts from the planned time.  So a server that stalls makes many requests
late, as it would for independent users; a closed loop would wait with it (coordinated omission).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


def schedule(rate: float, duration_s: float, seed: int) -> list[float]:
    """Returns ascending times in seconds, below ``duration_s``. The same seed gives every contender the same plan."""
    if rate <= 0:
        raise ValueError("the rate must be positive")
    draw, times, now = random.Random(seed), [], 0.0
    while (now := now + draw.expovariate(rate)) < duration_s:
        times.append(now)
    return times


@dataclass(frozen=True)
class Sent:
    """One request: times planned, sent and answered, in seconds from the start; ``ok``: the answer was right."""

    planned: float
    sent: float
    answered: float
    ok: bool


def latencies_ms(calls: Sequence[Sent]) -> list[float]:
    """Returns latencies of right answers, from the planned time."""
    return [(call.answered - call.planned) * 1000 for call in calls if call.ok]


def generator_lag_ms(calls: Sequence[Sent]) -> float:
    """Returns how late the median request left: a generator that cannot keep up measures itself."""
    lags = sorted(call.sent - call.planned for call in calls)
    return lags[len(lags) // 2] * 1000 if lags else 0.0
