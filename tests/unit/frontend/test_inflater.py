"""Decompression in a thread: clients take turns, and requests that have ended leave the queue."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from stoker.frontend.compression import BadCompression
from stoker.frontend.inflater import Inflater


class Thread(Executor):
    """Runs one piece of work when it is told to."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.submitted.append((future, fn))
        return future

    async def run(self) -> None:
        future, work = self.submitted.pop(0)
        try:
            future.set_result(work())
        except ValueError as error:
            future.set_exception(error)
        for _ in range(3):  # the result crosses from the thread to the loop
            await asyncio.sleep(0)


class Rig:
    def __init__(self) -> None:
        self.thread = Thread()
        self.inflater = Inflater(asyncio.get_running_loop(), self.thread)
        self.results: list[object] = []

    def submit(self, client: str, result: bytes) -> Any:
        def done(data: bytes | None, error: BaseException | None) -> None:
            self.results.append(data if error is None else error)

        return self.inflater.submit(client, lambda: result, done)

    async def run_all(self) -> None:
        while self.thread.submitted:
            assert len(self.thread.submitted) == 1, "one at a time"
            await self.thread.run()


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_few_small_messages_are_decompressed_on_the_loop_in_one_of_its_turns(rig: Rig) -> None:
    packed = gzip.compress(bytes(30_000))
    now = [rig.inflater.inflate_now(packed, "gzip", 1 << 20) for _ in range(4)]
    assert [data is not None for data in now] == [True, True, True, False]
    await asyncio.sleep(0)
    assert rig.inflater.inflate_now(gzip.compress(bytes(70_000)), "gzip", 1 << 20) is None, "it becomes too much"
    assert rig.inflater.inflate_now(packed, "gzip", 1 << 20) is None, "which was found out at a cost"
    await asyncio.sleep(0)
    with pytest.raises(BadCompression):
        rig.inflater.inflate_now(packed[:-1], "gzip", 1 << 20)
    assert rig.inflater.inflate_now(packed, "gzip", 1 << 20) is None


async def test_clients_take_turns(rig: Rig) -> None:
    for number in range(3):
        rig.submit("greedy", b"g%d" % number)
    rig.submit("other", b"o0")
    rig.submit("third", b"t0")
    rig.submit("other", b"o1")
    await rig.run_all()
    assert rig.results == [b"g0", b"g1", b"o0", b"t0", b"g2", b"o1"]


async def test_one_that_is_cancelled_leaves_the_queue(rig: Rig) -> None:
    rig.submit("a", b"a0")
    waiting = rig.submit("a", b"a1")
    rig.submit("b", b"b0")
    rig.inflater.cancel(waiting)
    rig.inflater.cancel(waiting)
    await rig.run_all()
    assert rig.results == [b"a0", b"b0"]


async def test_the_result_of_one_cancelled_while_it_runs_is_dropped_and_the_next_runs(rig: Rig) -> None:
    running = rig.submit("a", b"a0")
    rig.submit("b", b"b0")
    rig.inflater.cancel(running)
    await rig.run_all()
    assert rig.results == [b"b0"]


async def test_an_error_is_passed_on_and_the_next_runs(rig: Rig) -> None:
    error = ValueError()

    def fails() -> bytes:
        raise error

    rig.inflater.submit("a", fails, lambda data, error: rig.results.append((data, error)))
    rig.submit("a", b"a1")
    await rig.run_all()
    assert rig.results == [(None, error), b"a1"]
