"""Reads ModelInferRequest, writes ModelInferResponse. PURE.

Raw contents are cut out of the message as views, because protobuf's parser would copy them twice.  The rest, which
clients repeat from request to request, is parsed once and kept.  A response is joined from its parts once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, NamedHead, Parameters
from stoker.errors import BadRequest, InvalidOutput, MalformedMessage
from stoker.frontend.grpc.fields import check_fields
from stoker.frontend.grpc.varint import read_value, varint
from stoker.frontend.open_inference.checks import datatype_of
from stoker.frontend.open_inference.conversions import Conversions
from stoker.frontend.open_inference.request import AnswerHead, InferAnswer, InferRequest, RequestHead
from stoker.frontend.request_limits import FEW_BYTES, MOST_NUMBERS, MOST_TEXTS, check_count, most
from stoker.protos import grpc_predict_v2_pb2 as pb
from stoker.tensors import elements
from stoker.tensors.datatypes import DATATYPES, Datatype

_NAME_TAG, _ID_TAG, _RAW_TAG = 0x0A, 0x1A, 0x3A  # fields 1, 3 and 7 of a request
_TENSORS = (0x2A, 0x32)  # fields 5 and 6: inputs and requested outputs
_RAW_OUTPUT, _ID = b"\x32", b"\x1a"  # fields 6 and 3 of a response
_MOST_MODELS, _MOST_OF_A_MODEL, _LONGEST_KEPT = 512, 8, 2048
_LENGTH_DELIMITED = 2

Read = tuple[InferRequest, bool | None]
"""A request, and whether its contents are raw; None: it has no inputs."""


# ----------------------------------------------------------------------------------------------- requests


class _Known(NamedTuple):
    """Keeps the parsed head of messages that differ only in what is between ``before`` and ``after``, and in raw
    contents."""

    before: bytes
    after: bytes
    head: RequestHead


_known: dict[bytes, deque[_Known]] = {}
"""The newest heads of each model, by the field that names it."""


def read(message: bytes | bytearray) -> Read:
    """Raises MalformedMessage, BadRequest."""
    if len(message) > FEW_BYTES:
        check_fields(message, _TENSORS)
    try:
        name = _name_field(message)
        for known in _known.get(name, ()):
            if message.startswith(known.before) and (repeated := _repeated(message, known)) is not None:
                return repeated, True
        cut = _cut(message)
        if cut is None:
            return _parsed(_message_of(message))
        request, _ = _parsed(_message_of(cut.rest), cut.raw)
        known = _Known(cut.rest[: cut.first], cut.rest[cut.first :], request.head)
        if _repeated(message, known) is not None:
            _keep(name, known)
        return InferRequest(request.head, cut.id.decode(), cut.raw), True
    except (DecodeError, UnicodeDecodeError):
        raise _malformed() from None


def needs_steps(message: bytes | bytearray) -> bool:
    """Tells whether a large message has contents to convert. One of too many fields has not: `read` refuses it."""
    try:
        check_fields(message, _TENSORS)
    except BadRequest:
        return False
    return _cut(message) is None


def read_in_steps(message: bytes | bytearray) -> Generator[None, None, Read]:
    """Reads a message for which `needs_steps`; yields between them. Raises MalformedMessage, BadRequest."""
    conversions = Conversions()
    try:
        found = _parsed(_message_of(message), later=conversions)
    except (DecodeError, UnicodeDecodeError):
        raise _malformed() from None
    yield
    yield from conversions.steps()
    return found


def _malformed() -> MalformedMessage:
    return MalformedMessage(message_type="ModelInferRequest")


def _name_field(message: bytes | bytearray) -> bytes:
    """Returns the encoded field of the model's name; empty if it is not the first field, or long."""
    if len(message) < 2 or message[0] != _NAME_TAG or message[1] > 0x7F:
        return b""
    return bytes(message[: message[1] + 2])


def _keep(name: bytes, known: _Known) -> None:
    if not name or len(known.before) + len(known.after) > _LONGEST_KEPT:
        return
    if name not in _known and len(_known) >= _MOST_MODELS:
        _known.clear()
    _known.setdefault(name, deque(maxlen=_MOST_OF_A_MODEL)).appendleft(known)


def _repeated(message: bytes | bytearray, known: _Known) -> InferRequest | None:
    """Reads a message that begins like ``known``. None: it continues differently, or its fields are not in order."""
    before, after, head = known
    position, end, view = len(before), len(message), memoryview(message)
    raw: list[Buffer] = []
    id = ""
    while position < end:
        value = read_value(message, position + 1)
        if value is None:
            return None
        start, stop = value
        tag = message[position]
        if tag == _RAW_TAG and not after:
            raw.append(view[start:stop])
        elif tag == _ID_TAG and position == len(before) and message.startswith(after, stop):
            id = str(view[start:stop], "utf-8")
            stop += len(after)
            after = b""
        else:
            return None
        position = stop
    return InferRequest(head, id, raw) if len(raw) == len(head.inputs) else None


class _Cut(Struct):
    """A message split into its id, its raw contents and the ``rest``. ``first``: where the first cut in the rest is."""

    first: int
    rest: bytes
    id: bytes
    raw: list[memoryview]


def _cut(message: bytes | bytearray) -> _Cut | None:
    """Splits a message. None: it has no raw contents, or a field unlike all those of ModelInferRequest."""
    view, end = memoryview(message), len(message)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    id, first, begun, position = b"", -1, 0, 0
    while position < end:
        tag = message[position]
        if tag & 7 != _LENGTH_DELIMITED or tag > 0x7F:
            return None
        value = read_value(message, position + 1)
        if value is None:
            return None
        start, stop = value
        if tag in (_RAW_TAG, _ID_TAG):
            if begun < position:
                rest.append(view[begun:position])
            if first < 0:
                first = position
            begun = stop
            if tag == _RAW_TAG:
                raw.append(view[start:stop])
            else:
                id = bytes(view[start:stop])
        position = stop
    if not raw:
        return None
    if begun < end:
        rest.append(view[begun:end])
    return _Cut(first, b"".join(rest), id, raw)


