"""Runs autoscaling on many traces, and measures changes per minute, late requests, and workers compared with hindsight.
PURE.

`steady_cases` combines loads, arrival processes, service times and batch sizes.  `changing_cases` has loads that are
not steady: ramps, sawtooth and square waves, a night without requests, a flash crowd.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from stoker.simulation import traces
from stoker.simulation.autoscaling import Run
from stoker.simulation.hindsight import Hindsight
from stoker.simulation.traces import Trace

TARGET_S = 1.0
LATE = 0.05  # share of the requests that may wait longer
MOST = 100  # workers
CHANGES = 2  # allowed in a minute of steady load
MORE_WORKERS = 1.2  # allowed, as a multiple of hindsight's
_FIRST_S = 60.0
_OTHER_SEED = 1_000_000
_TIMES_AS_LONG = 6  # so that chance matters little
_START_AND_CLEAR_S = 20.0  # for which late requests are excused after a sudden rise

_BUSY = (1, 2, 3, 5, 8, 12, 17, 24, 30, 42, 60)
_ARRIVALS = {"poisson": traces.poisson, "regular": traces.regular, "bursts": traces.bursts(8)}
_SERVICE = {
    "fixed": traces.fixed,
    "lognormal": traces.lognormal(0.8),
    "exponential": traces.exponential,
    "bimodal": traces.bimodal,
}
_GAIN = 8 / 1.7  # throughput of batches of 8 in which each further job costs a tenth of the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``workers``: at the beginning. ``steady``: the rate never changes. ``jumps``: when it rises suddenly."""

    name: str
    trace: Trace
    workers: int
    steady: bool = False
    jumps: tuple[float, ...] = ()

    @property
    def cold(self) -> bool:
        """Tells whether the load meets a single worker at first, which makes even a steady one a sudden rise."""
        return self.workers == 1


