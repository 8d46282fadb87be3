"""Kept tasks and the locks by name."""

from __future__ import annotations

import asyncio

import pytest
from registry_fakes import turns

from stoker import errors
from stoker.registry.locks import KeyedLocks
from stoker.registry.tasks import KeptTasks


async def test_an_operation_goes_on_when_its_caller_is_cancelled() -> None:
    tasks, gate, done = KeptTasks(), asyncio.Event(), asyncio.Event()

    async def operation() -> None:
        await gate.wait()
        done.set()

    caller = asyncio.ensure_future(tasks.run(operation()))
    await turns()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert len(tasks) == 1

    gate.set()
    await done.wait()
    await turns()
    assert len(tasks) == 0


async def test_the_error_of_an_operation_without_a_caller_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tasks, gate = KeptTasks(), asyncio.Event()

    async def operation() -> None:
        await gate.wait()
        raise errors.ModelNotFound(model="m")

    caller = asyncio.ensure_future(tasks.run(operation()))
    await turns()
    caller.cancel()
    gate.set()
    await turns()

    assert "Model not found: m" in caplog.text


async def test_callers_of_operations_that_are_cut_short_are_told_that_the_server_stops() -> None:
    tasks = KeptTasks()
    caller = asyncio.ensure_future(tasks.run(asyncio.Event().wait()))
    await turns()

    await tasks.cancel_all()

    with pytest.raises(errors.ServerStopping):
        await caller
    await tasks.cancel_all()


async def test_holders_of_one_name_follow_each_other_and_those_of_another_do_not_wait() -> None:
    locks, gate, order = KeyedLocks(), asyncio.Event(), []

    async def hold(name: str, label: str) -> None:
        async with locks.hold(name):
            order.append(label)
            if label == "first":
                await gate.wait()

    tasks = [asyncio.ensure_future(hold(*pair)) for pair in (("a", "first"), ("a", "second"), ("b", "other"))]
    await turns()
    assert order == ["first", "other"]

    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "other", "second"]
    assert len(locks) == 0


async def test_a_waiter_that_gives_up_leaves_no_lock_behind() -> None:
    locks = KeyedLocks()
    async with locks.hold("a"):
        waiter = asyncio.ensure_future(_hold_once(locks))
        await turns()
        waiter.cancel()
        await asyncio.wait({waiter})
        assert len(locks) == 1

    assert len(locks) == 0


async def _hold_once(locks: KeyedLocks) -> None:
    async with locks.hold("a"):
        pass
