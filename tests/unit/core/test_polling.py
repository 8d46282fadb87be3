"""A worker polls for its next batch only while that is likely to come in a moment."""

from __future__ import annotations

import random

import pytest

from stoker.core.polling import Polling

LONGEST_S = 0.0004


def spent(polling: Polling, gaps_s: list[float], *, wake_s: float = 0.0002) -> tuple[float, int]:
    """Returns the time polled in all, and how many batches that found. A sleeping worker is woken later."""
    total, found = 0.0, 0
    for gap in gaps_s:
        seconds = polling.seconds()
        assert 0.0 <= seconds <= LONGEST_S
        total += min(gap, seconds)
        found += gap <= seconds
        asleep = gap > seconds
        polling.waited(gap + wake_s if asleep else gap, polled=seconds > 0)
    return total, found


def test_batches_that_come_in_a_moment_are_polled_for_from_the_second_on() -> None:
    assert spent(Polling(LONGEST_S), [0.0001] * 100)[1] == 99


def test_a_straggler_now_and_then_does_not_end_it() -> None:
    assert spent(Polling(LONGEST_S), [0.0001] * 20 + ([0.01] + [0.0001] * 19) * 10)[1] >= 180


def test_batches_that_come_now_and_then_are_not_polled_for() -> None:
    assert spent(Polling(LONGEST_S), [0.02] * 1000) == (0.0, 0)


def test_a_worker_that_is_asked_no_more_polls_once() -> None:
    polling = Polling(LONGEST_S)
    spent(polling, [0.0001] * 100)
    assert spent(polling, [60.0])[0] <= LONGEST_S
    spent(polling, [0.02] * 3)
    assert spent(polling, [60.0] * 100) == (0.0, 0)


@pytest.mark.parametrize("gap_s", [0.00045, 0.0006, 0.0008])
def test_polling_in_vain_becomes_rare(gap_s: float) -> None:
    """Batches that come just too late seem worth a try from a sleeping worker's view, again and again."""
    gaps = [gap_s] * 10_000
    assert spent(Polling(LONGEST_S), gaps)[0] < 0.05 * sum(gaps)


def test_at_random_times_it_takes_little_for_what_it_finds() -> None:
    rng = random.Random(1)
    gaps = [rng.expovariate(1 / 0.001) for _ in range(10_000)]
    assert spent(Polling(LONGEST_S), gaps)[0] < 0.1 * sum(gaps)


def test_it_polls_about_twice_as_long_as_batches_take() -> None:
    polling = Polling(LONGEST_S)
    spent(polling, [0.00005] * 100)
    assert polling.seconds() == pytest.approx(0.0001, rel=0.1)


def test_batches_that_take_longer_than_they_did_are_found_again() -> None:
    polling = Polling(LONGEST_S)
    spent(polling, [0.00005] * 100)
    assert spent(polling, [0.0003] * 100)[1] > 60


def test_zero_is_never() -> None:
    polling = Polling(0.0)
    for _ in range(100):
        polling.waited(0.0, polled=False)
        assert polling.seconds() == 0.0
