"""The asyncio shell: turns, the one timer, and that one bad consumer harms nobody else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from stoker import errors
from stoker.core.clock import MonotonicClock
from stoker.core.job import Batch, Job, ModelKey, Place
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.scheduling.scheduler import Scheduler

KEY = ModelKey("m", "1.0")


class Link:
    """A worker that keeps what it is told."""

    def __init__(self, scheduler: Scheduler, id: int = 9000) -> None:
        self.id = id
        self.scheduler = scheduler
        self.batches: list[Batch] = []
        self.cancels: list[tuple[int, int]] = []
        self.restarts: list[errors.ServingError] = []

    def send(self, batch: Batch) -> None:
        self.batches.append(batch)

    def cancel(self, batch_id: int, index: int) -> None:
        self.cancels.append((batch_id, index))

    def grant(self, batch_id: int, index: int, nbytes: int) -> None: ...

    def started(self) -> int | None:
        return self.batches[-1].id if self.batches else 0

    def restart(self, reason: errors.ServingError) -> None:
        self.restarts.append(reason)
        self.scheduler.worker_lost(self, reason)


def make(**changes: object) -> tuple[Scheduler, Link]:
    values: dict[str, object] = {"key": KEY, "url": "m.mar", "model_dir": "", "handler": "h", **changes}
    scheduler = Scheduler(
        ModelSpec(**values),  # type: ignore[arg-type]
        clock=MonotonicClock(),
        stream_window_bytes=1000,
        stream_stall_timeout_s=30.0,
    )
    link = Link(scheduler)
    scheduler.pool_status(1, None)
    scheduler.worker_ready(link)
    return scheduler, link


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_jobs_of_one_turn_leave_as_one_batch() -> None:
    scheduler, link = make(batch_size=8)
    jobs = [Job(KEY, []) for _ in range(3)]
    for job in jobs:
        scheduler.submit(job)
    await turn()
    assert [batch.jobs for batch in link.batches] == [jobs]
    scheduler.batch_done(link, link.batches[0].id, [Chunk(b"%d" % n) for n in range(3)])
    await turn()
    assert [bytes(job.reply.rest()[0].data) for job in jobs] == [b"0", b"1", b"2"]


async def test_the_timer_answers_a_job_that_expires_in_the_queue() -> None:
    scheduler, link = make()
    scheduler.submit(Job(KEY, []))
    job = Job(KEY, [], deadline=MonotonicClock().now() + 0.02)
    scheduler.submit(job)
    with pytest.raises(errors.DeadlineExceeded):
        await job.reply.next()
    assert len(link.batches) == 1
    scheduler.fail_all(errors.ServerStopping())


async def test_a_silent_worker_is_restarted_and_its_caller_told() -> None:
    scheduler, link = make(response_timeout_s=0.02)
    job = Job(KEY, [])
    scheduler.submit(job)
    with pytest.raises(errors.ResponseTimeout):
        await job.reply.next()
    assert [type(reason) for reason in link.restarts] == [errors.ResponseTimeout]


async def test_a_consumer_that_raises_does_not_cost_its_neighbours_their_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler, link = make(batch_size=2)
    bad, good = Job(KEY, []), Job(KEY, [])
    for job in (bad, good):
        scheduler.submit(job)
    await turn()
    bad.reply.subscribe(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.ERROR):
        scheduler.batch_done(link, 1, [Chunk(b"a"), Chunk(b"b")])
        await turn()
    assert good.reply.rest()[0].data == b"b"
    assert "An action of the scheduler failed" in caplog.text


async def test_draining_ends_when_the_last_answer_went_out() -> None:
    scheduler, link = make()
    assert await scheduler.wait_drained(0.0)
    scheduler.submit(Job(KEY, []))
    await turn()
    assert not await scheduler.wait_drained(0.01)
    waiting = asyncio.ensure_future(scheduler.wait_drained(10))
    await turn()
    scheduler.batch_done(link, 1, [Chunk(b"")])
    assert await waiting


async def test_a_consumer_may_submit_again_while_it_is_told() -> None:
    scheduler, link = make()
    first, second = Job(KEY, []), Job(KEY, [])
    scheduler.submit(first)
    await turn()
    first.reply.subscribe(lambda: scheduler.submit(second) if second.place is Place.NEW else None)
    scheduler.batch_done(link, 1, [Chunk(b"")])
    await turn()
    assert [batch.jobs for batch in link.batches] == [[first], [second]]
    scheduler.fail_all(errors.ServerStopping())


async def test_a_cancelled_job_is_taken_from_the_worker_too() -> None:
    scheduler, link = make()
    job = Job(KEY, [])
    scheduler.submit(job)
    await turn()
    job.reply.cancel()
    await turn()
    assert link.cancels == [(1, 0)] and isinstance(job.reply.error, errors.Cancelled)
