"""Asynchronous handlers, event by event: many jobs in one worker, each with a life of its own."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import TIMEOUT_S, make_core, sent_alone, submit, take

from stoker import errors
from stoker.core.job import Job
from stoker.core.ports import Dropped
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore
from stoker.scheduling.flight import CANCEL_TIMEOUT_S


def core(workers: int = 1, jobs: int = 3, **changes: Any) -> SchedulerCore:
    values = {"batch_size": 8, "response_timeout_s": TIMEOUT_S, "async_jobs": jobs, **changes}
    return make_core(workers, **values)


def failed(found: list[actions.Action]) -> list[tuple[Job, type[Exception]]]:
    return [(a.job, type(a.error)) for a in found if isinstance(a, actions.Fail)]


def cancelled(found: list[actions.Action]) -> list[int]:
    return [a.batch_id for a in found if isinstance(a, actions.CancelInWorker)]


def restarted(found: list[actions.Action]) -> list[int]:
    return [a.worker for a in found if isinstance(a, actions.Restart)]


def test_a_worker_gets_as_many_jobs_as_it_may_have_whatever_the_batch_size() -> None:
    scheduler = core()
    submit(scheduler, 5)
    assert sent_alone(scheduler) == [(0, 1), (0, 2), (0, 3)]
    scheduler.done(0, 2, [Chunk(b"end")], 0.0)
    scheduler.dispatch(0.0)
    assert sent_alone(scheduler) == [(0, 4)]


def test_jobs_go_to_the_worker_that_holds_fewest() -> None:
    scheduler = core(workers=2)
    submit(scheduler, 4)
    assert sorted(worker for worker, _ in sent_alone(scheduler)) == [0, 0, 1, 1]


def test_a_job_that_would_be_alone_shares_no_call_so_it_waits_for_nobody() -> None:
    scheduler = core()
    submit(scheduler, 2)
    submit(scheduler, alone=True)
    assert len(sent_alone(scheduler)) == 3


def test_a_queue_takes_what_workers_have_room_for_and_no_more() -> None:
    scheduler = core(job_queue_size=1)
    submit(scheduler, 4)
    with pytest.raises(errors.QueueFull):
        submit(scheduler)


def test_the_response_timeout_ends_the_job_that_is_late_and_no_other() -> None:
    scheduler = core()
    (late,) = submit(scheduler)
    submit(scheduler, now=5.0)
    assert scheduler.next_wake() == TIMEOUT_S
    take(scheduler)
    scheduler.on_time(TIMEOUT_S)
    found = take(scheduler)
    assert failed(found) == [(late, errors.ResponseTimeout)]
    assert cancelled(found) == [1]
    assert restarted(found) == []
    scheduler.done(0, 1, [Dropped.DROPPED], TIMEOUT_S + 1)
    assert scheduler.next_wake() == 5.0 + TIMEOUT_S


def test_a_part_restarts_the_timeout_of_its_own_job_only() -> None:
    scheduler = core()
    silent, _ = submit(scheduler, 2)
    scheduler.parts(0, 2, [[Chunk(b"part")]], 6.0)
    take(scheduler)
    scheduler.on_time(TIMEOUT_S)
    assert failed(take(scheduler)) == [(silent, errors.ResponseTimeout)]


def test_a_worker_that_acknowledges_no_cancellation_is_restarted_once() -> None:
    scheduler = core()
    submit(scheduler)
    scheduler.on_time(TIMEOUT_S)
    take(scheduler)
    assert scheduler.next_wake() == TIMEOUT_S + CANCEL_TIMEOUT_S
    scheduler.on_time(TIMEOUT_S + CANCEL_TIMEOUT_S)
    assert restarted(take(scheduler)) == [0]
    scheduler.on_time(TIMEOUT_S + CANCEL_TIMEOUT_S + 1)
    assert restarted(take(scheduler)) == []


def test_a_client_that_left_costs_a_busy_loop_nothing_before_the_timeout() -> None:
    scheduler = core()
    (job,) = submit(scheduler)
    scheduler.cancel(job, 1.0)
    take(scheduler)
    scheduler.on_time(1.0 + CANCEL_TIMEOUT_S)
    assert restarted(take(scheduler)) == []


def test_a_job_that_waits_for_its_reader_is_not_late() -> None:
    scheduler = core()
    (job,) = submit(scheduler, streaming=True)
    scheduler.parts(0, 1, [[Chunk(b"p" * 100)]], 1.0)
    take(scheduler)
    scheduler.on_time(TIMEOUT_S + 5)
    assert failed(take(scheduler)) == []
    scheduler.consumed(job, 100, TIMEOUT_S + 5)
    scheduler.on_time(TIMEOUT_S + 6)
    assert failed(take(scheduler)) == []
    scheduler.on_time(2 * TIMEOUT_S + 5)
    assert failed(take(scheduler)) == [(job, errors.ResponseTimeout)]


def test_a_job_that_joins_one_which_waits_for_its_reader_is_timed_too() -> None:
    scheduler = core()
    submit(scheduler, streaming=True)
    scheduler.parts(0, 1, [[Chunk(b"p" * 100)]], 1.0)
    scheduler.on_time(1.0)
    (joins,) = submit(scheduler, now=2.0)
    assert scheduler.wake_at <= 2.0 + TIMEOUT_S
    take(scheduler)
    scheduler.on_time(2.0 + TIMEOUT_S)
    assert failed(take(scheduler)) == [(joins, errors.ResponseTimeout)]


def test_of_a_worker_that_is_lost_with_its_node_all_jobs_fail_since_all_run_at_once() -> None:
    scheduler = core()
    jobs = submit(scheduler, 3)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied(), None, 1.0)
    assert failed(take(scheduler)) == [(job, errors.WorkerDied) for job in jobs]


def test_a_dead_worker_fails_what_it_had_begun_and_gives_back_the_rest() -> None:
    scheduler = core()
    first, second, third = submit(scheduler, 3)
    scheduler.worker_ready(1)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied(), 2, 1.0)
    scheduler.dispatch(1.0)
    found = take(scheduler)
    assert failed(found) == [(first, errors.WorkerDied), (second, errors.WorkerDied)]
    assert [a.batch.jobs for a in found if isinstance(a, actions.Send)] == [[third]]
