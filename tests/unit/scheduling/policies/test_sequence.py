"""What happens to sequences, event by event, through the scheduler's core."""

from __future__ import annotations

from typing import Any

import pytest

from stoker import errors
from stoker.core.job import Input, Job, ModelKey
from stoker.core.model import ModelSpec
from stoker.core.ports import Dropped, Outcome
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.sequences import OPENED, Membership, SequenceJob, SequenceLimits, in_sequence
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore

KEY = ModelKey("m", "1.0")
OK = Chunk(b"ok")
DIED = errors.WorkerDied("exit code 3")


class Rig:
    """A core with workers 0, 1, ..., a clock, and what it has done."""

    def __init__(self, workers: int = 1, *, batch_size: int = 4, batching: str = "adaptive", **limits: Any) -> None:
        self.limits = SequenceLimits(**{"max_idle_s": 10.0, "most": 9, "waiting": 9, **limits})
        spec = ModelSpec(
            key=KEY,
            url="m.mar",
            model_dir="",
            handler="h",
            batch_size=batch_size,
            batching=batching,
            max_batch_delay_s=0.5,
            sequences=self.limits,
        )
        self.core = SchedulerCore(spec, stream_window_bytes=100, stream_stall_timeout_s=30.0, max_joined_bytes=1000)
        self.core.pool_status(max(1, workers), None, 0.0)
        for number in range(workers):
            self.core.worker_ready(number)
        self.now = 0.0
        self.errors: dict[Job, errors.ServingError] = {}
        self.drained: list[int] = []

    def job(self, id: str, *, starts: bool = False, ends: bool = False, **options: Any) -> Job:
        plain = Job(KEY, [Input("data", "", b"x")], **options)
        return in_sequence(plain, self.limits, Membership(id, starts, ends), "generated")

    def submit(self, *ids: str, **options: Any) -> list[Job]:
        jobs = [self.job(id, **options) for id in ids]
        for job in jobs:
            self.core.submit(job, self.now)
        return jobs

    def turn(self) -> list[tuple[int, str]]:
        """Ends the turn; returns worker and ids of each batch that left."""
        self.core.dispatch(self.now)
        return self.sent()

    def sent(self) -> list[tuple[int, str]]:
        done, self.core.actions = self.core.actions, []
        self.errors.update({action.job: action.error for action in done if isinstance(action, actions.Fail)})
        self.drained += [action.worker for action in done if isinstance(action, actions.Drained)]
        return [(a.worker, ids(a.batch.jobs)) for a in done if isinstance(a, actions.Send)]

    def answer(self, worker: int = 0, *outcomes: Outcome) -> list[tuple[int, str]]:
        flight = self.core._workers[worker].flights[0]
        self.core.done(worker, flight.id, outcomes or [OK] * len(flight.jobs), self.now)
        return self.turn()

    def wait(self, seconds: float) -> list[tuple[int, str]]:
        self.now += seconds
        self.core.on_time(self.now)
        return self.sent()

    def lose(self, worker: int, *, begun: bool) -> list[tuple[int, str]]:
        flights = self.core._workers[worker].flights
        self.core.worker_lost(worker, DIED, flights[0].id if begun and flights else 0, self.now)
        return self.turn()


def ids(jobs: list[Job]) -> str:
    return "".join(job.member.id if isinstance(job, SequenceJob) else "-" for job in jobs)


def refused(rig: Rig, id: str, **options: Any) -> type[Exception]:
    with pytest.raises(errors.ServingError) as error:
        rig.submit(id, **options)
    return type(error.value)


# -------------------------------------------------------------------------------------------- who goes where


def test_a_sequence_has_one_job_in_flight_and_one_row_in_a_batch() -> None:
    rig = Rig()
    rig.submit("a", "a", "b")
    assert rig.turn() == [(0, "ab")]
    assert rig.answer() == [(0, "a")]


def test_a_sequence_stays_with_its_worker_though_another_is_idle() -> None:
    rig = Rig(workers=2, batch_size=1)
    rig.submit("a", "b")
    assert rig.turn() == [(0, "a"), (1, "b")]
    rig.submit("a")
    assert rig.answer(1) == []
    assert rig.answer(0) == [(0, "a")]


def test_a_worker_is_held_until_its_sequences_are_closed_or_it_drains() -> None:
    rig = Rig(workers=2, batch_size=1, max_idle_s=10.0)
    assert rig.core.load(0.0).held == 0
    rig.submit("a")
    rig.turn()
    rig.answer(0)
    assert rig.core.load(0.0).held == 1
    rig.wait(10.5)
    assert rig.core.load(rig.now).held == 0
    rig.submit("a")
    rig.turn()
    rig.answer(0)
    rig.core.worker_draining(0)
    assert rig.core.load(rig.now).held == 0


