"""Why a model cannot serve a job at all, and which reason counts first."""

from __future__ import annotations

import pytest

from stoker import errors
from stoker.core.job import Input, Job, ModelKey
from stoker.core.model import ModelSpec
from stoker.scheduling.admission import Admission

SPEC = ModelSpec(key=ModelKey("m", "2.0"), url="m.mar", model_dir="", handler="h")
BROKEN = errors.WorkerDied("exit code 7")
STOPPING = errors.ServerStopping()


def admission(configured: int = 2, failure: errors.ServingError | None = None, *, give_up: bool = False) -> Admission:
    it = Admission(SPEC, give_up)
    it.pool_status(configured, failure)
    return it


def refusal(it: Admission, *, deadline: float | None = None, now: float = 5.0) -> str:
    """The class of the error, "" where there is none."""
    try:
        it.check(Job(SPEC.key, [Input("data", "", b"")], deadline=deadline), now)
    except errors.ServingError as error:
        return type(error).__name__
    return ""


def test_a_model_with_workers_takes_jobs() -> None:
    assert refusal(admission()) == ""
    assert admission().open


def test_before_the_pool_has_reported_anything_there_are_no_workers() -> None:
    it = Admission(SPEC)
    assert not it.open
    assert refusal(it) == "NoWorkers"


@pytest.mark.parametrize(
    ("named", "subject"), [("2.0", 'Model "m" Version 2.0"'), ("", 'Model "m"'), (None, 'Model "m"')]
)
def test_the_version_is_named_only_where_the_request_named_it(named: str | None, subject: str) -> None:
    job = Job(SPEC.key, [], named_version=named)
    with pytest.raises(errors.NoWorkers) as refused:
        admission(0).check(job, 5.0)
    assert refused.value.message.startswith(f"{subject} has no worker to serve inference request.")


def test_jobs_that_wait_for_a_model_scaled_to_zero_learn_its_version() -> None:
    refused = admission(0).workers_error()
    assert isinstance(refused, errors.NoWorkers)
    assert refused.message.startswith('Model "m" Version 2.0" has no worker to serve inference request.')


def test_workers_that_cannot_start_refuse_with_their_cause_once() -> None:
    refused = admission(2, BROKEN).refusal()
    assert isinstance(refused, errors.WorkersUnavailable)
    assert refused.message == 'Model "m" cannot be served now because its workers fail to start: exit code 7'


def test_by_torchserves_rule_jobs_wait_for_workers_that_cannot_start_but_not_for_none() -> None:
    assert refusal(admission(2, BROKEN, give_up=True)) == ""
    assert refusal(admission(0, None, give_up=True)) == "NoWorkers"


def test_a_model_that_recovers_takes_jobs_again() -> None:
    it = admission(2, BROKEN)
    assert not it.open
    it.pool_status(2, None)
    assert it.open
    assert refusal(it) == ""


@pytest.mark.parametrize(("configured", "failure"), [(2, None), (0, None), (2, BROKEN)])
def test_what_closed_the_model_counts_before_everything_else_and_for_ever(
    configured: int, failure: errors.ServingError | None
) -> None:
    it = admission(configured, failure)
    it.close(STOPPING)
    assert it.refusal() is STOPPING
    it.pool_status(2, None)
    assert not it.open
    assert refusal(it, deadline=1.0) == "ServerStopping"


def test_a_closed_model_can_still_serve_jobs_that_it_has_accepted() -> None:
    it = admission()
    it.close(STOPPING)
    assert it.workers_error() is None


@pytest.mark.parametrize(("deadline", "refused"), [(4.9, "DeadlineExceeded"), (5.0, "DeadlineExceeded"), (5.1, "")])
def test_a_deadline_that_has_come_is_too_late(deadline: float, refused: str) -> None:
    assert refusal(admission(), deadline=deadline, now=5.0) == refused


def test_a_model_that_cannot_serve_says_so_before_it_looks_at_the_deadline() -> None:
    assert refusal(admission(0), deadline=1.0) == "NoWorkers"
    assert refusal(admission(2, BROKEN), deadline=1.0) == "WorkersUnavailable"


def test_a_sleeping_model_takes_a_job() -> None:
    it = admission(0)
    it.may_sleep(True)
    assert it.asleep
    assert it.workers_error() is None
    it.check(Job(SPEC.key, ()), 5.0)
    it.pool_status(1, None)
    assert not it.asleep
    assert it.open
    it.check(Job(SPEC.key, ()), 5.0)


def test_a_model_that_no_longer_may_sleep_refuses_jobs_without_workers() -> None:
    it = admission(0)
    it.may_sleep(True)
    it.may_sleep(False)
    assert refusal(it) == "NoWorkers"


def test_a_sleeping_model_that_leaves_or_a_late_job_is_refused() -> None:
    it = admission(0)
    it.may_sleep(True)
    assert refusal(it, deadline=4.0) == "DeadlineExceeded"
    it.close(STOPPING)
    assert refusal(it) == "ServerStopping"
