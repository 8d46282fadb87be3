"""What the pure scheduler decides, event by event."""

from __future__ import annotations

import pytest
from core_kit import WINDOW, job, make_core, sent, submit, take

from stoker import errors
from stoker.core.job import Job
from stoker.core.ports import Dropped
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore


def failures(scheduler: SchedulerCore) -> list[tuple[Job, type[Exception]]]:
    return [(a.job, type(a.error)) for a in take(scheduler) if isinstance(a, actions.Fail)]


def answer(scheduler: SchedulerCore, worker: int, batch: int, count: int = 1, now: float = 0.0) -> None:
    scheduler.done(worker, batch, [Chunk(b"ok")] * count, now)
    scheduler.dispatch(now)


def wake(scheduler: SchedulerCore) -> float | None:
    """When the core has something to do next; the shell's timer, which is cheaper to know, is never later."""
    at = scheduler.next_wake()
    assert at is None or scheduler.wake_at <= at
    return at


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


def test_a_full_queue_refuses_and_counts_only_jobs_that_wait() -> None:
    scheduler = make_core(job_queue_size=2)
    submit(scheduler, 3)
    with pytest.raises(errors.QueueFull, match=r'Model "m" has no worker'):
        submit(scheduler)
    assert scheduler.queue_status().pending == 2 and scheduler.queue_status().remaining == 0


def test_a_model_scaled_to_zero_refuses_and_tells_those_who_wait() -> None:
    scheduler = make_core(workers=0)
    (waiting,) = submit(scheduler)
    scheduler.pool_status(0, None, 1.0)
    assert failures(scheduler) == [(waiting, errors.NoWorkers)]
    with pytest.raises(errors.NoWorkers):
        submit(scheduler)


def test_jobs_wait_for_a_worker_that_starts_and_learn_the_cause_when_it_cannot() -> None:
    scheduler = make_core(workers=0)
    (waiting,) = submit(scheduler)
    assert failures(scheduler) == []
    scheduler.pool_status(1, errors.WorkerDied("exit code 1"), 1.0)
    assert failures(scheduler) == [(waiting, errors.WorkersUnavailable)]
    with pytest.raises(errors.WorkersUnavailable, match="exit code 1"):
        submit(scheduler)


def test_in_torchserves_mode_jobs_wait_for_workers_that_cannot_start() -> None:
    scheduler = make_core(workers=0, give_up=True)
    scheduler.pool_status(1, errors.WorkerDied("exit code 1"), 1.0)
    submit(scheduler)
    assert failures(scheduler) == [] and scheduler.queue_status().pending == 1


def test_a_job_whose_deadline_passed_is_refused_and_one_that_expires_in_the_queue_is_never_sent() -> None:
    scheduler = make_core()
    with pytest.raises(errors.DeadlineExceeded):
        submit(scheduler, now=5.0, deadline=5.0)
    submit(scheduler)
    (late,) = submit(scheduler, deadline=2.0)
    assert wake(scheduler) == 2.0
    take(scheduler)
    scheduler.on_time(2.0)
    assert failures(scheduler) == [(late, errors.DeadlineExceeded)]
    answer(scheduler, 0, 1, now=3.0)
    assert sent(scheduler) == []


def test_a_deadline_that_passes_while_the_job_runs_answers_and_tells_the_worker() -> None:
    scheduler = make_core()
    (_late,) = submit(scheduler, deadline=2.0)
    take(scheduler)
    scheduler.on_time(2.0)
    done = take(scheduler)
    assert [type(a) for a in done] == [actions.Fail, actions.CancelInWorker]
    answer(scheduler, 0, 1, now=3.0)
    assert take(scheduler) == [], "the late answer is harmless"


def test_a_cancelled_job_leaves_the_queue_at_once_and_makes_room() -> None:
    scheduler = make_core(job_queue_size=1)
    _, waiting = submit(scheduler, 2)
    scheduler.cancel(waiting, 1.0)
    assert scheduler.queue_status().pending == 0
    submit(scheduler)
    scheduler.cancel(waiting, 1.0)
    assert len([1 for j, _ in failures(scheduler) if j is waiting]) == 1


def test_only_the_batch_that_a_dead_worker_had_begun_fails_and_the_rest_runs_elsewhere() -> None:
    scheduler = make_core()
    submit(scheduler, now=0.0)
    answer(scheduler, 0, 1, now=0.0001)
    take(scheduler)
    jobs = submit(scheduler, 4, now=0.001)  # batches 2..5, three of them ahead
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied("killed"), 3, 0.002)
    assert failures(scheduler) == [(jobs[1], errors.WorkerDied)]
    scheduler.worker_ready(7)
    scheduler.dispatch(0.003)
    again = [a.batch.jobs[0] for a in take(scheduler) if isinstance(a, actions.Send)]
    assert again == [jobs[0]], "in their old order; the answer of the first was lost with the worker"
    assert scheduler.queue_status().pending == 2


