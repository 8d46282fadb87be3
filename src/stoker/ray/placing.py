"""Places the actors of one worker, reports what the cluster lacks for them, and has them carry out their orders.

Ray may take half a minute to notice that a node has died, and chooses it until then.  So nodes whose raylet does not
answer are avoided, and a worker that waits for one is placed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.ipc.driver_messages import Begin, Ended, Failed, FromDriver, Node, Pending, Place, Placed
from stoker.ray.shortage import shortage
from stoker.ray.view import Actor, ActorLost, Actors, Cluster, NodeView

POLL_S = 1.0
"""Pause between two polls of the cluster."""
START_S = 120.0
"""Timeout for Ray to start an actor for which there is room."""
UNCLEAR_S = 20.0
"""Time after which missing resources are reported if the cluster does not tell whether an actor that is starting has
reserved them."""
CONFIRMING_POLLS = 2
"""Consecutive polls that must find an actor waiting for room: what the cluster reports may be a second old."""


class Placing:
    """Carries out one request of the server. ``send``: sends messages to it."""

    def __init__(self, request: Place, *, cluster: Cluster, send: Callable[[FromDriver], None]) -> None:
        self._request = request
        self._cluster = cluster
        self._unclear_s = 0.0
        self._waiting_polls = 0  # consecutive ones that found an actor waiting for room
        self._send = send
        self._avoided: frozenset[str] = frozenset()
        self._actors: Actors | None = None
        self._shortage = ""
        self._orders: asyncio.Future[Sequence[bytes]] = asyncio.get_running_loop().create_future()

    def begin(self, message: Begin) -> None:
        if not self._orders.done():
            self._orders.set_result(message.orders)

    async def run(self) -> None:
        """Places the actors, waits for their orders, and returns when all have ended. A cancellation releases them."""
        try:
            nodes = await self._place()
            self._send(Placed(self._request.request, nodes))
            orders = await self._orders
            assert self._actors is not None
            runs = [
                self._run(number, *each)
                for number, each in enumerate(zip(self._actors.actors, orders, nodes, strict=True))
            ]
            await asyncio.gather(*runs)
        except ActorLost as error:
            self._send(Failed(self._request.request, str(error)))
        finally:
            self._release()

    # ------------------------------------------------------------------------------------------ placing

    async def _place(self) -> list[Node]:
        """Returns the nodes of the actors once all of them run. Raises ActorLost."""
        waited = 0.0
        await self._reachable_nodes()
        found = self._ask()
        try:
            while not (await asyncio.wait({found}, timeout=POLL_S))[0]:
                before, nodes = self._avoided, await self._reachable_nodes()
                if self._avoided != before:  # a node has died, or has come back
                    found = self._ask_again(found)
                waited = 0.0 if await self._report(nodes) else waited + POLL_S
                if waited >= START_S:
                    raise ActorLost(f"Ray did not start its actor within {START_S:g} s")
            return await self._named(await found)
        finally:
            found.cancel()

    async def _reachable_nodes(self) -> Sequence[NodeView]:
        """Returns the nodes that answer, and has the others avoided."""
        nodes = await self._cluster.nodes()
        answers = await asyncio.gather(*(self._cluster.reachable(node) for node in nodes))
        self._avoided = frozenset(node.id for node, there in zip(nodes, answers, strict=True) if not there)
        return [node for node in nodes if node.id not in self._avoided]

    def _ask(self) -> asyncio.Task[list[Mapping[str, Any]]]:
        wanted = self._request
        self._actors = self._cluster.place(
            wanted.resources, wanted.processes, spread=wanted.spread, avoid=self._avoided
        )
        return asyncio.get_running_loop().create_task(_all_about(self._actors.actors))

    def _ask_again(self, found: asyncio.Task[list[Mapping[str, Any]]]) -> asyncio.Task[list[Mapping[str, Any]]]:
        if found.done():
            return found
        found.cancel()
        self._release()
        return self._ask()

    async def _report(self, nodes: Sequence[NodeView]) -> bool:
        """Tells the server what the cluster lacks whenever that changes; returns whether it lacks anything."""
        wanted = self._request
        text = shortage(wanted.resources, [node.room for node in nodes], processes=wanted.processes)
        if not await self._waits_for_room(bool(text)):
            text = ""
        if text != self._shortage:
            self._shortage = text
            self._send(Pending(self._request.request, text))
        return bool(text)

    async def _waits_for_room(self, short: bool) -> bool:
        """Tells whether the actors really wait for room. ``short``: free resources do not suffice now, perhaps because
        they are already reserved for these actors."""
        have_room = await self._actors.have_room() if short and self._actors is not None else True
        self._waiting_polls = self._waiting_polls + 1 if have_room is False else 0
        self._unclear_s = self._unclear_s + POLL_S if have_room is None else 0.0
        return self._waiting_polls >= CONFIRMING_POLLS or self._unclear_s >= UNCLEAR_S

    async def _named(self, found: Sequence[Mapping[str, Any]]) -> list[Node]:
        names = {node.id: node.name for node in await self._cluster.nodes()}
        return [Node(name=names.get(about["id"], about["address"]), **about) for about in found]

    # ------------------------------------------------------------------------------------------ running

    async def _run(self, number: int, actor: Actor, order: bytes, node: Node) -> None:
        reason = ""
        try:
            await actor.run(order, str(node))
        except ActorLost:
            reason = await self._loss_reason(node)
        self._send(Ended(self._request.request, number, reason))

    async def _loss_reason(self, node: Node) -> str:
        alive = [view for view in await self._cluster.nodes() if view.id == node.id]
        if not alive or not await self._cluster.reachable(alive[0]):
            return f"the node {node} was lost"
        return f"the Ray actor on the node {node} died"

    def _release(self) -> None:
        actors, self._actors = self._actors, None
        if actors is not None:
            actors.release()


async def _all_about(actors: Sequence[Actor]) -> list[Mapping[str, Any]]:
    return list(await asyncio.gather(*(actor.about() for actor in actors)))
