"""Encodes in the worker, and decodes in the server, the answer to a request with tensors. PURE.

An answer is a head, the sizes of all outputs but the last one, and the raw data. Heads repeat from answer to answer,
so both sides cache them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from stoker.core.buffer import EXACT, Buffer, exact
from stoker.core.tensors import NONE, NamedHead, Parameters, Tensor
from stoker.tensors.datatypes import BYTES

_SIZE = struct.Struct("<I")
_SIZES = struct.Struct("<Q")
_UNSET = ("", "", "", NONE)


class Answer(NamedTuple):
    """``id``, ``model_name``, ``model_version``: as the handler set them; empty: unset."""

    outputs: Sequence[Tensor]
    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: Parameters = NONE


class ReplyHead(NamedTuple):
    """An answer without its data."""

    outputs: Sequence[NamedHead]
    id: str = ""
    model_name: str = ""
    model_version: str = ""
    parameters: Parameters | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ReplyHead).decode


def encode(answer: Answer) -> bytes:
    outputs = answer.outputs
    if answer[1:] == _UNSET and not any(tensor.parameters for tensor in outputs):
        head = _plain_head(*[(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in outputs])
    else:
        heads = [NamedHead(name, kind, list(shape), given or None) for name, kind, shape, _, given, _ in outputs]
        head = _framed(ReplyHead(heads, *answer[1:4], answer.parameters or None))
    sizes = [_SIZES.pack(len(tensor.data)) for tensor in outputs[:-1]]
    return b"".join((head, *sizes, *[tensor.data for tensor in outputs]))


def text_head(name: str, shape: tuple[int, ...]) -> bytes:
    """Returns the head of the most frequent answer: one output of one element of BYTES."""
    return _plain_head((name, BYTES, shape))


def encode_text(head: bytes, text: bytes | bytearray | str) -> bytes:
    """``head``: of `text_head`."""
    if isinstance(text, str):
        text = text.encode("utf-8", "replace")
    if type(text) not in EXACT:
        text = exact(text)
    return b"".join((head, _SIZE.pack(len(text)), text))


@lru_cache(maxsize=512)
def _plain_head(*outputs: tuple[str, str, tuple[int, ...]]) -> bytes:
    return _framed(ReplyHead([NamedHead(*output) for output in outputs]))


def _framed(head: ReplyHead) -> bytes:
    encoded = _encode(head)
    return _SIZE.pack(len(encoded)) + encoded


def split(reply: Buffer) -> tuple[bytes, Buffer]:
    """Returns the head, still encoded, and the rest. Raises ValueError: it is not what `encode` writes."""
    if len(reply) < _SIZE.size:
        raise ValueError("no head")
    start = _SIZE.size + _SIZE.unpack_from(reply)[0]
    return bytes(reply[_SIZE.size : start]), reply[start:]


def read_head(head: bytes) -> ReplyHead:
    """Raises ValueError: it is not what `encode` writes."""
    try:
        return _decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def contents(rest: Buffer, count: int) -> list[Buffer]:
    """Returns the data of ``count`` outputs. Raises ValueError: it is not what `encode` writes."""
    if count == 1:
        return [rest]
    at = max(0, count - 1) * _SIZES.size
    if at > len(rest):
        raise ValueError("no sizes")
    found = []
    for (size,) in _SIZES.iter_unpack(rest[:at]):
        found.append(rest[at : at + size])
        at += size
    if at > len(rest) or (not count and rest):
        raise ValueError("of another length")
    return [*found, rest[at:]] if count else []
