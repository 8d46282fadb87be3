"""Defines what placing needs from a cluster, whoever implements it.  PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stoker.ray.shortage import NodeRoom


class NoCluster(Exception):
    """There is no cluster to work with. The text is for the operator."""


class ActorLost(Exception):
    """An actor could not be started, or has died. The text is for clients: it has no paths."""


class NodeView(NamedTuple):
    """A node as the cluster knows it. ``port``: where its raylet listens."""

    id: str
    name: str
    address: str
    port: int
    room: NodeRoom


class Actor(Protocol):
    async def about(self) -> Mapping[str, Any]:
        """Waits until it runs. Returns the fields of `Node` but its name. Raises ActorLost."""
        ...

    async def run(self, order: bytes, node: str) -> None:
        """Waits until its worker is gone. Raises ActorLost."""
        ...


class Actors(Protocol):
    """Those of one worker."""

    @property
    def actors(self) -> Sequence[Actor]: ...

    async def have_room(self) -> bool | None:
        """Tells whether the cluster has set their resources aside; None: it does not say."""
        ...

    def release(self) -> None:
        """Ends them, or the wait for them."""
        ...


class Cluster(Protocol):
    async def nodes(self) -> Sequence[NodeView]:
        """Returns those that are alive, as far as the cluster knows."""
        ...

    async def reachable(self, node: NodeView) -> bool: ...

    def place(self, resources: Mapping[str, float], processes: int, *, spread: bool, avoid: Collection[str]) -> Actors:
        """Asks for actors; they run once there is room. ``avoid``: ids of nodes that must not be chosen."""
        ...
