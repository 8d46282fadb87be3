"""Turns messages into frame buffers and back: the only place that knows msgpack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc import frames
from stoker.ipc.to_server import ToServer
from stoker.ipc.to_worker import ToWorker

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_to_server: msgspec.msgpack.Decoder[ToServer] = msgspec.msgpack.Decoder(ToServer)

T = TypeVar("T")

_NOT_A_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Bad UTF-8 and deep nesting come out of msgspec as Python's own errors."""


def encode(message: msgspec.Struct, payloads: Sequence[Buffer] = ()) -> list[Buffer]:
    """Returns the buffers of one frame; `len` of each payload must be its size in bytes."""
    return frames.encode(_encoder.encode(message), payloads)


def decode_to_worker(header: memoryview) -> ToWorker:
    """Raises `frames.FrameError` when the peer sent something else."""
    return decode(_to_worker, header, "for a worker")


def decode_to_server(header: memoryview) -> ToServer:
    """Raises `frames.FrameError` when the peer sent something else."""
    return decode(_to_server, header, "for the server")


def decode(decoder: msgspec.msgpack.Decoder[T], header: Buffer, what: str) -> T:
    """Raises `frames.FrameError` when the peer sent something else."""
    try:
        return decoder.decode(header)
    except _NOT_A_MESSAGE as error:
        raise frames.FrameError(f"not a message {what}: {error}") from None
