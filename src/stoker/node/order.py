"""The order that a node carries out: run one worker of one model.  PURE.

An order holds secrets, the one-time tokens: it travels by the channel that started the agent, and is never logged.
"""

from __future__ import annotations

import msgspec

from stoker.errors import WorkerDied

VERSION = 1


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a model's folder. ``hash``: SHA-256 of the stream of its files, hexadecimal. ``size``: bytes of
    the stream. ``name``: of the folder, which a handler may import as a package."""

    hash: str
    size: int
    name: str = "model"


class BorderAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Security of the connection to the server. ``ca``: PEM that verifies its certificate; None: no TLS.
    ``tls_name``: the name in that certificate."""

    host: str
    port: int
    ca: str | None
    tls_name: str
    agent_token: bytes
    worker_token: bytes
    fetch_token: bytes


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """``env``: variables for the worker; those of the node win unless they are in ``env_first``. ``withheld``: a
    regular expression; variables of the node that it does not get.

    ``model_dir``: the model's folder, where the node has it already; None: fetch ``archive``. ``handler``: as in the
    model spec; its folder goes on the search path. ``in_place``: as there. ``python``: None: the interpreter of the
    agent. ``metrics_config``: the content of the metrics file; None: the packaged one.
    ``cache_dir``: where archives are kept on the node; None: a private folder of the user's.
    ``heartbeat_s``: pause between two; ``silence_s``: without any for this long, the other side is gone.
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
    """Raises `WorkerDied` for an order of another version of stoker."""
    try:
        order = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WorkerDied("the node runs another version of stoker than the server") from None
    if order.version != VERSION:
        raise WorkerDied("the node runs another version of stoker than the server")
    return order
