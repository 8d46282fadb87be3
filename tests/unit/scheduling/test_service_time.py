"""How much a busy worker may hold, as numbers."""

from __future__ import annotations

import pytest

from stoker.scheduling.service_time import PREFETCH_BATCHES, PREFETCH_SLOWEST_S, PREFETCH_WORK_S, ServiceTime


def learn(service: ServiceTime, seconds: float, handler_s: float = -1.0, *, lone: bool = False) -> None:
    service.new.append((seconds, handler_s, lone))
    service.learn()


def learnt(*seconds: float) -> ServiceTime:
    """Learns from all at once."""
    service = ServiceTime()
    service.new += [(each, -1.0, False) for each in seconds]
    service.learn()
    return service


def test_nothing_is_sent_ahead_to_a_worker_of_which_nothing_is_known() -> None:
    assert ServiceTime().prefetch == 0


def test_the_first_batch_is_the_average_and_each_further_one_moves_it_by_a_tenth() -> None:
    service = learnt(0.001)
    assert service.average == 0.001
    learn(service, 0.002)
    assert service.average == pytest.approx(0.0011)
    learn(service, 0.0001)
    assert service.average == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [
        (PREFETCH_WORK_S, 1),
        (PREFETCH_WORK_S / 2, 2),
        (PREFETCH_WORK_S / 8, 8),
        (PREFETCH_WORK_S * 1.01, 0),
        (1e-9, PREFETCH_BATCHES),
        (0.0, PREFETCH_BATCHES),
    ],
)
def test_a_worker_may_hold_so_many_batches_as_it_runs_in_two_milliseconds(seconds: float, batches: int) -> None:
    assert learnt(seconds).prefetch == batches


def test_one_slow_batch_stops_what_is_sent_ahead_although_the_average_is_short() -> None:
    service = learnt(*[0.0001] * 100, PREFETCH_SLOWEST_S * 1.01)
    assert service.average is not None
    assert service.average < PREFETCH_WORK_S
    assert service.prefetch == 0


def test_an_answer_that_the_server_was_slow_to_read_does_not_make_its_batch_slow() -> None:
    service = learnt(*[0.0001] * 100)
    learn(service, PREFETCH_SLOWEST_S * 1.5, 0.0001)
    assert service.prefetch > 0
    learn(service, PREFETCH_SLOWEST_S * 1.5, PREFETCH_SLOWEST_S * 1.4)
    assert service.prefetch == 0


def test_a_batch_at_the_bound_is_not_slow() -> None:
    assert learnt(*[0.00001] * 100, PREFETCH_SLOWEST_S).prefetch > 0


def test_a_slow_batch_is_forgotten_by_a_hundredth_with_each_quick_one() -> None:
    service = learnt(*[0.0001] * 100, 2 * PREFETCH_SLOWEST_S)
    for _ in range(68):
        learn(service, 0.0001)
    assert service.prefetch == 0
    learn(service, 0.0001)
    assert service.prefetch > 0  # 0.99 ** 69 is just below one half
    assert service.slowest == pytest.approx(2 * PREFETCH_SLOWEST_S * 0.99**69)


def test_the_slowest_batch_is_never_below_the_newest() -> None:
    service = learnt(0.004, 0.003)
    assert service.slowest == pytest.approx(0.00396)
    learn(service, 0.005)
    assert service.slowest == 0.005


@pytest.mark.parametrize(
    ("handler_s", "batches"),
    [(0.0001, PREFETCH_BATCHES), (0.009, 10), (0.020, 4), (0.200, 0)],
)
def test_a_worker_across_a_network_may_hold_what_it_runs_in_a_round_trip(handler_s: float, batches: int) -> None:
    service = ServiceTime()
    learn(service, 0.1 + handler_s, handler_s, lone=True)
    assert service.round_trip == pytest.approx(0.099)
    assert service.prefetch == batches


def test_batches_that_end_in_one_turn_teach_the_same_as_in_many() -> None:
    batches = [
        (0.051, 0.0, True),
        (0.011, 0.0001, True),
        (0.0004, 0.0001, False),
        (0.03, -1.0, True),
        (0.02, 0.012, True),
    ]
    together, apart = ServiceTime(), ServiceTime()
    together.new += batches
    together.learn()
    for seconds, handler_s, lone in batches:
        learn(apart, seconds, handler_s, lone=lone)
    assert (together.average, together.slowest) == (apart.average, apart.slowest)
    assert (together.prefetch, together.round_trip) == (apart.prefetch, apart.round_trip)
    assert together.new == []


def test_waking_up_is_no_round_trip() -> None:
    service, other = ServiceTime(), ServiceTime()
    for _ in range(50):
        learn(service, 0.0005, 0.0001, lone=True)
        learn(other, 0.0005, 0.0001)
    assert (service.round_trip, service.average, service.prefetch) == (0.0, other.average, other.prefetch)


def test_a_shorter_round_trip_counts_at_once_and_a_longer_one_slowly() -> None:
    service = ServiceTime()
    learn(service, 0.051, 0.0, lone=True)
    assert service.round_trip == pytest.approx(0.050)
    learn(service, 0.011, 0.0, lone=True)
    assert service.round_trip == pytest.approx(0.010)
    learn(service, 0.061, 0.0, lone=True)
    assert service.round_trip == pytest.approx(0.011)


def test_a_batch_that_was_not_alone_or_whose_handler_failed_says_nothing_of_the_round_trip() -> None:
    service = ServiceTime()
    learn(service, 0.1, 0.0001)
    learn(service, 0.1, -1.0, lone=True)
    assert service.round_trip == 0.0
