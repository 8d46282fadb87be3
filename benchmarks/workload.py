"""Lists the kinds of load that the suite measures, and what a contender says of them."""

from __future__ import annotations

import enum
from typing import Protocol

from stoker.bench import contender
from stoker.bench.contender import Wire

SPOKEN: dict[Wire, str] = {"grpc": "gRPC", "grpcs": "gRPC with TLS", "http": "REST", "https": "REST with TLS"}


class Workload(enum.Enum):
    """One kind of load; the values are the letters that the result tables use."""

    SMALL = "a"
    """One answer of 64 hexadecimal digits per request of 1 KiB or 150 KiB, batch size 1."""
    BATCHED = "b"
    """The same, batch size 16, with a maximal delay."""
    VISION = "c"
    """EfficientNet-Lite0 on JPEG files, answers as JSON."""
    TEXT = "d"
    """SmolLM2, a part per token."""
    PARTS = "e"
    """A stream of 1,000 parts of 32 bytes."""
    SLOPE = "f"
    """Payloads of 1, 10 and 50 MB."""
    LIFE = "g"
    """Start-up, scale-up, memory."""
    LEAVING = "h"
    """Clients that close their connections with requests in flight, batch size 16; then the load of (b) again."""
    REST = "i"
    """(a) at 1 KiB over REST: POST /predictions/MODEL."""
    METRICS = "j"
    """(a) at 1 KiB and c=64 by one server that measures and logs, and is scraped, and one that does neither."""
    TLS = "k"
    """(a) at 1 KiB over TLS: on connections that stay, and on a new connection for each request."""
    PUBLIC = "l"
    """(a) at 1 KiB and c=64 by a server that listens on every address, and one that listens on loopback."""
    CROWD = "m"
    """Memory while thousands of clients are idle, send half of a request, or do not read their answer."""
    WORKFLOW = "n"
    """A workflow of two functions, beside two calls of them one after the other."""
    TENSORS = "o"
    """(a) at 1 KiB by one server that is asked over the open inference protocol, and one over Predictions."""
    PLACED = "p"
    """(a) at 1 KiB, and (c), by workers on a Ray cluster and by workers of this machine; the death of a node."""
    BOMBED = "q"
    """Small calls at random times, alone and beside a client that sends decompression bombs."""


class Contender(contender.Contender, Protocol):
    def offers(self, workload: Workload) -> bool:
        """Tells whether this server can run the workload by its own means."""
        ...
