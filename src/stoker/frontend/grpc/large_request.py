"""Reads requests with large values without copying the values. PURE.

protobuf's parser copies every value twice, which for 50 MB is most of the server's work on a request.  This module cuts
large values out of the message as views; protobuf parses the rest.  A message that is not as clients' encoders write it
goes to protobuf whole, so that only protobuf decides what is invalid.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.frontend.grpc.messages import LARGE_BYTES
from stoker.frontend.grpc.varint import read_value
from stoker.protos import inference_pb2

_INPUT, _KEY, _VALUE = 0x1A, 0x0A, 0x12  # tags of PredictionsRequest.input and of the two fields of its entries
_SKIPPED = frozenset((0x0A, 0x12, 0x22))  # the other fields of the message, strings


class _NotPlain(Exception):
    """The message goes to protobuf whole."""


def parse(message: bytes | bytearray) -> tuple[inference_pb2.PredictionsRequest, list[Input]]:
    """Returns the request, which may lack large inputs, and all of its inputs. Raises DecodeError."""
    try:
        return _cut(message)
    except (_NotPlain, DecodeError):
        pass
    request = inference_pb2.PredictionsRequest.FromString(message)  # type: ignore[arg-type]
    values = request.input
    return request, [Input(name, "", values[name]) for name in values]


def _cut(message: bytes | bytearray) -> tuple[inference_pb2.PredictionsRequest, list[Input]]:
    view, inputs, rest = memoryview(message), dict[str, Buffer](), list[memoryview]()
    position = 0
    while position < len(message):
        tag = message[position]
        start, stop = _value(message, position + 1)
        if tag == _INPUT and stop - start > LARGE_BYTES:
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
    key, after = _value(message, start + 1)
    if after >= stop or message[after] != _VALUE:
        raise _NotPlain
    value, end = _value(message, after + 1)
    if end != stop:
        raise _NotPlain
    try:
        return message[key:after].decode(), value
    except UnicodeDecodeError:
        raise _NotPlain from None


def _value(message: bytes | bytearray, position: int) -> tuple[int, int]:
    found = read_value(message, position)
    if found is None:
        raise _NotPlain
    return found
