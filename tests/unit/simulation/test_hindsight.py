"""How few workers would have been enough, had one known what comes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker.simulation.hindsight import Hindsight
from stoker.simulation.traces import Trace, fixed, poisson, regular, steady, step

EVEN = Trace(rate=steady(10), duration_s=300, arrive=regular, service=fixed, service_s=1.0)


def workers(trace: Trace, late: float = 0.05) -> float:
    hindsight = Hindsight(trace, target_s=1.0, late=late, most=100)
    return hindsight.worker_s() / trace.duration_s


def test_ten_requests_a_second_of_one_second_keep_ten_workers_busy() -> None:
    assert workers(EVEN) == 10


def test_what_a_minute_leaves_undone_waits_in_the_next() -> None:
    """Fewer than the load keeps busy could hold the target for any minute that begins idle, and for no other."""
    assert workers(replace(EVEN, rate=steady(40), duration_s=600)) >= 39.5


def test_the_number_follows_the_load_and_what_starts_counts() -> None:
    steps = replace(EVEN, rate=step(2, 20, 120), duration_s=240)
    assert workers(steps) <= (2 + 20) / 2 + 18 * steps.start_s / 240
    assert workers(replace(steps, start_s=20.0)) > workers(steps)


def test_who_may_let_more_requests_wait_needs_fewer_workers() -> None:
    trace = replace(EVEN, arrive=poisson)
    assert workers(trace, late=0.2) < workers(trace, late=0.05) < workers(trace, late=0.0)


def test_batches_need_fewer_workers() -> None:
    assert workers(replace(EVEN, batch_size=8, marginal=0.1)) < 5


@pytest.mark.parametrize("seed", range(3))
def test_a_number_that_never_changes_is_no_smaller(seed: int) -> None:
    hindsight = Hindsight(replace(EVEN, arrive=poisson, seed=seed), target_s=1.0, late=0.05, most=100)
    fixed = hindsight.fixed()
    assert hindsight.worker_s() <= fixed * 300 <= 14 * 300
    assert hindsight.late_share_of(fixed) <= 0.05 < hindsight.late_share_of(fixed - 1)
