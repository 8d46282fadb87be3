"""Writes a worker's answer to a request with tensors, and reads it in the server: a head, then the raw data. PURE."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, Parameters, Tensor

_SIZE = struct.Struct("<I")


class OutputHead(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    nbytes: int
    parameters: dict[str, bool | int | float | str] | None = None


class Answer(NamedTuple):
    """``id``, ``model_name``, ``model_version``: what the handler itself said; empty for nothing."""

    outputs: Sequence[Tensor]
    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: Parameters = NONE


class _Head(NamedTuple):
    outputs: list[OutputHead]
    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: dict[str, bool | int | float | str] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Head).decode


def encode(answer: Answer) -> bytes:
    heads = [
        OutputHead(name, datatype, list(shape), len(data), dict(parameters) or None)
        for name, datatype, shape, data, parameters, _ in answer.outputs
    ]
    head = _encode(_Head(heads, answer.id, answer.model_name, answer.model_version, dict(answer.parameters) or None))
    return b"".join((_SIZE.pack(len(head)), head, *(tensor.data for tensor in answer.outputs)))


def decode(data: Buffer) -> Answer:
    """Raises ValueError: it is not what `encode` writes."""
    view = memoryview(data)
    if len(view) < _SIZE.size:
        raise ValueError("too short")
    at = _SIZE.size + _SIZE.unpack_from(view)[0]
    try:
        head = _decode(view[_SIZE.size : at])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    outputs = []
    for name, datatype, shape, nbytes, parameters in head.outputs:
        outputs.append(Tensor(name, datatype, shape, view[at : at + nbytes], parameters or NONE))
        at += nbytes
    if at != len(view):
        raise ValueError("of another length")
    return Answer(outputs, head.id, head.model_name, head.model_version, head.parameters or NONE)
