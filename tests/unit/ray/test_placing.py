"""How the driver places a worker, with a cluster of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from stoker.ipc.driver_messages import Begin, Ended, Failed, FromDriver, Pending, Place, Placed
from stoker.ray import placing
from stoker.ray.placing import Placing
from stoker.ray.shortage import NodeRoom
from stoker.ray.view import ActorLost, NodeView

ROOM = NodeRoom({"CPU": 2.0}, {"CPU": 2.0})
FULL = NodeRoom({"CPU": 2.0}, {})


class FakeActor:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.node: asyncio.Future[str] = loop.create_future()
        self.end: asyncio.Future[None] = loop.create_future()
        self.orders: list[tuple[bytes, str]] = []

    async def about(self) -> Mapping[str, Any]:
        node = await asyncio.shield(self.node)
        return {"id": node, "address": "10.0.0.1", "python": "3.12.1", "stoker": "1", "devices": {}, "port": 5}

    async def run(self, order: bytes, node: str) -> None:
        self.orders.append((order, node))
        await asyncio.shield(self.end)


class FakeActors:
    def __init__(self, count: int, avoid: Collection[str]) -> None:
        self.actors = [FakeActor() for _ in range(count)]
        self.avoid = set(avoid)
        self.released = False
        self.reported: list[bool | None] = []  # whether they have room, look by look, then the last again
        self.looks = 0

    async def have_room(self) -> bool | None:
        self.looks += 1
        if len(self.reported) > 1:
            return self.reported.pop(0)
        return self.reported[0] if self.reported else False

    def release(self) -> None:
        self.released = True


class FakeCluster:
    def __init__(self, **rooms: NodeRoom) -> None:
        self.rooms = rooms
        self.dead: set[str] = set()
        self.asked: list[FakeActors] = []

    async def nodes(self) -> Sequence[NodeView]:
        return [NodeView(name, f"node-{name}", f"10.0.0.{name}", 1, room) for name, room in self.rooms.items()]

    async def reachable(self, node: NodeView) -> bool:
        return node.id not in self.dead

    def place(
        self, resources: Mapping[str, float], processes: int, *, spread: bool, avoid: Collection[str]
    ) -> FakeActors:
        self.asked.append(FakeActors(processes, avoid))
        return self.asked[-1]


class Rig:
    def __init__(self, cluster: FakeCluster, processes: int = 1) -> None:
        self.cluster = cluster
        self.sent: list[FromDriver] = []
        request = Place(request=7, name="w", resources={"CPU": 2.0}, processes=processes, spread=True)
        self.placing = Placing(request, cluster=cluster, send=self.sent.append)
        self.task = asyncio.get_running_loop().create_task(self.placing.run())

    async def until(self, count: int) -> FromDriver:
        """Waits for so many messages, and returns the last."""
        while len(self.sent) < count:
            await asyncio.sleep(0)
        return self.sent[-1]

    async def asked(self, count: int = 1) -> FakeActors:
        while len(self.cluster.asked) < count:
            await asyncio.sleep(0)
        return self.cluster.asked[-1]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "POLL_S", 0.0)


async def test_an_actor_carries_out_its_order_and_its_end_is_reported() -> None:
    rig = Rig(FakeCluster(a=ROOM))
    actors = await rig.asked()
    actors.actors[0].node.set_result("a")
    placed = await rig.until(1)
    assert isinstance(placed, Placed)
    assert [node.name for node in placed.nodes] == ["node-a"]
    rig.placing.begin(Begin(request=7, orders=[b"order"]))
    actors.actors[0].end.set_result(None)
    assert await rig.until(2) == Ended(7, 0, "")
    await rig.task
    assert actors.actors[0].orders == [(b"order", "node-a (10.0.0.1)")]
    assert actors.released


async def test_what_is_missing_is_reported_once_and_so_is_that_there_is_room() -> None:
    rig = Rig(FakeCluster(a=NodeRoom({"CPU": 1.0}, {"CPU": 1.0})))
    await rig.asked()
    assert await rig.until(1) == Pending(7, "no node of the Ray cluster has CPU 2 (the largest has 1)")
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(rig.sent) == 1
    rig.cluster.rooms["b"] = ROOM
    assert await rig.until(2) == Pending(7, "")
    rig.task.cancel()


@pytest.mark.parametrize("reported", [True, None], ids=["it has room", "the cluster does not say"])
async def test_nothing_is_missing_while_the_actor_may_be_starting(reported: bool | None) -> None:
    rig = Rig(FakeCluster(a=FULL))
    actors = await rig.asked()
    actors.reported = [False, reported]  # the cluster says so for a moment too long
    while actors.looks < 20:
        await asyncio.sleep(0)
    assert rig.sent == []
    actors.reported = [False]
    assert await rig.until(1) == Pending(7, "no node of the Ray cluster has CPU 2 free (of 2, 0 free in all)")
    actors.reported = [reported]
    assert await rig.until(2) == Pending(7, "")
    rig.task.cancel()


async def test_what_others_hold_is_missing_at_the_second_poll() -> None:
    rig = Rig(FakeCluster(a=FULL))
    actors = await rig.asked()
    await rig.until(1)
    assert actors.looks == placing.CONFIRMING_POLLS
    rig.task.cancel()


async def test_what_is_missing_is_reported_even_where_the_cluster_never_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "POLL_S", 0.001)
    monkeypatch.setattr(placing, "UNCLEAR_S", 0.01)
    rig = Rig(FakeCluster(a=FULL))
    actors = await rig.asked()
    actors.reported = [None]
    await rig.until(1)
    assert actors.looks >= 10
    rig.task.cancel()


async def test_a_node_that_does_not_answer_is_avoided_before_ray_notices() -> None:
    cluster = FakeCluster(a=ROOM, b=ROOM)
    cluster.dead.add("a")
    rig = Rig(cluster)
    assert (await rig.asked()).avoid == {"a"}
    rig.task.cancel()


async def test_what_waits_on_a_node_that_died_is_placed_anew() -> None:
    cluster = FakeCluster(a=ROOM, b=ROOM)
    rig = Rig(cluster)
    first = await rig.asked()
    cluster.dead.add("a")
    second = await rig.asked(2)
    assert first.released
    assert second.avoid == {"a"}
    rig.task.cancel()


async def test_an_actor_that_cannot_start_fails_the_request_and_releases_the_others() -> None:
    rig = Rig(FakeCluster(a=ROOM, b=ROOM), processes=2)
    actors = await rig.asked()
    actors.actors[0].node.set_exception(ActorLost("stoker is not installed"))
    assert await rig.until(1) == Failed(7, "stoker is not installed")
    assert actors.released


@pytest.mark.parametrize(
    ("dead", "reason"),
    [({"a"}, "the node node-a (10.0.0.1) was lost"), (set(), "the Ray actor on the node node-a (10.0.0.1) died")],
)
async def test_a_lost_actor_is_told_apart_from_a_lost_node(dead: set[str], reason: str) -> None:
    rig = Rig(FakeCluster(a=ROOM))
    actors = await rig.asked()
    actors.actors[0].node.set_result("a")
    await rig.until(1)
    rig.placing.begin(Begin(request=7, orders=[b"order"]))
    rig.cluster.dead |= dead
    actors.actors[0].end.set_exception(ActorLost("it died"))
    assert await rig.until(2) == Ended(7, 0, reason)
    await rig.task


async def test_a_request_that_is_given_up_releases_its_actors() -> None:
    rig = Rig(FakeCluster(a=FULL))
    actors = await rig.asked()
    rig.task.cancel()
    await asyncio.gather(rig.task, return_exceptions=True)
    assert actors.released
    assert rig.sent == []
