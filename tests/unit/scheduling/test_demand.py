"""What is learned of a load, and how many workers it needs."""

from __future__ import annotations

import pytest

from stoker.scheduling.demand import Arrivals, Cost, late_share, workers_needed


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
    cost.add(10, 10, 2.0, 0.5)
    assert cost.per_batch_and_job == (0.0, pytest.approx(0.2))


def test_the_gain_of_batching_is_learned_from_batches_of_different_size() -> None:
    cost = Cost()
    for jobs in (10, 14, 30, 20, 45, 12) * 20:
        cost.add(10, jobs, 10 * 0.3 + jobs * 0.05, 0.5)
    batch, job = cost.per_batch_and_job
    assert batch == pytest.approx(0.3, rel=0.15)
    assert job == pytest.approx(0.05, rel=0.4)


def test_batches_of_one_size_promise_no_gain() -> None:
    cost = Cost()
    for _ in range(20):
        cost.add(10, 10, 4.0, 0.5)
    assert cost.per_batch_and_job == (0.0, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("rate", "target_s", "expected"),
    [(0.0, 0.4, 0), (0.1, 0.4, 1), (10.0, 0.4, 6), (10.0, 4.0, 5), (10.0, 0.01, 7), (1000.0, 0.4, 50)],
)
def test_workers_needed_for_jobs_of_four_tenths_of_a_second(rate: float, target_s: float, expected: int) -> None:
    assert workers_needed(rate, (0.0, 0.4), target_s=target_s, most=50) == expected


def test_batching_and_slots_need_fewer_workers() -> None:
    alone = workers_needed(20, (0.3, 0.1), target_s=0.5, most=50)
    batched = workers_needed(20, (0.3, 0.1), target_s=0.5, most=50, batch_size=8)
    stepping = workers_needed(20, (0.0, 0.4), target_s=0.5, most=50, slots=8)
    assert batched < alone
    assert stepping < alone


def test_erlangs_formula() -> None:
    assert late_share(1, 0.5, 1.0, 0.0) == pytest.approx(0.5)
    assert late_share(2, 1.0, 1.0, 0.0) == pytest.approx(1 / 3)
    assert late_share(10, 8.0, 1.0, 0.0) == pytest.approx(0.409, abs=0.001)
