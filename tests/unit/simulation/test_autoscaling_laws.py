"""Autoscaling on traces: the target is held, with few more workers than hindsight would have needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.simulation import sweep
from stoker.simulation.autoscaling import Run
from stoker.simulation.hindsight import Hindsight
from stoker.simulation.traces import Trace, daily, ramp, spikes, steady

TARGET_S = 1.0
LATE = 0.05  # of the requests may wait longer
MOST = 70

TRACES = {
    "few requests": (Trace(rate=steady(1.6), duration_s=900, service_s=1.0), 3),
    "steady": (Trace(rate=steady(10), duration_s=600, service_s=1.0), 12),
    "many workers": (Trace(rate=steady(40), duration_s=300, service_s=1.0), 45),
    "rising": (Trace(rate=ramp(2, 16, 600), duration_s=600, service_s=1.0), 4),
    "falling": (Trace(rate=ramp(16, 2, 900), duration_s=900, service_s=1.0), 18),
    "spikes": (Trace(rate=spikes(4, 16, every_s=600, long_s=240), duration_s=1200, service_s=1.0), 6),
    "a day": (Trace(rate=daily(2, 16, 1800), duration_s=1800, service_s=1.0), 4),
    "slow starts": (Trace(rate=daily(2, 16, 1800), duration_s=1800, service_s=1.0, start_s=10.0), 4),
    "batches": (Trace(rate=daily(2, 24, 1800), duration_s=1800, service_s=1.0, batch_size=8, marginal=0.1), 4),
}
"""With the number of workers at the beginning."""


@pytest.mark.parametrize("seed", [0, 100])
@pytest.mark.parametrize("name", TRACES)
def test_the_target_is_held_with_at_most_a_fifth_more_workers_than_hindsight(name: str, seed: int) -> None:
    trace, workers = TRACES[name]
    trace = replace(trace, seed=seed)
    result = Run(trace, target_s=TARGET_S, fewest=1, most=MOST, workers=workers).run()
    assert result.failed == 0
    assert result.late_share(TARGET_S) <= LATE
    hindsight_s = Hindsight(trace, target_s=TARGET_S, late=LATE, most=MOST).worker_s()
    assert result.worker_s <= 1.2 * hindsight_s


NEVER_FLAPS = [case for case in sweep.steady_cases(240, seed=0) if case.trace.rate(0) <= 60][3::20]
BURSTS = [case for case in sweep.steady_cases(300, seed=0) if case.name in (
    "30 busy, bursts, lognormal, batches of 1", "42 busy, bursts, bimodal, batches of 1",
    "12 busy, bursts, exponential, batches of 1", "3 busy, bursts, bimodal, batches of 1")]  # fmt: skip


@pytest.mark.parametrize("case", NEVER_FLAPS + BURSTS, ids=lambda case: case.name)
def test_on_a_steady_load_it_changes_at_most_twice_a_minute(case: sweep.Case) -> None:
    """However requests cluster, and whatever they cost."""
    run = Run(case.trace, target_s=TARGET_S, fewest=1, most=MOST, workers=case.workers)
    assert run.run().most_changes_in_a_minute(60.0 if case.cold else 0.0) <= sweep.CHANGES


def test_most_loads_of_all_kinds_have_no_problem_and_the_others_come_close() -> None:
    """A part of `stoker simulate autoscaling`. On small fleets chance decides: a burst more, a worker of three more."""
    loads = [case for case in sweep.steady_cases(300, seed=0) if case.trace.rate(0) <= 60][2::19]
    loads += [case for case in sweep.changing_cases(0) if case.name in ("ramp up", "ramp down", "step down")]
    outcomes = [sweep.measure(case) for case in loads]
    assert not [outcome.case.name for outcome in outcomes if outcome.flaps]
    good = [outcome for outcome in outcomes if outcome.held and (outcome.frugal or outcome.uneven)]
    assert len(good) >= 0.6 * len(outcomes)
    assert max(outcome.late_settled for outcome in outcomes) <= 3 * LATE
    assert sum(outcome.more_workers for outcome in outcomes) <= 1.15 * len(outcomes)


def test_a_sweep_measures_each_load_it_names() -> None:
    (case,) = [case for case in sweep.changing_cases(0) if case.name == "step down"]
    outcome = sweep.measure(replace(case, trace=replace(case.trace, duration_s=420)))
    assert outcome.held
    assert outcome.changes
    assert not outcome.flaps
    assert 1.0 < outcome.more_workers < 1.5


@pytest.mark.parametrize(
    ("name", "out_of_reach"),
    [("1 busy, poisson, exponential, batches of 8", True), ("3 busy, regular, fixed, batches of 8", False)],
)
def test_a_load_is_out_of_reach_where_who_knows_its_kind_misses_a_bar(name: str, out_of_reach: bool) -> None:
    (case,) = [case for case in sweep.steady_cases(300, seed=0) if case.name == name]
    outcome = sweep.measure(case)
    assert outcome.out_of_reach is out_of_reach
    assert outcome.by_law is not None
    assert outcome.by_law.late <= LATE


def test_a_spike_hurts_no_longer_than_workers_take_to_start_and_to_clear_the_queue() -> None:
    trace = Trace(rate=spikes(4, 16, every_s=600, long_s=240), duration_s=600, service_s=1.0, start_s=2.0)
    result = Run(trace, target_s=TARGET_S, fewest=1, most=MOST, workers=6).run()
    begins = 360.0
    assert result.late_share(TARGET_S, begins, begins + 20) > LATE  # a spike that nobody could foresee
    assert result.late_share(TARGET_S, begins + 20) <= LATE


def test_workers_that_a_model_may_not_have_are_never_asked_for() -> None:
    trace = Trace(rate=steady(12), duration_s=120, service_s=1.0)
    result = Run(trace, target_s=TARGET_S, fewest=2, most=5, workers=2).run()
    assert {workers for _, workers, _ in result.changes} <= {2, 3, 4, 5}
    assert result.changes[-1][1] == 5
