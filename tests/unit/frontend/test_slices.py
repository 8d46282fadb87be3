"""Reading in slices: the loop goes on between them, and requests that have ended stop."""

from __future__ import annotations

import asyncio

import pytest

from stoker.frontend.budget import RequestBudget, Share
from stoker.frontend.client_queue import Queued
from stoker.frontend.slices import Slices, Steps


class Rig:
    def __init__(self) -> None:
        self.slices = Slices(asyncio.get_running_loop())
        self.events: list[object] = []

    def steps(self, name: str, count: int) -> Steps:
        for number in range(count):
            self.events.append(f"{name}{number}")
            yield
        return f"{name} read"

    def submit(self, client: str, name: str, count: int = 2, share: Share | None = None) -> Queued[Steps]:
        return self.slices.submit(client, self.steps(name, count), self.done, share)

    def done(self, result: object, error: BaseException | None) -> None:
        self.events.append(result if error is None else error)

    async def turns(self, count: int = 30) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_each_slice_takes_a_turn_of_the_loop(rig: Rig) -> None:
    rig.submit("a", "a", 4)
    assert rig.events == []
    for turn in range(4):
        await asyncio.sleep(0)
        assert len(rig.events) == turn + 1
    await rig.turns()
    assert rig.events == ["a0", "a1", "a2", "a3", "a read"]


async def test_one_request_is_read_at_a_time_and_clients_take_turns(rig: Rig) -> None:
    for client, name in (("greedy", "a"), ("greedy", "b"), ("greedy", "c"), ("other", "d")):
        rig.submit(client, name)
    await rig.turns()
    assert rig.events == [f"{name}{step}" for name in "abdc" for step in ("0", "1", " read")]


async def test_a_request_counts_in_the_budget_until_it_is_read_or_cancelled(rig: Rig) -> None:
    budget, shares = RequestBudget(1000), []
    for size in (100, 20, 3):
        shares.append(Share(budget))
        shares[-1].hold(size)
    first, _, third = [rig.submit("a", name, share=share) for name, share in zip("abc", shares, strict=True)]
    await asyncio.sleep(0)
    rig.slices.cancel(third)
    assert budget.taken == 120
    rig.slices.cancel(first)
    assert budget.taken == 20
    await rig.turns()
    assert budget.taken == 0


async def test_one_that_is_cancelled_stops_at_its_next_slice_and_the_next_is_read(rig: Rig) -> None:
    first = rig.submit("a", "a", 10)
    rig.submit("a", "b", 1)
    await asyncio.sleep(0)
    rig.slices.cancel(first)
    await rig.turns()
    assert rig.events == ["a0", "b0", "b read"]


async def test_an_error_is_passed_on_and_the_next_is_read(rig: Rig) -> None:
    error = ValueError()

    def fails() -> Steps:
        yield
        raise error

    rig.slices.submit("a", fails(), rig.done)
    rig.submit("a", "b", 1)
    await rig.turns()
    assert rig.events == [error, "b0", "b read"]
