from __future__ import annotations

import pytest
from metrics_rig import batch_ended

from stoker.core.measures import JOBS, SECONDS, Histogram, ModelCounters


@pytest.mark.parametrize(("value", "place"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (2.5, 2), (1e9, 2)])
def test_a_value_counts_in_the_first_bucket_that_holds_it(value: float, place: int) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert histogram.counts.index(1) == place
    assert (histogram.count, histogram.total) == (1, value)


def test_what_a_request_took_is_in_the_histogram_and_in_the_totals_of_how_it_was_named() -> None:
    counters = ModelCounters()
    batch_ended(counters, 1, 0.5, 0.5, served=[(counters.by_version, 0.25, 0.75)])
    assert (counters.by_version.queued_s, counters.by_version.latency_s) == (0.25, 0.75)
    assert counters.by_default.latency_s == 0
    assert counters.queue_wait.counts[SECONDS.index(0.25)] == 1
    assert counters.latency.counts[SECONDS.index(1.0)] == 1


def test_measurements_counted_together_give_what_each_alone_would() -> None:
    counters, latency, handler = ModelCounters(), Histogram(SECONDS), Histogram(SECONDS)
    seconds = [0.0, *SECONDS, 0.003, 1.5, 500.0] * 60  # more than are kept uncounted
    for each in seconds:
        batch_ended(counters, 1, each, each, served=[(counters.by_default, 0.0, each)])
        latency.observe(each)
        handler.observe(each)
    assert counters.latency.counts == latency.counts
    assert counters.handler_time.counts == handler.counts
    assert counters.latency.total == pytest.approx(latency.total)
    assert (counters.queue_wait.counts[0], counters.batches[1].handled) == (len(seconds), len(seconds))
    assert counters.batches[1].handler_s_squared == pytest.approx(sum(each * each for each in seconds))


def test_what_ends_in_one_turn_is_counted_as_if_it_had_ended_in_many() -> None:
    together, apart = ModelCounters(), ModelCounters()
    for number in range(2000):
        jobs, handler_s = number % 3 + 1, -1.0 if number % 5 == 0 else number / 1000
        together.ended.append((jobs, handler_s + 0.5, handler_s))
        served = [(0.25, number / 100)] * jobs
        together.served += [(together.by_default, *seconds) for seconds in served]
        batch_ended(apart, jobs, handler_s + 0.5, handler_s, served=[(apart.by_default, *each) for each in served])
    together.settle()
    for counters in (together, apart):
        assert counters.handler_time.total == pytest.approx(sum(n / 1000 for n in range(2000) if n % 5))
    assert together.latency.counts == apart.latency.counts
    assert together.handler_time.counts == apart.handler_time.counts
    assert together.batch_size.counts == apart.batch_size.counts
    assert together.by_default.latency_s == apart.by_default.latency_s
    assert (together.newest.served, together.newest.batches) == (apart.newest.served, apart.newest.batches)
    assert (together.newest.queued_s, together.newest.overhead_s) == (apart.newest.queued_s, apart.newest.overhead_s)


def test_the_overhead_of_a_batch_is_what_the_handler_did_not_take() -> None:
    counters = ModelCounters()
    batch_ended(counters, 3, 1.0, 0.75)
    assert (counters.newest.overhead_s, counters.newest.batches) == (0.25, 1)
    assert counters.handler_time.counts[SECONDS.index(1.0)] == 1
    assert counters.batch_size.counts[JOBS.index(4)] == 1
    batch_ended(counters, 1, 5.0, -1.0)  # one whose handler failed: nothing is known of it
    assert (counters.newest.batches, counters.batch_size.count) == (1, 2)


def test_batches_are_counted_by_their_size() -> None:
    counters = ModelCounters()
    for jobs, handler_s in ((3, 0.5), (3, -1.0), (200, 0.25)):
        batch_ended(counters, jobs, 1.0, handler_s)
    assert {size: (each.count, each.handled, each.handler_s) for size, each in counters.batches.items()} == {
        3: (2, 1, 0.5),
        200: (1, 1, 0.25),
    }
    assert (counters.batch_size.count, counters.batch_size.total) == (3, 206)
    assert counters.batch_size.counts[JOBS.index(256)] == 1
