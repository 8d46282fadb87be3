"""Whether the workers at work leave a core to the server."""

from __future__ import annotations

import pytest

from stoker.pool.busy import BusyWorkers


@pytest.mark.parametrize(("cores", "workers", "left"), [(1, 1, False), (2, 1, True), (2, 2, False), (8, 7, True)])
def test_the_busy_workers_leave_a_core_or_not(cores: int, workers: int, left: bool) -> None:
    busy = BusyWorkers(cores)
    for worker in range(workers):
        busy.add(worker)
    assert busy.leave_a_core is left


def test_one_worker_alone_is_told_from_several_and_from_none_and_needs_a_second_core() -> None:
    busy = BusyWorkers(4)
    seen = [busy.only_one]
    for change in (busy.add, busy.add, busy.discard, busy.discard):
        change("a" if len(seen) in (1, 4) else "b")
        seen.append(busy.only_one)
    assert seen == [False, True, False, True, False]
    alone = BusyWorkers(1)
    alone.add("a")
    assert not alone.only_one


def test_workers_count_once_and_only_while_they_work() -> None:
    busy = BusyWorkers(2)
    busy.add("a")
    busy.add("a")
    assert busy.leave_a_core
    busy.add("b")
    busy.discard("a")
    busy.discard("a")
    assert busy.leave_a_core