def dies_before_it_begins(scheduler: SchedulerCore, worker: int) -> list[list[Job]]:
    """The worker dies with batches that it had not begun; another is ready. Returns the batches that are sent then."""
    take(scheduler)
    scheduler.worker_lost(worker, errors.WorkerDied("exit code 1"), 0, 0.0)
    scheduler.worker_ready(worker + 1)
    scheduler.dispatch(0.0)
    return [list(a.batch.jobs) for a in scheduler.actions if isinstance(a, actions.Send)]


def test_a_job_that_cost_two_workers_before_they_began_it_is_answered_with_the_cause() -> None:
    scheduler = make_core()
    (poison,) = submit(scheduler)
    assert dies_before_it_begins(scheduler, 0) == [[poison]]
    (waits,) = submit(scheduler)
    assert dies_before_it_begins(scheduler, 1) == [[waits]]
    assert failures(scheduler) == [(poison, errors.WorkerDied)]


def test_jobs_that_shared_a_batch_with_the_one_that_killed_its_worker_are_sent_again_one_by_one() -> None:
    scheduler = make_core(batch_size=3)
    poison, *innocent = submit(scheduler, 3)
    assert dies_before_it_begins(scheduler, 0) == [[poison]]
    assert dies_before_it_begins(scheduler, 1) == [[innocent[0]]]
    assert failures(scheduler) == [(poison, errors.WorkerDied)]
    answer(scheduler, 2, 3)
    assert sent(scheduler) == [(2, 1)]
    answer(scheduler, 2, 4)
    assert scheduler.drained and not failures(scheduler)


def test_a_job_that_waited_behind_the_batch_that_failed_is_not_suspected() -> None:
    scheduler = make_core()
    submit(scheduler)
    answer(scheduler, 0, 1, now=0.0001)
    first, behind = submit(scheduler, 2, now=0.001)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied("killed"), 2, 0.002)
    assert failures(scheduler) == [(first, errors.WorkerDied)]
    scheduler.worker_ready(1)
    scheduler.dispatch(0.002)
    assert not behind.alone
    assert dies_before_it_begins(scheduler, 1) == [[behind]], "only now it is suspected"


def test_of_a_worker_that_is_lost_with_its_node_only_the_batch_whose_turn_it_was_fails() -> None:
    """Nobody can tell what it had begun; but it begins no batch before the one in front is over."""
    scheduler = make_core()
    submit(scheduler, now=0.0)
    answer(scheduler, 0, 1, now=0.0001)
    take(scheduler)
    running, *ahead = submit(scheduler, 4, now=0.001)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied("gone"), None, 1.0)
    assert failures(scheduler) == [(running, errors.WorkerDied)]
    assert scheduler.queue_status().pending == len(ahead) == 3


def test_a_worker_that_is_lost_with_its_node_while_it_holds_nothing_fails_nothing() -> None:
    scheduler = make_core()
    submit(scheduler)
    answer(scheduler, 0, 1)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied("gone"), None, 1.0)
    assert not failures(scheduler)


def test_a_stream_that_was_partly_delivered_is_never_run_again() -> None:
    scheduler = make_core()
    (stream,) = submit(scheduler, streaming=True, alone=True)
    scheduler.parts(0, 1, [[Chunk(b"a")]], 0.1)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied("gone"), 0, 1.0)
    assert failures(scheduler) == [(stream, errors.WorkerDied)]


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


@pytest.mark.parametrize("outcomes", [[], [Chunk(b"a"), Chunk(b"b")]])
def test_a_worker_that_answers_with_the_wrong_count_is_restarted(outcomes: list[Chunk]) -> None:
    scheduler = make_core()
    submit(scheduler)
    take(scheduler)
    scheduler.done(0, 1, outcomes, 1.0)
    assert [type(a) for a in take(scheduler)] == [actions.Restart]


def test_a_worker_that_answers_an_unknown_batch_is_restarted_and_a_forgotten_worker_is_ignored() -> None:
    scheduler = make_core()
    scheduler.done(0, 99, [Chunk(b"a")], 1.0)
    assert [type(a) for a in take(scheduler)] == [actions.Restart]
    scheduler.done(5, 1, [Chunk(b"a")], 1.0)
    assert take(scheduler) == []


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


