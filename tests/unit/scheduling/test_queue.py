"""The bounded queue: order, removal, deadlines, and that forgotten jobs are swept out."""

from __future__ import annotations

from stoker.core.job import Job, ModelKey
from stoker.scheduling.deadlines import Deadlines
from stoker.scheduling.policies.queued import JobQueue

KEY = ModelKey("m", "1")


def make(count: int, **options: object) -> list[Job]:
    return [Job(KEY, [], **options) for _ in range(count)]  # type: ignore[arg-type]


def test_jobs_leave_in_the_order_they_came_and_removed_ones_are_skipped() -> None:
    queue = JobQueue(10)
    jobs = make(4)
    for job in jobs:
        queue.put(job)
    queue.remove(jobs[0])
    queue.remove(jobs[2])
    assert queue.waiting == 2 and queue.take(10) == [jobs[1], jobs[3]] and queue.head() is None


def test_jobs_that_are_put_back_come_first_in_their_old_order() -> None:
    queue = JobQueue(1)
    later, *back = make(3)
    queue.put(later)
    queue.put_back(back)
    assert queue.waiting == 3 and queue.take(10) == [*back, later]


def test_a_million_cancelled_jobs_behind_a_stuck_head_take_no_memory() -> None:
    """Clients that submit and leave must not grow the queue while its head cannot move."""
    queue = JobQueue(2)
    stuck = make(1)[0]
    queue.put(stuck)
    for _ in range(20_000):
        job = make(1)[0]
        queue.put(job)
        queue.remove(job)
    assert len(queue._jobs) < 1_000 and queue.waiting == 1


def test_deadlines_come_in_order_and_answered_jobs_are_forgotten() -> None:
    deadlines, queue = Deadlines(), JobQueue(100_000)
    jobs = [Job(KEY, [], deadline=float(at)) for at in (3, 1, 2)]
    for job in jobs:
        queue.put(job)
        deadlines.add(job)
    queue.remove(jobs[1])
    assert deadlines.earliest() == 2.0
    assert list(deadlines.pop_expired(2.5)) == [jobs[2]]
    for _ in range(20_000):
        job = Job(KEY, [], deadline=1e9)
        queue.put(job)
        deadlines.add(job)
        queue.remove(job)
    assert len(deadlines.heap) < 1_000
