"""Messages between the server, the agent on a node, and the worker that the agent starts.

The agent has a connection to the server of its own, so that it answers while a handler runs, and however much the
worker sends.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc import codec

OUTPUT_WINDOW_BYTES = 64 << 10
"""Limit of a worker's output that was sent and that the server has not taken yet."""
OUTPUT_REST_BYTES = 1 << 20
"""Limit of a dead worker's output that is left in its pipes, and is sent regardless of the window."""
STDOUT, STDERR = 1, 2


class Heartbeat(msgspec.Struct, tag="heartbeat", array_like=True, frozen=True):
    """Sent in both directions."""


class Taken(msgspec.Struct, tag="taken", array_like=True, frozen=True):
    """To the agent: the server has taken ``nbytes`` more of the output ``stream``."""

    stream: int
    nbytes: int


class Kill(msgspec.Struct, tag="kill", array_like=True, frozen=True):
    """To the agent: kill the worker and all it started, then report its end."""


class Arrived(msgspec.Struct, tag="arrived", array_like=True, frozen=True):
    """From the agent; comes first. ``node``: the node's name in logs."""

    node: str


class Started(msgspec.Struct, tag="started", array_like=True, frozen=True):
    """From the agent: the worker's process runs and will connect."""

    pid: int


class Refused(msgspec.Struct, tag="refused", array_like=True, frozen=True):
    """From the agent; comes last. ``reason``: why it could not start the worker, without paths."""

    reason: str


class Usage(msgspec.Struct, tag="usage", array_like=True, frozen=True):
    """From the agent; also serves as its heartbeat. ``progress``: the newest batch that the worker has begun."""

    memory_bytes: int
    progress: int | None


class Output(msgspec.Struct, tag="output", array_like=True, frozen=True):
    """From the agent. Payload: what the worker wrote to ``stream``."""

    stream: int


class Exited(msgspec.Struct, tag="exited", array_like=True, frozen=True, kw_only=True):
    """From the agent; comes last. ``code``: as in `subprocess.Popen.returncode`. ``progress``: the newest batch that
    the worker had begun; None: unknown. ``out_of_memory``: the kernel killed it to free memory."""

    code: int | None
    progress: int | None
    out_of_memory: bool = False


class Connect(msgspec.Struct, tag="connect", array_like=True, frozen=True, kw_only=True):
    """From the agent to the worker that it started: how to reach the server, and paths on this machine."""

    host: str
    port: int
    ca: str | None
    tls_name: str
    token: bytes
    model_dir: str
    metrics_config: str | None


ToAgent = Heartbeat | Taken | Kill
FromAgent = Arrived | Started | Refused | Usage | Output | Exited
decode_to_agent: Callable[[Buffer], ToAgent] = codec.decoding(ToAgent, "for an agent")
decode_from_agent: Callable[[Buffer], FromAgent] = codec.decoding(FromAgent, "of an agent")
decode_connect: Callable[[Buffer], Connect] = codec.decoding(Connect, "for a worker that connects")


def encode_connect(message: Connect) -> bytes:
    return msgspec.msgpack.encode(message)
