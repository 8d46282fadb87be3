"""What the scheduler counts: each job once, in the place where it ended."""

from __future__ import annotations

import pytest

from stoker import errors
from stoker.core.job import Job, ModelKey
from stoker.core.measures import MAX_UNCOUNTED, ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.scheduling.core import SchedulerCore

KEY = ModelKey("m", "1")


class Rig:
    def __init__(self) -> None:
        self.counters = ModelCounters()
        spec = ModelSpec(key=KEY, url="", model_dir="", handler="", batch_size=4)
        self.core = SchedulerCore(
            spec,
            stream_window_bytes=1 << 20,
            stream_stall_timeout_s=30,
            max_joined_bytes=1 << 20,
            counters=self.counters,
        )
        self.core.pool_status(1, None, 0.0)

    def submit(self, now: float, *, streaming: bool = False, deadline: float | None = None) -> Job:
        job = Job(KEY, (), streaming=streaming, deadline=deadline, totals=self.counters.by_default)
        self.core.submit(job, now)
        return job


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_wait_latency_and_batch_size_are_measured_from_the_acceptance_of_each_job(rig: Rig) -> None:
    rig.submit(1.0)
    rig.submit(2.0)
    rig.core.worker_ready(1)
    rig.core.dispatch(4.0)
    rig.core.done(1, 1, [Chunk(b"a"), Chunk(b"b")], 8.0)
    counters = rig.counters
    assert (counters.queue_wait.count, counters.queue_wait.total) == (2, 3.0 + 2.0)
    assert (counters.latency.count, counters.latency.total) == (2, 7.0 + 6.0)
    assert (counters.batch_size.count, counters.batch_size.total) == (1, 2.0)
    assert (counters.by_default.queued_s, counters.by_default.latency_s) == (5.0, 13.0)
    assert (counters.failed, counters.cancelled) == (0, 0)


def test_failed_late_and_cancelled_jobs_are_counted_apart_and_have_no_latency(rig: Rig) -> None:
    rig.core.worker_ready(1)
    rig.submit(0.0)
    rig.core.dispatch(0.0)
    gone, _late = rig.submit(0.0), rig.submit(0.0, deadline=2.0)
    rig.core.cancel(gone, 1.0)
    rig.core.on_time(3.0)
    rig.core.done(1, 1, [errors.HandlerRaised()], 4.0)
    assert (rig.counters.cancelled, rig.counters.failed, rig.counters.latency.count) == (1, 2, 0)


def test_a_stream_is_in_flight_from_its_acceptance_to_its_end_however_it_ends(rig: Rig) -> None:
    rig.core.worker_ready(1)
    in_flight = []
    rig.submit(0.0, streaming=True)
    rig.core.dispatch(0.0)
    rig.core.parts(1, 1, [[Chunk(b"part")]], 1.0)
    in_flight.append(rig.counters.streams)
    rig.core.done(1, 1, [Chunk(b"end")], 2.0)
    in_flight.append(rig.counters.streams)
    waiting = rig.submit(3.0, streaming=True)
    in_flight.append(rig.counters.streams)
    rig.core.cancel(waiting, 4.0)
    rig.core.cancel(waiting, 5.0)
    in_flight.append(rig.counters.streams)
    assert in_flight == [1, 0, 1, 0]
    assert rig.counters.latency.total == 2.0
    assert rig.counters.last_batch_at == 2.0


def test_jobs_that_no_client_sent_are_not_measured(rig: Rig) -> None:
    rig.core.worker_ready(1)
    rig.core.submit(Job(KEY, (), alone=True), 0.0)
    rig.core.dispatch(1.0)
    rig.core.done(1, 1, [Chunk(b"")], 2.0)
    assert (rig.counters.latency.count, rig.counters.queue_wait.count, rig.counters.by_default.requests) == (0, 0, 0)


def test_few_measurements_wait_to_be_counted(rig: Rig) -> None:
    rig.core.worker_ready(1)
    uncounted = []
    for number in range(2000):
        rig.submit(float(number))
        rig.core.dispatch(float(number))
        rig.core.done(1, number + 1, [Chunk(b"")], number + 0.5)
        uncounted.append(len(rig.counters.ended) + len(rig.counters.served))
    assert max(uncounted) == MAX_UNCOUNTED
    assert (rig.counters.latency.count, rig.counters.latency.total) == (2000, 1000.0)
