"""Encodes messages as buffers of frames, and decodes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stoker.core.buffer import Buffer
from stoker.ipc.frames import DIRECT_READ_BYTES, MAX_PAYLOAD_BYTES, PREFIX, FrameError
from stoker.ipc.to_server import ToServer
from stoker.ipc.to_worker import ToWorker

_pack = msgspec.msgpack.Encoder().encode

_NOT_A_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""For bad UTF-8 and deep nesting msgspec raises Python's own errors."""


def encode(message: msgspec.Struct, payloads: Sequence[Buffer] = ()) -> list[Buffer]:
    """Returns the buffers of one frame, for a gathering write; `len` of each payload must be its size in bytes.

    Joins small payloads into one buffer. Raises: FrameError: the payloads are too large for a frame.
    """
    header, payload_bytes = _pack(message), sum(map(len, payloads))
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise FrameError(f"{payload_bytes} bytes do not fit into one frame")
    prefix = PREFIX.pack(len(header), payload_bytes)
    if payload_bytes <= DIRECT_READ_BYTES:
        return [b"".join((prefix, header, *payloads))]
    return [prefix + header, *payloads]


def decoding(kind: Any, what: str) -> Callable[[Buffer], Any]:
    """Returns a function that decodes messages of ``kind``, a type or a union of types. ``what`` names them in errors.

    That function raises `FrameError` if the peer sent something else.
    """
    decoder = msgspec.msgpack.Decoder(kind)

    def decode(header: Buffer) -> Any:
        try:
            return decoder.decode(header)
        except _NOT_A_MESSAGE as error:
            raise FrameError(f"not a message {what}: {error}") from None

    return decode


decode_to_worker: Callable[[Buffer], ToWorker] = decoding(ToWorker, "for a worker")
decode_to_server: Callable[[Buffer], ToServer] = decoding(ToServer, "for the server")
