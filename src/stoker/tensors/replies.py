"""Writes a worker's answer to a request with tensors, and reads it in the server: a head, sizes, the raw data. PURE.

Heads repeat from answer to answer, so both sides keep those that they have seen.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

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
    """``id``, ``model_name``, ``model_version``: what the handler itself said; empty for nothing. ``head``: the same in
    answers that differ in nothing but data; empty: not known."""

    outputs: Sequence[Tensor]
    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: Parameters = NONE
    head: bytes = b""


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
    if answer[1:5] != _NOTHING_SAID or any(tensor.parameters for tensor in outputs):
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


def text_head(name: str, shape: tuple[int, ...]) -> bytes:
    """Returns the head of the most frequent answer: one output of one element of BYTES."""
    return _plain_head((name, BYTES, shape))


def encode_text(head: bytes, text: bytes | bytearray) -> bytes:
    """``head``: of `text_head`."""
    size = len(text)
    return b"".join((head, _TEXT.pack(size + 4, size), text))


def _plain(parameters: Mapping[str, bool | int | float | str]) -> Plain | None:
    return dict(parameters) or None


@lru_cache(maxsize=512)
def _plain_head(*outputs: tuple[str, str, tuple[int, ...]]) -> bytes:
    return _framed(_Head([OutputHead(name, datatype, list(shape)) for name, datatype, shape in outputs]))


def _framed(head: _Head) -> bytes:
    encoded = _encode(head)
    return _SIZE.pack(len(encoded)) + encoded


def decode(data: Buffer, *, batched: bool = False) -> Answer:
    """Reads an answer. ``batched``: it is a row of a batch of one, of which the shapes are returned.

    Raises ValueError: it is not what `encode` writes.
    """
    view = memoryview(data)
    try:
        start = _SIZE.size + _SIZE.unpack_from(view)[0]
        raw = bytes(view[_SIZE.size : start])
        read = _kept_head if start <= _LONGEST_KEPT else _read_head
        outputs, id, model_name, model_version, said, size = read(raw, batched)
        at = start + size
        tensors = []
        for name, datatype, shape, parameters in outputs:
            end = at + _SIZES.unpack_from(view, start)[0]
            tensors.append(Tensor(name, datatype, shape, view[at:end], parameters))
            start, at = start + _SIZES.size, end
    except (struct.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if at != len(view):
        raise ValueError("of another length")
    return Answer(tensors, id, model_name, model_version, said, b"1" + raw if batched else raw)


def _read_head(raw: bytes, batched: bool) -> tuple[list[Any], str, str, str, Parameters, int]:
    """Returns outputs, what the handler said, and how many bytes the sizes take."""
    head = _decode(raw)
    outputs = [
        (name, datatype, [1, *shape] if batched else shape, parameters or NONE)
        for name, datatype, shape, parameters in head.outputs
    ]
    size = _SIZES.size * len(outputs)
    return outputs, head.id, head.model_name, head.model_version, head.parameters or NONE, size


_kept_head = lru_cache(maxsize=512)(_read_head)
"""What it returns is shared: nobody changes it."""
