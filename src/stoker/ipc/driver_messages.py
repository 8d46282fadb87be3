"""Messages between the server and the driver of its Ray cluster.  PURE.

The driver (`ray.driver`) asks Ray for actors, `pool.remote.driver_process` asks the driver.  Requests to models never
pass here.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc import codec

MAX_MESSAGE_BYTES = 64 << 20


class Place(msgspec.Struct, tag="place", array_like=True, frozen=True, kw_only=True):
    """Asks for the actors of one worker, one for each of its ``processes``, each with ``resources``. ``name``: of the
    worker."""

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
    """Ends the actors of a request, placed or not. Nothing follows about it."""

    request: int


class Connected(msgspec.Struct, tag="connected", array_like=True, frozen=True, kw_only=True):
    """Comes first. ``address``: of this node, as the others see it. ``apis``: HOST:PORT of the dashboard and of the
    nodes' agents, which run jobs that they are sent. ``tokens``: whether the cluster asks for tokens."""

    address: str
    nodes: int
    ray: str
    apis: list[str]
    tokens: bool


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """There is no cluster to work with; the process exits next."""

    reason: str


class Node(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Node of an actor. ``python``, ``stoker``: versions there. ``devices``: the variables that show it the GPUs that
    Ray gave to it. ``port``: one that was free there. ``interface``: the network interface that has ``address``; empty:
    unknown."""

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
    """``shortage``: what the cluster lacks for it; empty: it has room again."""

    request: int
    shortage: str


class Placed(msgspec.Struct, tag="placed", array_like=True, frozen=True):
    """``nodes``: of each process, in order."""

    request: int
    nodes: list[Node]


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The actors could not be placed; nothing is left of them."""

    request: int
    reason: str


class Ended(msgspec.Struct, tag="ended", array_like=True, frozen=True):
    """An actor has ended. ``reason``: why, where it was lost; empty: its order was carried out."""

    request: int
    process: int
    reason: str


ToDriver = Place | Begin | Release
FromDriver = Connected | Refused | Pending | Placed | Failed | Ended

decode_to_driver: Callable[[Buffer], ToDriver] = codec.decoding(ToDriver, "for a driver")
decode_from_driver: Callable[[Buffer], FromDriver] = codec.decoding(FromDriver, "of a driver")