class ByLaw(NamedTuple):
    """``late`` and ``more_workers``: as in `Outcome`, for a number of workers that never changes."""

    late: float
    more_workers: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``most_in_a_minute``: changes, without the first minute of a cold start. ``late``: the share of requests that
    waited longer than the target; ``late_settled``: without those that came just after a jump. ``more_workers``:
    worker seconds as a multiple of hindsight's. ``more_of_fixed``: the same for the smallest constant number that
    holds the target on this steady load. ``by_law``: the same load with the constant number that is best for steady
    loads with its distributions."""

    case: Case
    changes: int
    most_in_a_minute: int
    late: float
    late_settled: float
    more_workers: float
    more_of_fixed: float
    by_law: ByLaw | None
    failed: int

    @property
    def flaps(self) -> bool:
        return self.case.steady and self.most_in_a_minute > CHANGES

    @property
    def held(self) -> bool:
        return self.late_settled <= LATE and not self.failed

    @property
    def frugal(self) -> bool:
        return self.more_workers <= MORE_WORKERS

    @property
    def uneven(self) -> bool:
        """Tells whether even the best constant number needs more, so that hindsight gains from chance alone."""
        return self.more_of_fixed > MORE_WORKERS

    @property
    def out_of_reach(self) -> bool:
        """Tells whether even the constant number that is best for loads of this kind misses a limit."""
        return self.by_law is not None and (self.by_law.late > LATE or self.by_law.more_workers > MORE_WORKERS)


def steady_cases(duration_s: float, seed: int) -> Iterator[Case]:
    variants = product(_BUSY, _ARRIVALS, _SERVICE, (1, 8))
    for number, (busy, arrive, service, batch_size) in enumerate(variants):
        gain, marginal = (_GAIN, 0.1) if batch_size > 1 else (1.0, 1.0)
        yield Case(
            name=f"{busy} busy, {arrive}, {service}, batches of {batch_size}",
            steady=True,
            workers=1 if number % 5 == 0 else int(busy * 1.2) + 2,
            trace=Trace(
                rate=traces.steady(busy * gain),
                arrive=_ARRIVALS[arrive],
                service=_SERVICE[service],
                duration_s=duration_s,
                service_s=1.0,
                marginal=marginal,
                batch_size=batch_size,
                seed=seed + number,
            ),
        )


def changing_cases(seed: int) -> Iterator[Case]:
    def case(name: str, rate: traces.Rate, duration_s: float, workers: int, jumps: tuple[float, ...] = ()) -> Case:
        trace = Trace(rate=rate, duration_s=duration_s, service_s=1.0, seed=seed)
        return Case(name=name, trace=trace, workers=workers, jumps=jumps)

    yield case("ramp up", traces.ramp(2, 16, 600), 600, 4)
    yield case("ramp down", traces.ramp(16, 2, 900), 900, 18)
    yield case("day", traces.daily(2, 16, 1800), 1800, 4)
    yield case("spikes of 4 min", traces.spikes(4, 16, every_s=600, long_s=240), 1200, 6, (360.0, 960.0))
    yield case("sawtooth of 5 min", traces.sawtooth(3, 20, 300), 1500, 5)
    yield case("step up", traces.step(5, 20, 300), 900, 8, (300.0,))
    yield case("step down", traces.step(20, 5, 300), 900, 24)
    yield case("square of 2 min", traces.spikes(4, 16, every_s=120, long_s=60), 1200, 6, _every(120, 60, 1200))
    yield case("square of 10 min", traces.spikes(4, 16, every_s=600, long_s=300), 2400, 6, _every(600, 300, 2400))
    yield case("night of an hour", traces.pause(8, since_s=600, until_s=4200), 5400, 11, (4200.0,))
    yield case("flash crowd", traces.spikes(4, 40, every_s=900, long_s=300), 900, 6, (600.0,))


def _every(period_s: int, since_s: int, until_s: int) -> tuple[float, ...]:
    return tuple(float(at) for at in range(since_s, until_s, period_s))


def cases(*, duration_s: float, seeds: int) -> Iterator[Case]:
    """Yields all cases, for each seed. ``duration_s``: of the steady loads."""
    for seed in range(seeds):
        found = [*changing_cases(1000 * seed), *steady_cases(duration_s, 1000 * seed)]
        yield from (replace(case, name=f"{case.name}, seed {case.trace.seed}") for case in found)


def measure(case: Case) -> Outcome:
    run = Run(case.trace, target_s=TARGET_S, fewest=1, most=MOST, workers=case.workers)
    result = run.run()
    hindsight = Hindsight(case.trace, target_s=TARGET_S, late=LATE, most=MOST)
    hindsight_s = hindsight.worker_s()
    fixed_s, by_law = hindsight_s, None
    if case.steady:
        fixed_s = hindsight.fixed() * case.trace.duration_s
        workers = _enough_by_law(case.trace)
        by_law = ByLaw(hindsight.late_share_of(workers), workers * case.trace.duration_s / hindsight_s)
    return Outcome(
        case=case,
        changes=len(result.changes),
        most_in_a_minute=result.most_changes_in_a_minute(_FIRST_S if case.cold else 0.0),
        late=result.late_share(TARGET_S),
        late_settled=result.late_share(TARGET_S, without=[(at, at + _START_AND_CLEAR_S) for at in _unforeseen(case)]),
        more_workers=result.worker_s / hindsight_s,
        more_of_fixed=fixed_s / hindsight_s,
        by_law=by_law,
        failed=result.failed,
    )


def _enough_by_law(trace: Trace) -> int:
    """Returns the smallest constant number that holds the target on a longer load of the same kind."""
    other = replace(trace, seed=trace.seed + _OTHER_SEED, duration_s=_TIMES_AS_LONG * trace.duration_s)
    return Hindsight(other, target_s=TARGET_S, late=LATE, most=MOST).fixed()


def _unforeseen(case: Case) -> tuple[float, ...]:
    return (*case.jumps, 0.0) if case.cold else case.jumps
