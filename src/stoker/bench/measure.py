"""One measurement of one contender: answers checked before, during and after the load, CPU of server and client counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from stoker.bench.checking import Checker, Findings
from stoker.bench.contender import Running
from stoker.bench.loads import Load, LoadResult
from stoker.bench.processes import cpu_seconds

Generator = Callable[[Load], LoadResult]
WARM_UP_SHARE, LEAST_WARM_UP_S = 0.25, 0.3
CHECKS = 2


@dataclass(frozen=True, kw_only=True)
class Measured:
    """``problem``: the figures must not be used, and why."""

    rate: float = 0.0
    latencies_ms: dict[str, float] = field(default_factory=dict)
    cpu_us: float = 0.0
    """CPU time of the server's processes per request."""
    client_cores: float = 0.0
    """CPU cores that the load generator used."""
    requests: int = 0
    failed: int = 0
    checked: int = 0
    problem: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


def closed_loop(running: Running, checker: Checker, load: Load, generator: Generator, *, warm: bool) -> Measured:
    """Check, warm up (the first round only, unless ``warm``), measure with a side channel, check again."""
    findings = checker.several(CHECKS)
    if findings.wrong:
        return Measured(checked=findings.asked, problem=findings.problem())
    if not warm:
        generator(replace(load, duration_s=max(LEAST_WARM_UP_S, load.duration_s * WARM_UP_SHARE)))
    before, began = cpu_seconds(running.pids()), time.monotonic()
    with checker.aside(findings):
        result = generator(load)
        cpu, took = cpu_seconds(running.pids()) - before, time.monotonic() - began
    after = checker.several(CHECKS)
    findings.asked += after.asked
    findings.wrong += after.wrong
    return _measured(result, findings, cpu, took)


def _measured(result: LoadResult, findings: Findings, cpu_s: float, took_s: float) -> Measured:
    answered = result.requests + findings.asked
    return Measured(
        rate=result.rate,
        latencies_ms=result.latencies_ms,
        cpu_us=cpu_s * 1e6 / answered if answered else 0.0,
        client_cores=result.client_cpu_s / took_s if took_s else 0.0,
        requests=result.requests,
        failed=result.failed,
        checked=findings.asked,
        problem=result.problem or findings.problem(),
    )