def test_new_sequences_are_spread_over_idle_workers() -> None:
    rig = Rig(workers=2)
    rig.submit("a", "b", "c", "d")
    assert sorted(rig.turn()) == [(0, "ab"), (1, "cd")]


def test_a_new_sequence_goes_to_the_worker_that_has_fewest() -> None:
    rig = Rig(workers=2)
    rig.submit("a", "b", "c")
    rig.turn()
    rig.answer(0)
    rig.answer(1)
    rig.submit("d")
    assert rig.turn() == [(1, "d")]


def test_more_sequences_than_rows_take_turns_by_age() -> None:
    """An open sequence keeps no row: upstream the third would wait until one of the others closes."""
    rig = Rig(batch_size=2)
    rig.submit("a", "b", "c", "a")
    assert rig.turn() == [(0, "ab")]
    assert rig.answer() == [(0, "ca")]


def test_a_description_is_no_sequence_and_goes_alone() -> None:
    rig = Rig(most=1)
    rig.submit("a")
    rig.core.submit(Job(KEY, [], alone=True), 0.0)
    assert rig.turn() == [(0, "a")]
    assert rig.answer() == [(0, "-")]
    rig.answer()
    rig.wait(10.0)
    assert rig.core.drained and not rig.core._policy.holds(rig.core._workers[0])


def test_fixed_batching_waits_for_rows_or_the_delay() -> None:
    rig = Rig(batching="fixed", batch_size=2)
    rig.submit("a")
    assert rig.turn() == []
    assert rig.wait(0.5) == [(0, "a")]
    rig.answer()
    rig.submit("a", "b")
    assert rig.turn() == [(0, "ab")]


# ---------------------------------------------------------------------------------------- what handlers see


def test_the_first_job_that_reaches_a_worker_opens_the_sequence() -> None:
    rig = Rig()
    gone, first, second = rig.submit("a", "a", "a")
    rig.core.cancel(gone, 0.0)
    rig.turn()
    rig.answer()
    assert [OPENED in job.headers for job in (gone, first, second)] == [False, True, False]


def test_a_job_that_the_worker_left_out_has_not_opened_it() -> None:
    rig = Rig()
    first, second = rig.submit("a", "a")
    rig.turn()
    rig.answer(0, Dropped.DROPPED)
    assert OPENED in second.headers
    assert isinstance(rig.errors[first], errors.DeadlineExceeded)


# ---------------------------------------------------------------------------------------------------- limits


def test_more_sequences_than_may_be_open_are_refused_until_one_closes() -> None:
    rig = Rig(most=2)
    rig.submit("a", "b")
    rig.turn()
    assert refused(rig, "c") is errors.TooManySequences
    rig.answer()
    rig.wait(10.0)
    rig.submit("c")
    assert rig.turn() == [(0, "c")]


def test_of_five_requests_one_runs_two_wait_and_two_are_refused() -> None:
    rig = Rig(waiting=2)
    rig.submit("a", "a", "a")
    assert refused(rig, "a") is errors.SequenceQueueFull
    assert rig.turn() == [(0, "a")]
    assert refused(rig, "a") is errors.SequenceQueueFull
    assert rig.answer() == [(0, "a")]
    rig.submit("a")


def test_refused_jobs_leave_nothing() -> None:
    rig = Rig(most=1, waiting=1)
    rig.submit("a", "a")
    refused(rig, "a")
    refused(rig, "b")
    assert rig.core.queue_status().pending == 2


def test_unknown_ids_are_refused_where_the_model_config_says_so() -> None:
    rig = Rig(refuse_unknown=True)
    assert refused(rig, "a") is errors.SequenceClosed
    rig.submit("a", starts=True)
    rig.submit("a")
    rig.turn()
    rig.answer()
    rig.answer()
    rig.wait(10.0)
    assert refused(rig, "a") is errors.SequenceClosed


# ------------------------------------------------------------------------------------------------------ life


def test_a_sequence_is_idle_from_its_newest_answer_on() -> None:
    rig = Rig(most=1)
    rig.submit("a")
    rig.turn()
    rig.now = 30.0  # it runs all the while
    rig.answer()
    assert rig.core.next_wake() == 40.0
    rig.wait(9.9)
    assert refused(rig, "b") is errors.TooManySequences
    rig.wait(0.1)
    rig.submit("b")


