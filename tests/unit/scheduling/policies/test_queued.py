"""When a batch leaves under adaptive and fixed batching, and for which worker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stoker import errors
from stoker.core.job import Job, ModelKey, Place
from stoker.core.model import ModelSpec
from stoker.scheduling.flight import Flight, WorkerState
from stoker.scheduling.policies import Policy, policy_of
from stoker.scheduling.policies.adaptive import AdaptivePolicy
from stoker.scheduling.policies.fixed import FixedPolicy

ADAPTIVE = ModelSpec(
    key=ModelKey("m", "1.0"),
    url="m.mar",
    model_dir="",
    handler="h",
    batch_size=8,
    max_batch_delay_s=0.5,
    job_queue_size=3,
)
FIXED = replace(ADAPTIVE, batching="fixed", job_queue_size=100)


def policy(spec: ModelSpec, workers: int = 1) -> Policy:
    it = policy_of(spec)
    for number in range(workers):
        it.worker_ready(WorkerState(number))
    return it


def put(it: Policy, count: int = 1, *, now: float = 0.0, alone: bool = False) -> list[Job]:
    jobs = [Job(ADAPTIVE.key, [], alone=alone) for _ in range(count)]
    for job in jobs:
        it.put(job, now)
    return jobs


def size(it: Policy, now: float) -> int:
    """Jobs in the batch that leaves; 0: none does."""
    batch = it.next_batch(now)
    return len(batch[1]) if batch is not None else 0


def test_the_model_config_chooses_the_policy() -> None:
    assert isinstance(policy_of(ADAPTIVE), AdaptivePolicy)
    assert isinstance(policy_of(FIXED), FixedPolicy)


def test_adaptive_batching_never_waits() -> None:
    it = policy(ADAPTIVE)
    put(it)
    assert size(it, 0.0) == 1
    assert it.wake_at == float("inf")


def test_fixed_batching_waits_the_whole_delay_from_the_moment_a_worker_met_a_job() -> None:
    it = policy(FIXED)
    put(it)
    assert size(it, 3.0) == 0
    put(it)
    assert size(it, 3.4) == 0
    assert it.wake_at == 3.5
    assert size(it, 3.5) == 2


def test_fixed_batching_does_not_wait_for_more_than_a_full_batch() -> None:
    it = policy(FIXED)
    put(it, 7)
    assert size(it, 3.0) == 0
    put(it, 2)
    assert size(it, 3.0) == 8


def test_fixed_batching_does_not_hold_up_a_job_that_travels_alone() -> None:
    it = policy(FIXED)
    put(it, alone=True)
    assert size(it, 3.0) == 1
    assert it.wake_at == float("inf")


def test_the_delay_of_the_next_batch_begins_anew() -> None:
    it = policy(FIXED, workers=2)
    put(it)
    assert size(it, 3.0) == 0
    assert size(it, 3.5) == 1
    put(it)
    assert size(it, 3.6) == 0
    assert it.wake_at == 4.1


def test_fixed_batching_sets_no_timer_while_no_worker_is_idle() -> None:
    """A timer that is due and finds nothing to do would spin."""
    it = policy(FIXED)
    worker = WorkerState(7)
    it.worker_draining(WorkerState(0))
    it.worker_ready(worker)
    put(it)
    assert size(it, 3.0) == 0
    it.worker_draining(worker)
    assert size(it, 3.1) == 0
    assert it.wake_at == float("inf")


def test_a_full_queue_refuses_a_job_and_keeps_nothing_of_it() -> None:
    it = policy(ADAPTIVE, workers=0)
    put(it, 3)
    assert it.remaining == 0
    late = Job(ADAPTIVE.key, [], named_version="1.0")
    with pytest.raises(errors.QueueFull) as refused:
        it.put(late, 0.0)
    assert refused.value.message.startswith('Model "m" Version 1.0" has no worker to serve inference request.')
    assert late.place is Place.NEW
    assert it.waiting == 3


def test_what_idle_workers_take_this_turn_does_not_count_against_the_limit() -> None:
    it = policy(ADAPTIVE)
    put(it, 3 + 8)
    with pytest.raises(errors.QueueFull):
        put(it)


def test_a_draining_worker_does_not_fall_idle() -> None:
    it = policy(ADAPTIVE)
    put(it)
    batch = it.next_batch(0.0)
    assert batch is not None
    worker, jobs = batch
    worker.draining = True
    it.worker_draining(worker)
    it.batch_done(worker, Flight(1, jobs, 0.0), (), 1.0)
    put(it)
    assert it.next_batch(1.0) is None


def test_jobs_that_a_dead_worker_had_not_begun_are_served_first() -> None:
    it = policy(ADAPTIVE)
    first = put(it, 2)
    batch = it.next_batch(0.0)
    assert batch is not None
    put(it)
    assert not list(it.worker_lost(batch[0], [], first, errors.WorkerDied()))
    assert list(it.jobs())[:2] == first
