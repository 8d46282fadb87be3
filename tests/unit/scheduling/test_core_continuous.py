"""Continuous batching, event by event: jobs join, leave in any order, and share their worker's life."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import KEY, TIMEOUT_S, WINDOW, make_core, sent_alone, submit, take

from stoker import errors
from stoker.core.job import Job
from stoker.core.measures import ModelCounters
from stoker.core.ports import Dropped
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore


def core(workers: int = 1, **changes: Any) -> SchedulerCore:
    values = {"batch_size": 2, "response_timeout_s": TIMEOUT_S, "continuous": True, **changes}
    return make_core(workers, **values)


def part(scheduler: SchedulerCore, batch: int, size: int = 1, now: float = 0.0) -> None:
    scheduler.parts(0, batch, [[Chunk(b"p" * size)]], now)


def end(scheduler: SchedulerCore, batch: int, outcome: Any = None, now: float = 0.0, handler_s: float = -1.0) -> None:
    scheduler.done(0, batch, [outcome or Chunk(b"end")], now, handler_s)
    scheduler.dispatch(now)


def ends(scheduler: SchedulerCore) -> list[tuple[Job, str]]:
    return [
        (a.job, type(a.error).__name__ if isinstance(a, actions.Fail) else "answered")
        for a in take(scheduler)
        if isinstance(a, actions.Deliver | actions.Fail)
    ]


def test_each_job_is_a_batch_that_takes_a_slot_and_others_join_while_it_runs() -> None:
    scheduler = core()
    submit(scheduler)
    assert sent_alone(scheduler) == [(0, 1)]
    submit(scheduler, 2)
    assert sent_alone(scheduler) == [(0, 2)]
    assert scheduler.queue_status().pending == 1


def test_whoever_ends_first_gives_a_slot_to_the_one_that_waits() -> None:
    scheduler = core()
    first, second, third = submit(scheduler, 3)
    take(scheduler)
    end(scheduler, 2)
    assert [(a.job, type(a).__name__) for a in scheduler.actions if isinstance(a, actions.Deliver)] == [
        (second, "Deliver")
    ]
    assert sent_alone(scheduler) == [(0, 3)]
    end(scheduler, 3)
    end(scheduler, 1)
    assert ends(scheduler) == [(third, "answered"), (first, "answered")]
    assert scheduler.drained


def test_jobs_go_to_the_worker_with_the_most_free_slots() -> None:
    scheduler = core(workers=2)
    submit(scheduler, 5)
    assert sent_alone(scheduler) == [(0, 1), (1, 2), (0, 3), (1, 4)]


def test_a_job_that_must_be_alone_waits_for_a_worker_without_others_and_nobody_joins_it() -> None:
    scheduler = core()
    submit(scheduler)
    submit(scheduler, alone=True)
    submit(scheduler)
    assert sent_alone(scheduler) == [(0, 1)]
    end(scheduler, 1)
    assert sent_alone(scheduler) == [(0, 2)]
    end(scheduler, 2)
    assert sent_alone(scheduler) == [(0, 3)]


def test_the_slot_of_a_job_whose_caller_left_is_free_once_the_worker_dropped_it() -> None:
    scheduler = core(batch_size=1)
    gone, _ = submit(scheduler, 2)
    take(scheduler)
    scheduler.cancel(gone, 1.0)
    scheduler.dispatch(1.0)
    assert actions.CancelInWorker(0, 1, 0) in scheduler.actions
    assert sent_alone(scheduler) == []
    end(scheduler, 1, Dropped.DROPPED)
    assert sent_alone(scheduler) == [(0, 2)]


def test_parts_reach_their_own_job_until_its_end() -> None:
    scheduler = core()
    first, second = submit(scheduler, 2, streaming=True)
    take(scheduler)
    part(scheduler, 2)
    part(scheduler, 1)
    end(scheduler, 2)
    part(scheduler, 1)
    got = [(type(a).__name__, a.job) for a in take(scheduler) if isinstance(a, actions.DeliverParts | actions.Deliver)]
    assert got == [("DeliverParts", second), ("DeliverParts", first), ("Deliver", second), ("DeliverParts", first)]


def test_a_worker_that_answers_a_batch_twice_is_restarted() -> None:
    scheduler = core()
    submit(scheduler, 2)
    end(scheduler, 1)
    take(scheduler)
    end(scheduler, 1)
    assert [type(a) for a in take(scheduler)] == [actions.Restart]


@pytest.mark.parametrize(
    ("started", "fate", "again"),
    [
        pytest.param(2, ["WorkerDied", "WorkerDied", "queued"], 1, id="two had joined"),
        pytest.param(None, ["WorkerDied"] * 3, 0, id="nobody knows"),
        pytest.param(0, ["queued"] * 3, 1, id="none had: the first may have killed it, and goes alone"),
    ],
)
def test_when_a_worker_dies_what_had_joined_fails_and_the_rest_goes_elsewhere(
    started: int | None, fate: list[str], again: int
) -> None:
    scheduler = core(batch_size=3)
    jobs = submit(scheduler, 3)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied(), started, 1.0)
    ended = dict(ends(scheduler))
    assert [ended.get(job, "queued") for job in jobs] == fate
    scheduler.worker_ready(1)
    scheduler.dispatch(1.0)
    assert len(sent_alone(scheduler)) == again


def test_a_job_that_got_a_part_is_never_run_again() -> None:
    scheduler = core()
    (job,) = submit(scheduler, streaming=True)
    part(scheduler, 1)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied(), 0, 1.0)
    assert ends(scheduler) == [(job, "WorkerDied")]


def test_the_response_timeout_runs_from_the_last_step_whoever_joins() -> None:
    scheduler = core()
    submit(scheduler)
    part(scheduler, 1, now=4.0)
    submit(scheduler, now=9.0)
    take(scheduler)
    scheduler.on_time(13.9)
    assert take(scheduler) == []
    scheduler.on_time(14.0)
    assert [type(a) for a in take(scheduler)] == [actions.Restart]


def test_a_worker_that_waits_for_all_its_readers_is_not_late_until_somebody_joins() -> None:
    scheduler = core()
    (slow,) = submit(scheduler, streaming=True)
    part(scheduler, 1, WINDOW, now=1.0)
    assert scheduler.next_wake() == 31.0  # when the reader has stalled for too long
    submit(scheduler, now=20.0)
    take(scheduler)
    scheduler.on_time(29.9)
    assert take(scheduler) == []
    scheduler.on_time(30.0)
    assert actions.Restart in map(type, take(scheduler))
    assert slow.reply.ended is False


def test_a_reader_that_others_outrun_loses_its_stream_and_the_others_go_on() -> None:
    scheduler = core()
    slow, quick = submit(scheduler, 2, streaming=True)
    for now in range(5):
        part(scheduler, 1, WINDOW, now=now)
        part(scheduler, 2, 1, now=now)
        scheduler.consumed(quick, 1, now)
    part(scheduler, 1, WINDOW, now=6)
    assert ends(scheduler) == [(slow, "StreamStalled")]
    end(scheduler, 1, Dropped.DROPPED, now=7)
    end(scheduler, 2, now=8)
    assert ends(scheduler) == [(quick, "answered")]


def test_a_reader_that_catches_up_is_granted_credit_while_others_run() -> None:
    scheduler = core()
    submit(scheduler)
    (reader,) = submit(scheduler, streaming=True)
    part(scheduler, 2, WINDOW)
    take(scheduler)
    scheduler.consumed(reader, WINDOW, 1.0)
    assert take(scheduler) == [actions.GrantCredit(0, 2, 0, WINDOW)]


def test_with_fixed_batching_only_an_idle_worker_waits() -> None:
    scheduler = core(batching="fixed", max_batch_delay_s=0.5, batch_size=3)
    submit(scheduler, now=1.0)
    assert sent_alone(scheduler) == []
    assert scheduler.next_wake() == 1.5
    submit(scheduler, now=1.2)
    scheduler.on_time(1.5)
    assert sent_alone(scheduler) == [(0, 1), (0, 2)]
    submit(scheduler, now=1.6)
    assert sent_alone(scheduler) == [(0, 3)]


def test_with_fixed_batching_the_delay_of_the_next_idle_worker_begins_anew() -> None:
    scheduler = core(batching="fixed", max_batch_delay_s=0.5)
    (gone,) = submit(scheduler, now=1.0)
    scheduler.cancel(gone, 1.1)
    scheduler.dispatch(1.1)
    submit(scheduler, now=2.0)
    assert sent_alone(scheduler) == []
    assert scheduler.next_wake() == 2.5


def test_free_slots_do_not_count_against_the_queues_limit() -> None:
    scheduler = core(job_queue_size=1, batch_size=2)
    for _ in range(3):
        scheduler.submit(Job(KEY, []), 0.0)
    with pytest.raises(errors.QueueFull):
        scheduler.submit(Job(KEY, []), 0.0)


def test_a_draining_worker_gets_nobody_new_and_finishes_what_it_has() -> None:
    scheduler = core()
    submit(scheduler)
    scheduler.worker_draining(0)
    submit(scheduler)
    assert sent_alone(scheduler) == [(0, 1)]
    assert not scheduler.idle(0)
    end(scheduler, 1)
    assert scheduler.idle(0)


def test_what_the_handler_did_not_spend_counts_from_when_its_job_was_sent() -> None:
    counters = ModelCounters()
    scheduler = core(counters=counters)
    submit(scheduler, now=1.0)
    part(scheduler, 1, now=3.0)
    end(scheduler, 1, now=3.5, handler_s=1.5)
    counters.settle()
    assert counters.newest.overhead_s == pytest.approx(1.0)
