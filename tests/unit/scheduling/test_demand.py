"""What is learned of a load, and how many workers it needs."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from stoker.core.measures import SECONDS
from stoker.core.ports import Handled
from stoker.scheduling.arrivals import Arrivals, Dispersion
from stoker.scheduling.demand import LATE_HELD, Cost, Strictness, late_of, late_share, workers_needed


def test_the_rate_is_right_from_the_first_moment() -> None:
    arrivals = Arrivals()
    arrivals.add(5, 0.5)
    assert arrivals.rate == pytest.approx(10)


def test_a_steady_rate_has_no_trend() -> None:
    arrivals = Arrivals()
    for tick in range(200):
        arrivals.add(5 + tick % 2, 0.5)
    assert arrivals.trend == 0
    assert arrivals.expected(10) == arrivals.rate == pytest.approx(11, rel=0.02)


def test_a_clear_rise_is_expected_to_go_on_and_a_fall_is_not() -> None:
    arrivals = Arrivals()
    for _ in range(200):
        arrivals.add(5, 0.5)
    for _ in range(10):
        arrivals.add(20, 0.5)
    assert arrivals.trend > 0
    assert arrivals.expected(10) > arrivals.rate > 15
    for _ in range(30):
        arrivals.add(1, 0.5)
    assert arrivals.expected(10) == arrivals.rate < 10
    assert arrivals.since_fall_s < 15


def test_without_batching_the_cost_is_that_of_a_job() -> None:
    cost = Cost()
    assert not cost.known
    cost.add(Handled(10, 10, 10, 2.0, 2.0), 0.5)
    assert cost.per_batch_and_job == (0.0, pytest.approx(0.2))


def test_the_gain_of_batching_is_learned_from_batches_of_different_size() -> None:
    cost = Cost()
    for jobs in (1, 2, 3, 2, 4, 1) * 50:
        took_s = 0.3 + jobs * 0.05
        cost.add(Handled(1, jobs, jobs * jobs, took_s, jobs * took_s), 0.5)
    batch, job = cost.per_batch_and_job
    assert batch == pytest.approx(0.3, rel=0.2)
    assert job == pytest.approx(0.05, rel=0.4)


def test_batches_of_one_size_promise_no_gain() -> None:
    cost = Cost()
    for _ in range(20):
        cost.add(Handled(10, 10, 10, 4.0, 4.0), 0.5)
    assert cost.per_batch_and_job == (0.0, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("rate", "target_s", "expected"),
    [(0.0, 0.4, 0), (0.1, 0.4, 1), (10.0, 0.4, 6), (10.0, 4.0, 5), (10.0, 0.01, 8), (1000.0, 0.4, 50)],
)
def test_workers_needed_for_jobs_of_four_tenths_of_a_second(rate: float, target_s: float, expected: int) -> None:
    assert workers_needed(rate, (0.0, 0.4), target_s=target_s, most=50) == expected


def test_batching_and_slots_need_fewer_workers() -> None:
    alone = workers_needed(20, (0.3, 0.1), target_s=0.5, most=50)
    batched = workers_needed(20, (0.3, 0.1), target_s=0.5, most=50, batch_size=8)
    stepping = workers_needed(20, (0.0, 0.4), target_s=0.5, most=50, slots=8)
    assert batched < alone
    assert stepping < alone


@pytest.mark.parametrize(("draw", "spread"), [(lambda _: 0.4, 0.0), (lambda rng: rng.expovariate(2.5), 1.0)])
@pytest.mark.parametrize("per_job", [0.0, 0.1])
def test_the_spread_of_service_times_is_learned_whatever_batches_cost(
    draw: Callable[[random.Random], float], spread: float, per_job: float
) -> None:
    cost, rng = Cost(), random.Random(1)
    for number in range(2000):
        jobs = 1 + number % 8
        took_s = draw(rng) * (1 + per_job * (jobs - 1))
        cost.add(Handled(1, jobs, jobs * jobs, took_s, jobs * took_s, took_s * took_s), 0.05)
    assert cost.spread == pytest.approx(spread, abs=0.15)


def test_even_service_times_need_fewer_workers_than_uneven_ones() -> None:
    even, uneven = (workers_needed(10.0, (0.0, 1.0), target_s=1.0, most=50, spread=spread) for spread in (0.0, 4.0))
    assert 11 <= even < uneven


def test_erlangs_formula() -> None:
    assert late_share(1, 0.5, 1.0, 0.0) == pytest.approx(0.5)
    assert late_share(2, 1.0, 1.0, 0.0) == pytest.approx(1 / 3)
    assert late_share(10, 8.0, 1.0, 0.0) == pytest.approx(0.409, abs=0.001)


@pytest.mark.parametrize(
    ("rate", "cost", "batch_size", "burst", "spread", "simulated"),
    [
        (1.0, (0.0, 1.0), 1, 7.6, 1.0, 7),
        (2.0, (0.0, 1.0), 1, 7.6, 1.0, 8),
        (5.0, (0.0, 1.0), 1, 7.6, 1.0, 12),
        (4.7, (0.9, 0.1), 8, 1.0, 1.0, 4),
        (9.4, (0.9, 0.1), 8, 1.0, 1.0, 5),
        (4.7, (0.9, 0.1), 8, 1.0, 0.0, 2),
    ],
)
def test_small_fleets_need_what_a_simulation_finds(
    rate: float, cost: tuple[float, float], batch_size: int, burst: float, spread: float, simulated: int
) -> None:
    """Bursts larger than the fleet wait for themselves; batches that keep every worker busy end at random."""
    needed = workers_needed(
        rate, cost, target_s=1.0, most=50, batch_size=batch_size, burst=burst, spread=spread, late=0.05
    )
    assert abs(needed - simulated) <= (simulated > 4)


def test_more_workers_hold_the_target_when_requests_come_in_bursts() -> None:
    cost = (0.0, 1.0)
    alone = workers_needed(8.0, cost, target_s=1.0, most=50)
    assert workers_needed(8.0, cost, target_s=1.0, most=50, burst=8.0) > alone + 2
    assert workers_needed(8.0, cost, target_s=1.0, most=50, burst=0.4) <= alone


def clustered(size: int, rate: float, ticks: int) -> list[int]:
    """Requests in moments of half a second, ``size`` at once."""
    rng = random.Random(1)
    return [size * sum(rng.random() < rate / size / 50 for _ in range(25)) for _ in range(ticks)]


@pytest.mark.parametrize(("size", "fewest", "most"), [(1, 0.6, 1.5), (8, 5.5, 11.0)])
def test_the_dispersion_of_requests_is_the_size_of_their_bursts(size: int, fewest: float, most: float) -> None:
    dispersion = Dispersion()
    for count in clustered(size, 20.0, 600):
        dispersion.add(count, 0.5)
    assert fewest < dispersion.value < most


def test_regular_requests_disperse_less_than_independent_ones() -> None:
    dispersion = Dispersion()
    for _ in range(400):
        dispersion.add(5, 0.5)
    assert dispersion.value < 0.2


def test_one_jump_of_the_rate_is_no_habit() -> None:
    dispersion = Dispersion()
    for tick in range(400):
        dispersion.add(3 if tick < 300 else 300, 0.5)
    assert dispersion.value < 1.2


def test_bursts_of_a_steady_load_are_neither_a_trend_nor_a_surge() -> None:
    """Without the measured dispersion, every third burst would look like a rise."""
    arrivals, trends, surges = Arrivals(), 0, 0
    for tick, count in enumerate(clustered(8, 30.0, 3000)):
        arrivals.add(count, 0.5)
        trends += tick > 120 and arrivals.trend > 0
        surges += arrivals.surges
    assert surges == 0
    assert trends < 30


def test_four_times_the_rate_is_a_surge_within_seconds() -> None:
    arrivals = Arrivals()
    for count in clustered(1, 8.0, 200):
        arrivals.add(count, 0.5)
    assert not arrivals.surges
    for _ in range(6):
        arrivals.add(16, 0.5)
    assert arrivals.surges


@pytest.mark.parametrize(("target_s", "late"), [(0.05, 30.0), (0.1, 20.0), (0.175, 15.0), (0.25, 10.0), (200.0, 0.0)])
def test_what_waited_longer_than_the_target_is_read_from_a_histogram(target_s: float, late: float) -> None:
    counts = dict.fromkeys((*SECONDS, None), 0)
    counts.update({0.01: 70, 0.1: 10, 0.25: 10, 1.0: 10})
    assert late_of(list(counts.values()), target_s) == pytest.approx(late)


def test_lateness_makes_strict_and_is_forgotten() -> None:
    strictness = Strictness()
    for _ in range(120):
        strictness.add(2, 10, 0.5)
    strict = strictness.factor
    assert strict < 0.5
    strictness.restart()
    for _ in range(2400):
        strictness.add(10 * LATE_HELD / 2, 10, 0.5)
    assert strictness.factor > 2 * strict


def test_a_few_late_requests_prove_nothing() -> None:
    strictness = Strictness()
    strictness.add(5, 10, 0.5)
    assert strictness.factor == 1.0
