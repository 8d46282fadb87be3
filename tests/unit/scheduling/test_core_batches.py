"""Which jobs leave together, when, and to whom."""

from __future__ import annotations

import pytest
from core_kit import answer, job, make_core, sent, submit, take, wake

from stoker import errors
from stoker.core.ports import Dropped
from stoker.core.reply import Chunk
from stoker.scheduling import actions


def test_an_idle_worker_takes_a_lone_job_at_once_whatever_the_batch_delay() -> None:
    scheduler = make_core(batch_size=16, max_batch_delay_s=10.0)
    submit(scheduler)
    assert sent(scheduler) == [(0, 1)]


def test_jobs_that_arrive_while_the_worker_is_busy_leave_as_one_batch() -> None:
    scheduler = make_core(batch_size=16)
    submit(scheduler)
    submit(scheduler, 5)
    assert sent(scheduler) == [(0, 1)]
    answer(scheduler, 0, 1, now=1.0)
    assert sent(scheduler) == [(0, 5)]


def test_fixed_batching_waits_for_a_full_batch_or_the_whole_delay() -> None:
    scheduler = make_core(batch_size=4, batching="fixed", max_batch_delay_s=0.5)
    submit(scheduler, 2, now=1.0)
    assert sent(scheduler) == []
    assert wake(scheduler) == 1.5
    scheduler.on_time(1.5)
    assert sent(scheduler) == [(0, 2)]
    answer(scheduler, 0, 1, 2, now=2.0)
    submit(scheduler, 4, now=2.0)
    assert (0, 4) in sent(scheduler)


def test_at_batch_size_one_short_jobs_are_sent_ahead_in_batches_of_one() -> None:
    scheduler = make_core(batch_size=1)
    submit(scheduler, 1, now=0.0)
    answer(scheduler, 0, 1, now=0.0001)
    take(scheduler)
    submit(scheduler, 5, now=0.001)
    assert sent(scheduler) == [(0, 1)] * 5


def test_nothing_is_sent_ahead_to_a_worker_whose_batches_take_long() -> None:
    scheduler = make_core(batch_size=1)
    submit(scheduler, 1, now=0.0)
    answer(scheduler, 0, 1, now=0.2)
    take(scheduler)
    submit(scheduler, 5, now=0.3)
    assert sent(scheduler) == [(0, 1)]


def test_nothing_is_sent_ahead_while_another_worker_is_idle() -> None:
    scheduler = make_core(workers=2)
    submit(scheduler, 2, now=0.0)
    for worker, batch in ((0, 1), (1, 2)):
        answer(scheduler, worker, batch, now=0.0001)
    take(scheduler)
    submit(scheduler, 2, now=0.001)
    assert sorted(sent(scheduler)) == [(0, 1), (1, 1)]


def test_a_stream_is_a_batch_of_its_own_and_is_not_overtaken() -> None:
    scheduler = make_core(batch_size=8)
    submit(scheduler)
    submit(scheduler, 2)
    submit(scheduler, 1, streaming=True, alone=True)
    submit(scheduler, 2)
    sizes = []
    for batch in range(1, 5):
        sizes += [size for _, size in sent(scheduler)]
        answer(scheduler, 0, batch, sizes[-1], now=float(batch))
    assert sizes == [1, 2, 1, 2]


def test_each_item_of_a_batch_has_its_own_outcome() -> None:
    scheduler = make_core(batch_size=3)
    a, b, c = submit(scheduler, 3)
    take(scheduler)
    scheduler.done(0, 1, [Chunk(b"a"), errors.HandlerRefused("no", 404), Dropped.DROPPED], 1.0)
    done = take(scheduler)
    assert done[0] == actions.Deliver(a, Chunk(b"a"))
    assert [(x.job, type(x.error)) for x in done[1:] if isinstance(x, actions.Fail)] == [
        (b, errors.HandlerRefused),
        (c, errors.DeadlineExceeded),
    ]


def test_within_a_turn_the_queue_holds_what_idle_workers_are_about_to_take_besides_its_limit() -> None:
    scheduler = make_core(2, batch_size=3, job_queue_size=4)
    for _ in range(4 + 2 * 3):
        scheduler.submit(job(), 0.0)
    with pytest.raises(errors.QueueFull):
        scheduler.submit(job(), 0.0)
    scheduler.dispatch(0.0)
    assert sent(scheduler) == [(0, 3), (1, 3)]
    with pytest.raises(errors.QueueFull):
        scheduler.submit(job(), 0.0)


def test_fixed_batching_sends_a_job_that_travels_alone_at_once_and_nothing_ahead() -> None:
    scheduler = make_core(batch_size=4, batching="fixed", max_batch_delay_s=0.5)
    submit(scheduler, streaming=True, alone=True)
    assert sent(scheduler) == [(0, 1)]
    answer(scheduler, 0, 1, now=0.0001)
    submit(scheduler, 4, now=0.0001)
    assert sent(scheduler) == [(0, 4)]
    submit(scheduler, 8, now=0.0002)
    assert sent(scheduler) == []
