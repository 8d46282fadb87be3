from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stoker.archive.threads import Stop, Stopped, run_stoppable


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def no_undo(_: object) -> None:
    raise AssertionError("nothing to undo")


async def test_the_result_comes_back(executor: ThreadPoolExecutor) -> None:
    assert await run_stoppable(executor, lambda stop: 7, undo=no_undo) == 7


async def test_cancelling_waits_until_the_work_has_ended(executor: ThreadPoolExecutor) -> None:
    started, ended = threading.Event(), threading.Event()

    def work(stop: Stop) -> None:
        wake = threading.Event()
        stop.on_set(wake.set)
        started.set()
        wake.wait()
        ended.set()
        stop.check()

    task = asyncio.create_task(run_stoppable(executor, work, undo=no_undo))
    await asyncio.to_thread(started.wait)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # an impatient caller
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_result_that_nobody_waits_for_is_undone(executor: ThreadPoolExecutor) -> None:
    started, go_on, undone = threading.Event(), threading.Event(), []

    def work(stop: Stop) -> str:
        started.set()
        go_on.wait()
        return "result"

    task = asyncio.create_task(run_stoppable(executor, work, undo=undone.append))
    await asyncio.to_thread(started.wait)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone == ["result"]


async def test_the_time_limit_stops_the_work(executor: ThreadPoolExecutor) -> None:
    def work(stop: Stop) -> None:
        wake = threading.Event()
        stop.on_set(wake.set)
        wake.wait()
        stop.check()

    with pytest.raises(Stopped):
        await run_stoppable(executor, work, undo=no_undo, timeout_s=0.0)


async def test_errors_of_the_work_come_through(executor: ThreadPoolExecutor) -> None:
    def work(stop: Stop) -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await run_stoppable(executor, work, undo=no_undo)
