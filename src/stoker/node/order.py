"""Defines the order that a node carries out: run one worker of one model.  PURE.

An order contains secrets, the one-time tokens: it is passed to the agent by whoever starts it, and is never logged.
"""

from __future__ import annotations

import msgspec

from stoker.errors import WorkerDied

VERSION = 1


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a model's folder, which travels as one stream. ``hash``: SHA-256 of the stream, hexadecimal.
    ``size``: its bytes. ``name``: of the folder, which a handler may import as a package."""

    hash: str
    size: int
    name: str = "model"


class BorderAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Address and credentials of the server. ``ca``: PEM that verifies its certificate; None: no TLS. ``tls_name``: the
    name in the certificate."""

    host: str
    port: int
    ca: str | None
    tls_name: str
    agent_token: bytes
    worker_token: bytes
    fetch_token: bytes


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """``env``: variables for the worker, which the node's own override. ``env_first``: variables that override the
    node's. ``withheld``: a regular expression: the node's variables that the worker does not get.

    ``model_dir``: the model's folder, if the node already has it; None: fetch ``archive``. ``handler``, ``in_place``:
    as in the model spec; both affect the search path. ``python``: None: the agent's interpreter. ``metrics_config``:
    the content of the metrics file; None: the packaged one.
    ``cache_dir``: where the node keeps archives; None: a private folder of the user.
    ``heartbeat_s``: pause between two heartbeats; ``silence_s``: how long a side may send nothing before it is lost.
    """

    version: int = VERSION
    name: str
    border: BorderAccess
    archive: Archive | None = None
    model_dir: str | None = None
    handler: str = ""
    in_place: bool = False
    env: dict[str, str] = {}
    env_first: dict[str, str] = {}
    withheld: str | None = None
    python: str | None = None
    worker_module: str = "stoker.worker.main"
    metrics_config: str | None = None
    cache_dir: str | None = None
    cache_limit_bytes: int = 50 << 30
    heartbeat_s: float = 2.0
    silence_s: float = 8.0


_decoder = msgspec.msgpack.Decoder(Order)


def encode(order: Order) -> bytes:
    return msgspec.msgpack.encode(order)


def decode(data: bytes) -> Order:
    """Raises `WorkerDied` for an order from another version of stoker."""
    try:
        order = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WorkerDied("the node runs another version of stoker than the server") from None
    if order.version != VERSION:
        raise WorkerDied("the node runs another version of stoker than the server")
    return order
