"""Messages between the server and the driver of its Ray cluster.  PURE.

`pool.remote.driver_process` asks the driver for workers, and the driver (`ray.driver`) asks Ray for actors.  Requests
to models do not take this way.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc import codec

MAX_MESSAGE_BYTES = 64 << 20


class Place(msgspec.Struct, tag="place", array_like=True, frozen=True, kw_only=True):
    """Asks for the actors of one worker: ``processes`` of them, each with ``resources``. ``name``: of the worker.
    ``spread``: over as many nodes as possible."""

    request: int
    name: str
    resources: dict[str, float]
    processes: int
    spread: bool


class Begin(msgspec.Struct, tag="begin", array_like=True, frozen=True, kw_only=True):
    """Passes an order (`node.order`) to each actor of a request."""

    request: int
    orders: list[bytes]


class Release(msgspec.Struct, tag="release", array_like=True, frozen=True):
    """Ends the actors of a request, placed or not. No message about the request follows."""

    request: int


class Connected(msgspec.Struct, tag="connected", array_like=True, frozen=True, kw_only=True):
    """Comes first. ``address``: this node's, as other nodes see it. ``nodes``: how many the cluster has. ``ray``: its
    version. ``apis``: HOST:PORT of the dashboard and of the nodes' dashboard agents, which run jobs that they are sent.
    ``tokens``: whether the cluster requires tokens."""

    address: str
    nodes: int
    ray: str
    apis: list[str]
    tokens: bool


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """The cluster cannot be used; the driver exits next."""

    reason: str


class Node(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The node of an actor. ``python``, ``stoker``: versions there. ``devices``: variables that show the actor the GPUs
    that Ray has assigned to it. ``port``: a port that was free there. ``interface``: the network interface that has
    ``address``; empty: unknown."""

    id: str
    name: str
    address: str
    python: str
    stoker: str
    devices: dict[str, str]
    port: int
    interface: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.name != self.address else self.name


class Pending(msgspec.Struct, tag="pending", array_like=True, frozen=True):
    """The cluster has no room for the actors, or has room again. ``shortage``: what it lacks; empty: nothing."""

    request: int
    shortage: str


class Placed(msgspec.Struct, tag="placed", array_like=True, frozen=True):
    """The actors run. ``nodes``: the node of each process, in order."""

    request: int
    nodes: list[Node]


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The actors could not be placed; none of them is left."""

    request: int
    reason: str


class Ended(msgspec.Struct, tag="ended", array_like=True, frozen=True):
    """An actor has ended. ``reason``: why it was lost; empty: it has carried out its order."""

    request: int
    process: int
    reason: str


ToDriver = Place | Begin | Release
FromDriver = Connected | Refused | Pending | Placed | Failed | Ended

decode_to_driver: Callable[[Buffer], ToDriver] = codec.decoding(ToDriver, "for a driver")
decode_from_driver: Callable[[Buffer], FromDriver] = codec.decoding(FromDriver, "of a driver")
