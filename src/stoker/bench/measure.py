"""Measures one contender once: checks answers before, during and after the load, and counts CPU time of both sides."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from stoker.bench.checking import Checker
from stoker.bench.contender import Running
from stoker.bench.loads import Load, LoadResult
from stoker.bench.processes import cpu_seconds

Generator = Callable[[Load], LoadResult]
CHECKS = 2
SETTLED = 0.05
"""A load that beats the best one by less than this share shows that the rate has settled."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """``problem``: why the figures must not be used."""

    rate: float = 0.0
    latencies_ms: dict[str, float] = field(default_factory=dict)
    cpu_us: float = 0.0
    """CPU time of the server's processes per request."""
    client_cores: float = 0.0
    """CPU cores that the load generator used."""
    requests: int = 0
    failed: int = 0
    checked: int = 0
    pss_mib: float = 0.0
    problem: str | None = None
    more: dict[str, float] = field(default_factory=dict)


def closed_loop(running: Running, checker: Checker, load: Load, generator: Generator) -> Measured:
    return watched(running, checker, lambda: generator(load))


def warm_up(load: Load, generator: Generator, *, patience: int, most_s: float) -> None:
    """Loads until ``patience`` loads in a row did not beat the best before: a JVM compiles for a long time."""
    best, waited, spent = 0.0, 0, 0.0
    while waited < patience and spent < most_s:
        result = generator(load)
        spent += load.duration_s
        waited = 0 if result.rate > best * (1 + SETTLED) else waited + 1
        best = max(best, result.rate)


def watched(
    running: Running,
    checker: Checker,
    generate: Callable[[], LoadResult],
    *,
    aside: bool = True,
    checks: int = CHECKS,
) -> Measured:
    """Runs a load between checks. ``aside``: also check answers during the load, which count as served."""
    checked = checker.several(checks)
    if checked.wrong:
        return Measured(checked=checked.asked, problem=checked.problem())
    asked_before = checked.asked
    cpu_before, began = cpu_seconds(running.pids()), time.monotonic()
    with checker.aside(checked) if aside else nullcontext():
        result = generate()
        took = time.monotonic() - began
        aside_count = checked.asked - asked_before
    cpu = cpu_seconds(running.pids()) - cpu_before
    answered = result.requests + checked.asked - asked_before
    after = checker.several(checks)
    checked.asked += after.asked
    checked.wrong += after.wrong
    return Measured(
        rate=result.rate + (aside_count / result.seconds if result.requests else 0.0),
        latencies_ms=result.latencies_ms,
        cpu_us=cpu * 1e6 / answered if answered else 0.0,
        client_cores=result.client_cpu_s / took if took else 0.0,
        requests=result.requests,
        failed=result.failed,
        checked=checked.asked,
        problem=result.problem or checked.problem(),
    )
