"""Writes a worker's answer to a request with tensors, and reads it in the server: a head, sizes, the raw data. PURE.

Heads repeat from answer to answer, so both sides keep those that they have seen.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, Parameters, Tensor
from stoker.tensors.datatypes import BYTES

_SIZE = struct.Struct("<I")
_SIZES = struct.Struct("<Q")
_TEXT = struct.Struct("<QI")
_LONGEST_KEPT = 1024

Plain = dict[str, bool | int | float | str]


class OutputHead(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    parameters: Plain | None = None


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
    parameters: Plain | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Head).decode


def encode(answer: Answer) -> bytes:
    outputs = answer.outputs
    head = _plain_head(*[(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in outputs])
    if answer[1:] != _NOTHING_SAID or any(tensor.parameters for tensor in outputs):
        head = _framed(
            _Head(
                [OutputHead(name, kind, list(shape), _plain(given)) for name, kind, shape, _, given, _ in outputs],
                answer.id,
                answer.model_name,
                answer.model_version,
                _plain(answer.parameters),
            )
        )
    sizes = [_SIZES.pack(len(tensor.data)) for tensor in outputs]
    return b"".join((head, *sizes, *[tensor.data for tensor in outputs]))


_NOTHING_SAID = ("", "", "", NONE)


def encode_text(name: str, shape: tuple[int, ...], text: bytes | bytearray) -> bytes:
    """Encodes the most frequent answer: one output of one element of BYTES."""
    size = len(text)
    return b"".join((_plain_head((name, BYTES, shape)), _TEXT.pack(size + 4, size), text))


def _plain(parameters: Mapping[str, bool | int | float | str]) -> Plain | None:
    return dict(parameters) or None


@lru_cache(maxsize=512)
def _plain_head(*outputs: tuple[str, str, tuple[int, ...]]) -> bytes:
    return _framed(_Head([OutputHead(name, datatype, list(shape)) for name, datatype, shape in outputs]))


def _framed(head: _Head) -> bytes:
    encoded = _encode(head)
    return _SIZE.pack(len(encoded)) + encoded


def decode(data: Buffer) -> Answer:
    """Raises ValueError: it is not what `encode` writes."""
    view = memoryview(data)
    try:
        start = _SIZE.size + _SIZE.unpack_from(view)[0]
        raw = bytes(view[_SIZE.size : start])
        head = _kept_head(raw) if len(raw) <= _LONGEST_KEPT else _decode(raw)
        at = start + _SIZES.size * len(head.outputs)
        outputs = []
        for name, datatype, shape, parameters in head.outputs:
            end = at + _SIZES.unpack_from(view, start)[0]
            outputs.append(Tensor(name, datatype, shape, view[at:end], parameters or NONE))
            start, at = start + _SIZES.size, end
    except (struct.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if at != len(view):
        raise ValueError("of another length")
    return Answer(outputs, head.id, head.model_name, head.model_version, head.parameters or NONE)


_kept_head = lru_cache(maxsize=512)(_decode)
"""What it returns is shared: nobody changes it."""
