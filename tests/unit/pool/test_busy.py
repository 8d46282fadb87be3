"""Whether the workers at work leave a core to the server."""

from __future__ import annotations

import pytest

from stoker.pool.busy import BusyWorkers


@pytest.mark.parametrize(("cores", "workers", "left"), [(1, 1, False), (2, 1, True), (2, 2, False), (8, 7, True)])
def test_the_busy_workers_leave_a_core_or_not(cores: int, workers: int, left: bool) -> None:
    busy = BusyWorkers(cores)
    for worker in range(workers):
        busy.record(worker, at_work=True)
    assert busy.leave_a_core is left


def test_one_worker_alone_is_told_from_several_and_from_none_and_needs_a_second_core() -> None:
    busy = BusyWorkers(4)
    seen = [busy.only_one]
    for worker, at_work in (("a", True), ("b", True), ("b", False), ("a", False)):
        busy.record(worker, at_work=at_work)
        seen.append(busy.only_one)
    assert seen == [False, True, False, True, False]
    alone = BusyWorkers(1)
    alone.record("a", at_work=True)
    assert not alone.only_one


def test_workers_count_once_and_only_while_they_work() -> None:
    busy = BusyWorkers(2)
    busy.record("a", at_work=True)
    busy.record("a", at_work=True)
    assert busy.leave_a_core
    busy.record("b", at_work=True)
    busy.record("a", at_work=False)
    busy.record("a", at_work=False)
    assert busy.leave_a_core


def test_workers_on_other_machines_take_no_core_of_the_server() -> None:
    busy = BusyWorkers(2)
    for worker in "abcd":
        busy.record(worker, at_work=True, here=False)
    assert busy.leave_a_core
    assert not busy.only_one


def test_a_worker_elsewhere_is_the_only_one_even_where_the_server_has_one_core() -> None:
    busy = BusyWorkers(1)
    busy.record("a", at_work=True, here=False)
    assert busy.only_one
    busy.record("b", at_work=True)
    assert not busy.only_one
