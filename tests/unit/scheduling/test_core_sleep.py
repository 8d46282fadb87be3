"""Jobs for a model without workers wake it, and wait."""

from __future__ import annotations

import pytest
from core_kit import failures, job, make_core, sent, submit, take

from stoker import errors
from stoker.scheduling import actions


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
def test_a_job_that_is_over_before_its_turn_ends_wakes_no_worker(leaves: bool) -> None:
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
    """Nobody would start a worker for them: they would wait forever."""
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