def test_a_draining_worker_finishes_what_it_holds_and_gets_nothing_new() -> None:
    scheduler = make_core(workers=2)
    submit(scheduler, 2)
    take(scheduler)
    scheduler.worker_draining(0)
    submit(scheduler, 1)
    assert not scheduler.idle(0)
    answer(scheduler, 0, 1, now=1.0)
    assert scheduler.idle(0) and sent(scheduler) == []
    answer(scheduler, 1, 2, now=1.0)
    assert sent(scheduler) == [(1, 1)]


def test_after_admission_closed_what_was_accepted_is_still_served() -> None:
    scheduler = make_core()
    submit(scheduler, 2)
    scheduler.close_admission(errors.ServerStopping())
    with pytest.raises(errors.ServerStopping):
        submit(scheduler)
    answer(scheduler, 0, 1, now=1.0)
    assert not scheduler.drained
    answer(scheduler, 0, 2, now=2.0)
    assert scheduler.drained


def test_fail_all_answers_waiting_and_running_jobs() -> None:
    scheduler = make_core()
    jobs = submit(scheduler, 3)
    take(scheduler)
    scheduler.fail_all(errors.ModelUnregistered(model="m"), 1.0)
    assert sorted(j.id for j, _ in failures(scheduler)) == sorted(j.id for j in jobs)


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


def test_a_job_for_a_sleeping_model_wakes_it_and_waits_as_long_as_its_deadline() -> None:
    scheduler = make_core(0)
    scheduler.may_sleep(True, 0.0)
    scheduler.pool_status(0, None, 0.0)
    (late,) = submit(scheduler, deadline=1.0)
    (patient,) = submit(scheduler)
    assert actions.Wake() in take(scheduler)
    scheduler.pool_status(1, None, 0.1)
    scheduler.on_time(1.0)
    assert failures(scheduler) == [(late, errors.DeadlineExceeded)]
    scheduler.worker_ready(7)
    scheduler.dispatch(2.0)
    assert sent(scheduler) == [(7, 1)]
    assert patient.place is not late.place


@pytest.mark.parametrize("leaves", [True, False])
def test_a_job_that_is_over_before_its_turn_ends_wakes_nobody(leaves: bool) -> None:
    """Its client has left, or its deadline has come: a worker would start for nothing."""
    scheduler = make_core(0)
    scheduler.may_sleep(True, 0.0)
    scheduler.pool_status(0, None, 0.0)
    gone = job(deadline=1.0)
    scheduler.submit(gone, 0.0)
    if leaves:
        scheduler.cancel(gone, 0.0)
    scheduler.dispatch(0.0 if leaves else 1.0)
    assert actions.Wake() not in take(scheduler)


def test_what_a_stopping_worker_had_not_begun_wakes_the_model_that_fell_asleep() -> None:
    scheduler = make_core(1)
    scheduler.may_sleep(True, 0.0)
    submit(scheduler)
    scheduler.worker_draining(0)
    scheduler.pool_status(0, None, 0.0)
    take(scheduler)
    scheduler.worker_lost(0, errors.WorkerDied(), 0, 0.0)
    scheduler.dispatch(0.0)
    assert take(scheduler) == [actions.Wake()]
    assert scheduler.queue_status().pending == 1


def test_jobs_that_wait_for_a_waking_model_fail_when_it_is_scaled_to_nothing() -> None:
    """Nobody would start a worker for them: they would wait for ever."""
    scheduler = make_core(0)
    scheduler.may_sleep(True, 0.0)
    scheduler.pool_status(0, None, 0.0)
    (one,) = submit(scheduler)
    scheduler.pool_status(1, None, 0.0)
    scheduler.pool_status(0, None, 1.0)
    scheduler.may_sleep(False, 1.0)
    assert failures(scheduler) == [(one, errors.NoWorkers)]


def test_jobs_of_a_woken_model_whose_worker_cannot_start_fail_with_the_cause() -> None:
    scheduler = make_core(0)
    scheduler.may_sleep(True, 0.0)
    scheduler.pool_status(0, None, 0.0)
    (one,) = submit(scheduler)
    scheduler.pool_status(1, None, 0.0)
    scheduler.pool_status(1, errors.WorkerDied("exit code 7"), 1.0)
    assert failures(scheduler) == [(one, errors.WorkersUnavailable)]


def test_the_load_counts_what_waits_runs_and_has_ended() -> None:
    scheduler = make_core(2)
    submit(scheduler, 3, now=1.0)
    scheduler.done(0, 1, [Chunk(b"ok")], 1.5, 0.4)
    load = scheduler.load(2.0)
    assert (load.waiting, load.oldest_wait_s, load.running, load.busy) == (1, 1.0, 1, 1)
    assert load.ended == 1
    assert load.handled == pytest.approx((1, 1, 1, 0.4, 0.4, 0.16))
