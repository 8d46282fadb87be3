"""How long a worker may be silent, a reader may stall, and how credit flows back."""

from __future__ import annotations

from core_kit import WINDOW, answer, failures, make_core, submit, take, wake

from stoker import errors
from stoker.core.reply import Chunk
from stoker.scheduling import actions


def test_a_worker_that_is_silent_for_the_response_timeout_is_restarted_once() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    (stuck,) = submit(scheduler, now=1.0)
    take(scheduler)
    assert wake(scheduler) == 3.0
    scheduler.on_time(3.0)
    (restart,) = take(scheduler)
    assert isinstance(restart, actions.Restart) and isinstance(restart.reason, errors.ResponseTimeout)
    scheduler.on_time(3.1)
    assert take(scheduler) == []
    scheduler.worker_lost(0, restart.reason, 1, 3.2)
    assert failures(scheduler) == [(stuck, errors.ResponseTimeout)]


def test_the_response_timeout_of_a_batch_sent_ahead_runs_from_its_start() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    submit(scheduler, now=0.0)
    answer(scheduler, 0, 1, now=0.0001)
    submit(scheduler, 2, now=1.0)
    answer(scheduler, 0, 2, now=2.5)
    assert wake(scheduler) == 4.5


def test_each_part_of_a_stream_restarts_the_response_timeout() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    submit(scheduler, streaming=True, alone=True, now=0.0)
    scheduler.parts(0, 1, [[Chunk(b"a")]], 1.5)
    assert wake(scheduler) == 3.5


def test_a_worker_that_waits_for_its_reader_is_not_late_and_the_reader_is_ended_after_the_stall_timeout() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    (_stream,) = submit(scheduler, streaming=True, alone=True, now=0.0)
    scheduler.parts(0, 1, [[Chunk(b"x" * WINDOW)]], 1.0)
    take(scheduler)
    assert wake(scheduler) == 31.0
    scheduler.on_time(20.0)
    assert take(scheduler) == []
    scheduler.on_time(31.0)
    fail, cancel = take(scheduler)
    assert isinstance(fail, actions.Fail) and isinstance(fail.error, errors.StreamStalled)
    assert cancel == actions.CancelInWorker(0, 1, 0)


def test_a_stalled_reader_is_due_long_before_the_handler_is() -> None:
    scheduler = make_core(response_timeout_s=1000.0)
    submit(scheduler, streaming=True, alone=True, now=0.0)
    scheduler.parts(0, 1, [[Chunk(b"x" * WINDOW)]], 1.0)
    assert wake(scheduler) == 31.0


def test_a_reader_that_catches_up_gives_credit_and_the_blocked_time_does_not_count() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    (stream,) = submit(scheduler, streaming=True, alone=True, now=0.0)
    scheduler.parts(0, 1, [[Chunk(b"x" * WINDOW)]], 1.0)
    take(scheduler)
    scheduler.consumed(stream, WINDOW, 11.0)
    assert take(scheduler) == [actions.GrantCredit(0, 1, 0, WINDOW)]
    assert wake(scheduler) == 13.0


def test_a_stalled_reader_in_a_shared_batch_is_ended_before_it_costs_its_neighbours() -> None:
    scheduler = make_core(batch_size=2, stream_batching=True)
    submit(scheduler, 1)
    take(scheduler)
    slow, fast = submit(scheduler, 2, streaming=True)
    answer(scheduler, 0, 1)
    take(scheduler)
    for _ in range(10):
        scheduler.parts(0, 2, [[Chunk(b"s" * WINDOW)], [Chunk(b"f" * WINDOW)]], 1.0)
        scheduler.consumed(fast, WINDOW, 1.0)
    done = take(scheduler)
    assert [a.job for a in done if isinstance(a, actions.Fail)] == [slow]
    assert len([1 for a in done if isinstance(a, actions.DeliverParts) and a.job is fast]) == 10


def test_parts_for_a_unary_caller_are_kept_up_to_the_response_limit_without_waiting_for_a_reader() -> None:
    scheduler = make_core()
    (unary,) = submit(scheduler)
    for _ in range(10):
        scheduler.parts(0, 1, [[Chunk(b"x" * WINDOW)]], 1.0)
    done = take(scheduler)
    assert sum(a.nbytes for a in done if isinstance(a, actions.GrantCredit)) == 10 * WINDOW
    scheduler.parts(0, 1, [[Chunk(b"x")]], 1.0)
    assert failures(scheduler) == [(unary, errors.ResponseTooLarge)]


def test_a_reader_gets_credit_back_as_soon_as_it_has_read_a_quarter_of_its_window() -> None:
    scheduler = make_core()
    (stream,) = submit(scheduler, streaming=True, alone=True)
    scheduler.parts(0, 1, [[Chunk(b"x" * 50)]], 1.0)
    take(scheduler)
    scheduler.consumed(stream, WINDOW // 4 - 1, 1.0)
    assert take(scheduler) == []
    scheduler.consumed(stream, 1, 1.0)
    assert take(scheduler) == [actions.GrantCredit(0, 1, 0, WINDOW // 4)]


def test_a_handler_that_goes_on_after_its_only_reader_left_is_late_in_the_end() -> None:
    scheduler = make_core(response_timeout_s=2.0)
    (stream,) = submit(scheduler, streaming=True, alone=True, now=0.0)
    scheduler.parts(0, 1, [[Chunk(b"x" * WINDOW)]], 1.0)
    assert wake(scheduler) == 31.0  # it waits for its reader
    scheduler.cancel(stream, 11.0)
    take(scheduler)
    assert wake(scheduler) == 13.0
    scheduler.on_time(13.0)
    assert [type(action) for action in take(scheduler)] == [actions.Restart]
