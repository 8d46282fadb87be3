"""What fails when a worker dies, is lost or breaks the protocol, and what runs elsewhere."""

from __future__ import annotations

import pytest
from core_kit import answer, failures, make_core, sent, submit, take

from stoker import errors
from stoker.core.job import Job
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore


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
