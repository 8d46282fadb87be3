"""A `SchedulerCore` for tests that drive it event by event."""

from __future__ import annotations

from typing import Any

from stoker.core.job import Input, Job, ModelKey
from stoker.core.measures import ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore

KEY = ModelKey("m", "1.0")
WINDOW = 100
TIMEOUT_S = 10.0


def make_core(
    workers: int = 1, *, counters: ModelCounters | None = None, give_up: bool = False, **spec: Any
) -> SchedulerCore:
    """Makes a core whose ``workers`` are ready. ``spec``: of the model, besides its names."""
    scheduler = SchedulerCore(
        ModelSpec(**{"key": KEY, "url": "m.mar", "model_dir": "", "handler": "h", **spec}),
        stream_window_bytes=WINDOW,
        stream_stall_timeout_s=30.0,
        max_joined_bytes=1000,
        counters=counters,
        torchserve_give_up=give_up,
    )
    scheduler.pool_status(max(1, workers), None, 0.0)
    for number in range(workers):
        scheduler.worker_ready(number)
    return scheduler


def job(**options: Any) -> Job:
    return Job(KEY, [Input("data", "", b"x")], **options)


def submit(scheduler: SchedulerCore, count: int = 1, now: float = 0.0, **options: Any) -> list[Job]:
    jobs = [job(**options) for _ in range(count)]
    for one in jobs:
        scheduler.submit(one, now)
    scheduler.dispatch(now)
    return jobs


def take(scheduler: SchedulerCore) -> list[actions.Action]:
    done, scheduler.actions = scheduler.actions, []
    return done


def sent(scheduler: SchedulerCore) -> list[tuple[int, int]]:
    """(worker, number of jobs) of each batch that left."""
    return [(a.worker, len(a.batch.jobs)) for a in take(scheduler) if isinstance(a, actions.Send)]


def sent_alone(scheduler: SchedulerCore) -> list[tuple[int, int]]:
    """(worker, id) of each batch that left, all of one job."""
    found = [a for a in take(scheduler) if isinstance(a, actions.Send)]
    assert all(len(a.batch.jobs) == 1 for a in found)
    return [(a.worker, a.batch.id) for a in found]


def failures(scheduler: SchedulerCore) -> list[tuple[Job, type[Exception]]]:
    return [(a.job, type(a.error)) for a in take(scheduler) if isinstance(a, actions.Fail)]


def answer(scheduler: SchedulerCore, worker: int, batch: int, count: int = 1, now: float = 0.0) -> None:
    scheduler.done(worker, batch, [Chunk(b"ok")] * count, now)
    scheduler.dispatch(now)


def wake(scheduler: SchedulerCore) -> float | None:
    """Returns when the core has something to do next; the shell's timer, which is cheaper to know, is never later."""
    at = scheduler.next_wake()
    assert at is None or scheduler.wake_at <= at
    return at
