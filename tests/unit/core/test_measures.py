from __future__ import annotations

import pytest

from stoker.core.measures import JOBS, SECONDS, Histogram, ModelCounters


@pytest.mark.parametrize(("value", "place"), [(0, 0), (1, 0), (1.5, 1), (2, 1), (2.5, 2), (1e9, 2)])
def test_a_value_counts_in_the_first_bucket_that_holds_it(value: float, place: int) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert histogram.counts.index(1) == place
    assert (histogram.count, histogram.total) == (1, value)


def test_what_a_request_took_is_in_the_histogram_and_in_the_totals_of_how_it_was_named() -> None:
    counters = ModelCounters()
    counters.batch_ended(1, 0.5, 0.5, 1.0, [(counters.by_version, 0.25, 0.75)])
    assert (counters.by_version.queued_s, counters.by_version.latency_s) == (0.25, 0.75)
    assert counters.by_default.latency_s == 0
    assert counters.queue_wait.counts[SECONDS.index(0.25)] == 1
    assert counters.latency.counts[SECONDS.index(1.0)] == 1


def test_measurements_counted_together_give_what_each_alone_would() -> None:
    counters, latency, handler = ModelCounters(), Histogram(SECONDS), Histogram(SECONDS)
    seconds = [0.0, *SECONDS, 0.003, 1.5, 500.0] * 60  # more than are kept uncounted
    for each in seconds:
        counters.batch_ended(1, each, each, 1.0, [(counters.by_default, 0.0, each)])
        latency.observe(each)
        handler.observe(each)
    assert counters.latency.counts == latency.counts
    assert counters.handler_time.counts == handler.counts
    assert counters.latency.total == pytest.approx(latency.total)
    assert (counters.queue_wait.counts[0], counters.batches[1].handled) == (len(seconds), len(seconds))
    assert counters.batches[1].handler_s_squared == pytest.approx(sum(each * each for each in seconds))


def test_few_measurements_wait_to_be_counted() -> None:
    counters = ModelCounters()
    for _ in range(10_000):
        counters.batch_ended(1, 0.5, 0.25, 1.0, [(counters.by_default, 0.0, 0.5)])
        assert max(len(counters.latency.new), len(counters.queue_wait.new)) <= 512


def test_the_overhead_of_a_batch_is_what_the_handler_did_not_take() -> None:
    counters = ModelCounters()
    counters.batch_ended(3, 1.0, 0.75, 10.0)
    assert (counters.newest.overhead_s, counters.newest.batches) == (0.25, 1)
    assert counters.handler_time.counts[SECONDS.index(1.0)] == 1
    assert counters.batch_size.counts[JOBS.index(4)] == 1
    counters.batch_ended(1, 5.0, -1.0, 11.0)  # one whose handler failed: nothing is known of it
    assert (counters.newest.batches, counters.batch_size.count) == (1, 2)


def test_batches_are_counted_by_their_size_and_the_newest_end_is_kept() -> None:
    counters = ModelCounters()
    for jobs, handler_s, now in ((3, 0.5, 10.0), (3, -1.0, 11.0), (200, 0.25, 12.0)):
        counters.batch_ended(jobs, 1.0, handler_s, now)
    assert {size: (each.count, each.handled, each.handler_s) for size, each in counters.batches.items()} == {
        3: (2, 1, 0.5),
        200: (1, 1, 0.25),
    }
    assert counters.last_batch_at == 12.0
    assert (counters.batch_size.count, counters.batch_size.total) == (3, 206)
    assert counters.batch_size.counts[JOBS.index(256)] == 1
