"""Reads requests with large values without copying the values. PURE.

protobuf's parser copies every value twice, which for 50 MB is most of the server's work on a request.  This module cuts
large values out of the message as views; protobuf parses the rest.  Messages that differ from a client encoder's
output go to protobuf whole, so that only protobuf decides what is invalid.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.frontend.grpc.varint import read_varint
from stoker.protos import inference_pb2

LARGE_BYTES = 64 << 10
_INPUT, _KEY, _VALUE = 0x1A, 0x0A, 0x12  # tags of PredictionsRequest.input and of the two fields of its entries
_SKIPPED = frozenset((0x0A, 0x12, 0x22))  # the other fields of the message, strings


class _NotPlain(Exception):
    """A message that this module does not handle."""


def parse(message: bytes | bytearray) -> tuple[inference_pb2.PredictionsRequest, list[Input]]:
    """Returns the request, and its inputs. Raises DecodeError."""
    try:
        return _cut(message)
    except (_NotPlain, DecodeError):
        pass
    request = inference_pb2.PredictionsRequest.FromString(bytes(message))
    values = request.input
    return request, [Input(name, "", values[name]) for name in values]


def _cut(message: bytes | bytearray) -> tuple[inference_pb2.PredictionsRequest, list[Input]]:
    view, inputs, rest = memoryview(message), dict[str, Buffer](), list[memoryview]()
    position = 0
    while position < len(message):
        tag = message[position]
        size, start = _varint(message, position + 1)
        stop = start + size
        if stop > len(message):
            raise _NotPlain
        if tag == _INPUT and size > LARGE_BYTES:
            name, value = _entry(message, start, stop)
            if name in inputs:
                raise _NotPlain
            inputs[name] = view[value:stop]
        elif tag == _INPUT or tag in _SKIPPED:
            rest.append(view[position:stop])
        else:
            raise _NotPlain
        position = stop
    request = inference_pb2.PredictionsRequest.FromString(b"".join(rest))
    small = request.input
    for name in small:
        if name in inputs:
            raise _NotPlain
        inputs[name] = small[name]
    return request, [Input(name, "", value) for name, value in inputs.items()]


def _entry(message: bytes | bytearray, start: int, stop: int) -> tuple[str, int]:
    """Returns an entry's key, and where its value starts; the value ends with the entry."""
    if message[start] != _KEY:
        raise _NotPlain
    size, key = _varint(message, start + 1)
    after = key + size
    if after >= stop or message[after] != _VALUE:
        raise _NotPlain
    size, value = _varint(message, after + 1)
    if value + size != stop:
        raise _NotPlain
    try:
        return message[key:after].decode(), value
    except UnicodeDecodeError:
        raise _NotPlain from None


def _varint(message: bytes | bytearray, position: int) -> tuple[int, int]:
    found = read_varint(message, position)
    if found is None:
        raise _NotPlain
    return found
