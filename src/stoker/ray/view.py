"""Defines what `ray.placing` needs from a cluster.  PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stoker.ray.shortage import NodeRoom


class NoCluster(Exception):
    """The cluster cannot be used. The text is for the operator."""


class ActorLost(Exception):
    """An actor could not be started, or has died. The text is for clients, so it has no paths."""


class NodeView(NamedTuple):
    """A node as the cluster knows it. ``port``: where its raylet listens."""

    id: str
    name: str
    address: str
    port: int
    room: NodeRoom


class Actor(Protocol):
    async def about(self) -> Mapping[str, Any]:
        """Waits until the actor runs; returns the fields of `Node` without its name. Raises ActorLost."""
        ...

    async def run(self, order: bytes, node: str) -> None:
        """Has the actor carry out an order; returns when its worker is gone. Raises ActorLost."""
        ...


class Actors(Protocol):
    """The actors of one worker."""

    @property
    def actors(self) -> Sequence[Actor]: ...

    async def have_room(self) -> bool | None:
        """Tells whether the cluster has reserved their resources; None: it does not report that."""
        ...

    def release(self) -> None:
        """Ends the actors, or the wait for them."""
        ...


class Cluster(Protocol):
    async def nodes(self) -> Sequence[NodeView]:
        """Returns the nodes that the cluster believes alive."""
        ...

    async def reachable(self, node: NodeView) -> bool: ...

    def place(self, resources: Mapping[str, float], processes: int, *, spread: bool, avoid: Collection[str]) -> Actors:
        """Requests actors; they run once there is room. ``avoid``: ids of nodes that must not be chosen."""
        ...