def test_a_limit_that_has_passed_counts_before_the_timer_has_come() -> None:
    rig = Rig(most=1)
    rig.submit("a")
    rig.turn()
    rig.answer()
    rig.now = 10.0
    rig.submit("b")


def test_life_ends_when_a_sequence_has_nothing_to_do_and_not_before() -> None:
    rig = Rig(most=1, max_life_s=5.0)
    rig.submit("a", "a")
    rig.turn()
    rig.now = 6.0
    assert rig.answer() == [(0, "a")]  # it waited already
    rig.answer()
    rig.submit("b")
    assert rig.turn() == [(0, "b")]


def test_a_sequence_that_is_opened_again_goes_back_to_its_worker() -> None:
    rig = Rig(workers=2, batch_size=1)
    rig.submit("a", "b")
    rig.turn()
    rig.answer(0)
    rig.answer(1)
    rig.wait(10.0)
    (again,) = rig.submit("b")
    assert rig.turn() == [(1, "b")]
    assert OPENED in again.headers


# ------------------------------------------------------------------------------------------------------- end


def test_the_end_flag_closes_a_sequence_after_the_answer() -> None:
    rig = Rig(most=1)
    rig.submit("a", "a", ends=False)
    rig.submit("a", ends=True)
    assert refused(rig, "a") is errors.SequenceClosed
    rig.turn()
    rig.answer()
    assert refused(rig, "b") is errors.TooManySequences
    rig.answer()
    rig.answer()
    rig.submit("b")


@pytest.mark.parametrize("header", ["ts_request_sequence_end", "TS_REQUEST_SEQUENCE_END"])
def test_a_handler_ends_sequences_and_their_waiting_jobs_are_answered(header: str) -> None:
    """Upstream those would never be answered."""
    rig = Rig(most=2)
    rig.submit("a", "b")
    (late,) = rig.submit("b")
    rig.turn()
    meta = ResponseMeta(headers={header: " b ; unknown;"})
    rig.answer(0, Chunk(b"ok", meta), OK)
    assert isinstance(rig.errors[late], errors.SequenceClosed)
    rig.submit("c")
    assert refused(rig, "d") is errors.TooManySequences


def test_a_handler_that_fails_leaves_the_sequence_open() -> None:
    rig = Rig()
    rig.submit("a", "a")
    rig.turn()
    assert rig.answer(0, errors.HandlerRaised()) == [(0, "a")]


def test_a_waiting_job_that_is_cancelled_frees_its_place_in_the_sequence() -> None:
    rig = Rig(waiting=1)
    _, waiting = rig.submit("a", "a")
    rig.turn()
    rig.core.cancel(waiting, 0.0)
    rig.submit("a")


def test_a_sequence_of_which_nothing_began_is_forgotten_with_its_last_job() -> None:
    rig = Rig(workers=0, most=1)
    (only,) = rig.submit("a")
    rig.core.cancel(only, 0.0)
    rig.submit("b")


# ----------------------------------------------------------------------------------------------------- workers


def test_a_lost_worker_closes_the_sequences_whose_state_it_had() -> None:
    rig = Rig(workers=2, batch_size=1)
    running, _, waiting = rig.submit("a", "b", "a")
    rig.turn()
    assert rig.lose(0, begun=True) == []
    assert rig.errors[running] is rig.errors[waiting] is DIED
    (again,) = rig.submit("a")
    assert rig.answer(1) == [(1, "a")]
    assert OPENED in again.headers


def test_a_sequence_that_the_lost_worker_had_not_begun_goes_elsewhere() -> None:
    rig = Rig(workers=2, batch_size=1)
    (job,) = rig.submit("a")
    rig.turn()
    assert rig.lose(0, begun=False) == [(1, "a")]
    assert job not in rig.errors
    assert OPENED in job.headers


def test_all_places_are_free_after_all_workers_were_lost() -> None:
    rig = Rig(workers=2, most=2)
    rig.submit("a", "b")
    rig.turn()
    rig.answer(0)
    rig.lose(0, begun=True)
    rig.lose(1, begun=True)
    rig.core.worker_ready(2)
    rig.submit("c", "d")
    assert rig.turn() == [(2, "cd")]


def test_a_draining_worker_serves_its_sequences_until_they_close() -> None:
    rig = Rig(workers=2, batch_size=1)
    rig.submit("a", "b")
    rig.turn()
    rig.answer(0)
    rig.core.worker_draining(0)
    assert not rig.core.idle(0)
    rig.submit("a", "c")
    assert rig.turn() == [(0, "a")]  # nothing new is begun there
    rig.answer(0)
    rig.wait(10.0)
    assert rig.core.idle(0)
    assert rig.drained == [0]
