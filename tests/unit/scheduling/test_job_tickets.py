"""With ``useJobTicket`` a request is begun in the turn in which it came, or refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import core_kit
import pytest
from core_kit import job, make_core, submit

from stoker import errors
from stoker.core.job import Job
from stoker.core.measures import ModelCounters
from stoker.core.reply import Chunk
from stoker.core.sequences import Membership, SequenceLimits, in_sequence
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore

LIMITS = SequenceLimits(max_idle_s=10.0, most=4, waiting=5)


def tickets(workers: int = 1, **changes: Any) -> SchedulerCore:
    return make_core(workers, job_tickets=True, **changes)


def sent(scheduler: SchedulerCore) -> list[tuple[int, int]]:
    """(worker, number of jobs) of each batch that left; nothing was refused."""
    assert not any(isinstance(action, actions.Fail) for action in scheduler.actions)
    return core_kit.sent(scheduler)


def refused(scheduler: SchedulerCore) -> list[Job]:
    failed = [action for action in scheduler.actions if isinstance(action, actions.Fail)]
    scheduler.actions = []
    assert {type(action.error) for action in failed} <= {errors.NoJobTicket}
    return [action.job for action in failed]


def test_what_an_idle_worker_begins_is_accepted_and_the_rest_refused_at_once() -> None:
    scheduler = tickets(batch_size=2)
    jobs = submit(scheduler, 3)
    assert refused(scheduler) == jobs[2:]
    assert scheduler.queue_status().pending == 0


def test_all_rows_of_idle_workers_are_tickets() -> None:
    """TorchServe issues one ticket per batch, so that its batches never form."""
    scheduler = tickets(2, batch_size=4)
    submit(scheduler, 8)
    assert sent(scheduler) == [(0, 4), (1, 4)]


def test_a_busy_worker_has_no_ticket_and_gets_nothing_ahead() -> None:
    scheduler = tickets()
    for number in range(1, 6):  # short batches, which would be sent ahead without tickets
        submit(scheduler, now=number * 0.001)
        scheduler.done(0, number, [Chunk(b"")], number * 0.001 + 0.0001)
    submit(scheduler, now=1.0)
    scheduler.actions.clear()
    late = submit(scheduler, now=1.1)
    assert refused(scheduler) == late


def test_the_ticket_comes_back_with_the_answer() -> None:
    scheduler = tickets()
    submit(scheduler)
    scheduler.done(0, 1, [Chunk(b"")], 1.0)
    scheduler.actions.clear()
    submit(scheduler, now=1.0)
    assert sent(scheduler) == [(0, 1)]


def test_a_stream_takes_all_tickets_of_its_worker() -> None:
    scheduler = tickets(batch_size=4)
    stream, other = job(streaming=True, alone=True), job()
    for each in (stream, other):
        scheduler.submit(each, 0.0)
    scheduler.dispatch(0.0)
    assert refused(scheduler) == [other]


def test_a_free_slot_is_a_ticket_where_requests_join() -> None:
    scheduler = tickets(batch_size=2, continuous=True)
    submit(scheduler)
    submit(scheduler)
    scheduler.actions.clear()
    late = submit(scheduler)
    assert refused(scheduler) == late
    scheduler.done(0, 2, [Chunk(b"")], 1.0)
    scheduler.actions.clear()
    submit(scheduler, now=1.0)
    assert sent(scheduler) == [(0, 1)]


def test_a_job_that_its_dead_worker_never_began_had_its_ticket_and_waits() -> None:
    scheduler = tickets()
    (begun_by_nobody,) = submit(scheduler)
    scheduler.actions.clear()
    scheduler.worker_lost(0, errors.WorkerDied(), 0, 1.0)
    scheduler.dispatch(1.0)
    assert refused(scheduler) == []
    scheduler.worker_ready(0)
    scheduler.dispatch(2.0)
    assert [a.batch.jobs for a in scheduler.actions if isinstance(a, actions.Send)] == [[begun_by_nobody]]


def test_refusals_are_counted_as_such() -> None:
    counters = ModelCounters()
    scheduler = tickets(counters=counters)
    submit(scheduler, 2, totals=counters.by_default)
    assert (counters.refused, counters.failed) == (1, 0)


def test_the_refusal_has_torchserves_text() -> None:
    scheduler = tickets()
    submit(scheduler, 2)
    (error,) = [a.error for a in scheduler.actions if isinstance(a, actions.Fail)]
    assert 'Model "m" has no worker to serve inference request.' in str(error)


# ------------------------------------------------------------------------------------------- sequences


def of_sequence(scheduler: SchedulerCore, names: Sequence[str], *, ends: bool = False, now: float = 0.0) -> list[Job]:
    jobs: list[Job] = []
    for name in names:
        jobs.append(in_sequence(job(), LIMITS, Membership(name, starts=False, ends=ends), "new"))
        scheduler.submit(jobs[-1], now)
    scheduler.dispatch(now)
    return jobs


def test_a_new_sequence_needs_any_idle_worker_a_known_one_its_own() -> None:
    scheduler = tickets(2, sequences=LIMITS)
    of_sequence(scheduler, ["a"])
    scheduler.actions.clear()
    of_sequence(scheduler, ["b"])
    assert sent(scheduler) == [(1, 1)]
    assert len(refused_after(scheduler, ["c"])) == 1
    assert len(refused_after(scheduler, ["a"])) == 1


def refused_after(scheduler: SchedulerCore, names: Sequence[str], *, ends: bool = False) -> list[Job]:
    of_sequence(scheduler, names, ends=ends)
    return refused(scheduler)


@pytest.mark.parametrize("ends", [False, True])
def test_a_refused_request_leaves_its_sequence_as_it_was(ends: bool) -> None:
    scheduler = tickets(sequences=LIMITS)
    of_sequence(scheduler, ["a"])
    scheduler.actions.clear()
    assert len(refused_after(scheduler, ["a"], ends=ends)) == 1
    scheduler.done(0, 1, [Chunk(b"")], 1.0)
    scheduler.actions.clear()
    of_sequence(scheduler, ["a"], now=1.0)
    assert sent(scheduler) == [(0, 1)]


def test_a_refused_newcomer_leaves_no_sequence_behind() -> None:
    scheduler = tickets(sequences=LIMITS)
    of_sequence(scheduler, ["a"])
    scheduler.actions.clear()
    for number in range(10):
        assert len(refused_after(scheduler, [f"new{number}"])) == 1