def _message_of(data: bytes | bytearray) -> pb.ModelInferRequest:
    """Raises: DecodeError; BadRequest: a tensor's shape or contents are too long"""
    message = pb.ModelInferRequest.FromString(data)  # type: ignore[arg-type]  # a copy of a large one takes as long
    if len(data) > FEW_BYTES:
        _check_lengths(message, len(data))
    return message


def _check_lengths(message: pb.ModelInferRequest, size: int) -> None:
    values = texts = 0
    for tensor in message.inputs:
        if len(tensor.shape) > elements.MAX_DIMENSIONS:
            raise BadRequest(f"Input '{tensor.name}' has more than {elements.MAX_DIMENSIONS} dimensions.")
        values += sum(len(each) for _, each in tensor.contents.ListFields())
        texts += len(tensor.contents.bytes_contents)
    check_count(values - texts, most(MOST_NUMBERS, size), "numbers in typed contents")
    check_count(texts, most(MOST_TEXTS, size), "elements of BYTES")


def _parsed(message: pb.ModelInferRequest, raw: Sequence[Buffer] = (), later: Conversions | None = None) -> Read:
    raw = raw or message.raw_input_contents
    data = _raw_data(message, raw) if raw else list(map(_typed_data, message.inputs, repeat(later)))
    inputs = [
        NamedHead(tensor.name, tensor.datatype, list(tensor.shape), parameters_of(tensor.parameters))
        for tensor in message.inputs
    ]
    outputs = [(output.name, parameters_of(output.parameters)) for output in message.outputs]
    parameters = parameters_of(message.parameters)
    head = RequestHead(message.model_name, message.model_version, inputs, outputs, parameters)
    return InferRequest(head, message.id, data), bool(raw) if inputs else None


def _raw_data(request: pb.ModelInferRequest, raw: Sequence[Buffer]) -> Sequence[Buffer]:
    tensors = request.inputs
    if len(tensors) != len(raw):
        raise BadRequest(
            f"the number of inputs ({len(tensors)}) does not match the expected number of raw input contents "
            f"({len(raw)}) for model '{request.model_name}'."
        )
    for tensor in tensors:
        if tensor.HasField("contents"):
            raise BadRequest(
                f"contents field must not be specified when using raw_input_contents for input '{tensor.name}' for "
                f"model '{request.model_name}'"
            )
    return raw


def _typed_data(tensor: Any, later: Conversions | None) -> Buffer:
    datatype = datatype_of(tensor.name, tensor.datatype)
    if not datatype.contents:
        raise BadRequest(f"Input '{tensor.name}' is {datatype.name}, which only raw_input_contents can carry.")
    for field, _ in tensor.contents.ListFields():
        if field.name != datatype.contents:
            raise BadRequest(f"Input '{tensor.name}' is {datatype.name}, and has {field.name}.")
    values = getattr(tensor.contents, datatype.contents)
    if later is not None:
        return later.add(tensor.name, datatype, values, elements.raw_of)
    try:
        return elements.raw_of(datatype, values)
    except ValueError as error:
        raise BadRequest(f"Input '{tensor.name}' {error}.") from None


def parameters_of(given: Mapping[str, Any]) -> Parameters:
    """Reads a map of InferParameter; one without a value counts as an empty string."""
    if not given:
        return NONE
    found: dict[str, Any] = {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, choice) if choice else ""
    return found


# ------------------------------------------------------------------------------------------------ answers


def write(answer: InferAnswer, *, raw: bool) -> bytes:
    """Encodes an answer. If any output's datatype has no typed contents, all outputs are raw.

    Raises: InvalidOutput: the answer holds text that protobuf cannot carry.
    """
    head = answer.head
    if not raw and all(DATATYPES[output.datatype].contents for output in head.outputs):
        return _typed(answer)
    if not head.encoded:
        head.encoded = _message(head).SerializeToString()
    pieces: list[Buffer] = [head.encoded]
    if answer.id:
        text = answer.id.encode("utf-8", "replace")
        pieces += (_ID, varint(len(text)), text)
    for data in answer.data:
        pieces += (_RAW_OUTPUT, varint(len(data)), data)
    return b"".join(pieces)


def _typed(answer: InferAnswer) -> bytes:
    message = _message(answer.head)
    message.id = answer.id
    for output, data in zip(message.outputs, answer.data, strict=True):
        _set_contents(output.contents, DATATYPES[output.datatype], data)
    return message.SerializeToString()


def _message(head: AnswerHead) -> pb.ModelInferResponse:
    try:
        message = pb.ModelInferResponse(model_name=head.model, model_version=head.version)
        _set_parameters(message.parameters, head.parameters)
        for name, datatype, shape, parameters, _ in head.outputs:
            output = message.outputs.add(name=name, datatype=datatype, shape=shape)
            _set_parameters(output.parameters, parameters or NONE)
        return message
    except (ValueError, TypeError) as error:
        raise InvalidOutput("The handler's result cannot be sent as protobuf.") from error


def _set_contents(contents: Any, datatype: Datatype, data: Buffer) -> None:
    values = elements.values_of(datatype, data)
    getattr(contents, datatype.contents).extend(map(bytes, values) if not datatype.size else values)


def _set_parameters(target: Any, parameters: Parameters) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            setattr(target[name], "int64_param" if -(2**63) <= value < 2**63 else "uint64_param", value)
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value
