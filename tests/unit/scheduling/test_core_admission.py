"""Who is accepted, who is refused and why, and what becomes of jobs whose caller or time is gone."""

from __future__ import annotations

import pytest
from core_kit import answer, failures, make_core, sent, submit, take, wake

from stoker import errors
from stoker.core.reply import Chunk
from stoker.scheduling import actions


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


def test_the_load_counts_what_waits_runs_and_has_ended() -> None:
    scheduler = make_core(2)
    submit(scheduler, 3, now=1.0)
    scheduler.done(0, 1, [Chunk(b"ok")], 1.5, 0.4)
    load = scheduler.load(2.0)
    assert (load.waiting, load.oldest_wait_s, load.running, load.busy) == (1, 1.0, 1, 1)
    assert load.ended == 1
    assert load.handled == pytest.approx((1, 1, 1, 0.4, 0.4, 0.16))
