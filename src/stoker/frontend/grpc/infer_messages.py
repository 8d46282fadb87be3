"""Reads ModelInferRequest, writes ModelInferResponse. PURE.

Raw contents are cut out of the message as views, because protobuf's parser would copy them twice, and the rest, which
clients repeat, is parsed once; what goes out is joined once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.core.tensors import NONE, Parameters, Tensor
from stoker.errors import BadRequest, InvalidOutput, MalformedMessage
from stoker.frontend.grpc.varint import read_varint, varint
from stoker.frontend.open_inference.request import InferAnswer, InferRequest, Template
from stoker.protos import grpc_predict_v2_pb2 as pb
from stoker.tensors import elements
from stoker.tensors.datatypes import DATATYPES, Datatype

_RAW_INPUT, _ID_TAG = 0x3A, 0x1A  # tags: fields 7 and 3 of a request
_RAW_OUTPUT, _ID = b"\x32", b"\x1a"  # fields 6 and 3 of a response
_MOST_KEPT, _LONGEST_KEPT = 512, 2048
_LENGTH_DELIMITED = 2


# ----------------------------------------------------------------------------------------------- requests


def read(message: bytes | bytearray) -> tuple[InferRequest, bool | None]:
    """Returns the request, and whether its contents are raw; None: it has no inputs.

    Raises: MalformedMessage, BadRequest
    """
    try:
        cut = _cut(message)
        if cut is None or not cut.raw:
            return _parsed(pb.ModelInferRequest.FromString(bytes(message)))
        kept = _kept.get(cut.rest)
        if kept is None or len(cut.raw) != len(kept[0].inputs):
            request, _ = _parsed(pb.ModelInferRequest.FromString(cut.rest), cut.raw)
            kept = request, _keep(cut.rest, request)
        return _filled(kept[0], cut, kept[1]), True
    except (DecodeError, UnicodeDecodeError):
        raise MalformedMessage(message_type="ModelInferRequest") from None


class _Cut(NamedTuple):
    """``rest``: the message without its id and its raw contents."""

    rest: bytes
    id: bytes
    raw: Sequence[memoryview]


_kept: dict[bytes, tuple[InferRequest, Template | None]] = {}
"""Requests without id and data, by their messages."""


def _keep(rest: bytes, request: InferRequest) -> Template | None:
    if len(rest) > _LONGEST_KEPT:
        return None
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    template = Template()
    empty = [tensor._replace(data=b"") for tensor in request.inputs]
    _kept[rest] = request._replace(inputs=empty), template
    return template


def _filled(request: InferRequest, cut: _Cut, template: Template | None) -> InferRequest:
    inputs = [
        Tensor(name, datatype, shape, data, parameters)
        for (name, datatype, shape, _, parameters, _), data in zip(request.inputs, cut.raw, strict=True)
    ]
    model, version, _, _, outputs, parameters, _, _ = request
    return InferRequest(model, version, cut.id.decode(), inputs, outputs, parameters, None, template)


def _cut(message: bytes | bytearray) -> _Cut | None:
    """Cuts a message; None where it is no sequence of plain fields. A client's encoder writes those in order, so most
    of the rest is one piece."""
    view, end = memoryview(message), len(message)
    raw: list[memoryview] = []
    rest: list[memoryview] = []
    id = b""
    position = begun = 0
    while position < end:
        tag = message[position]
        if tag & 7 != _LENGTH_DELIMITED or tag > 0x7F:
            return None
        start = position + 2
        size = message[position + 1] if start <= end else end
        if size > 0x7F:
            field = read_varint(message, position + 1)
            if field is None:
                return None
            size, start = field
        stop = start + size
        if stop > end:
            return None
        if tag in (_RAW_INPUT, _ID_TAG):
            rest.append(view[begun:position])
            begun = stop
            if tag == _RAW_INPUT:
                raw.append(view[start:stop])
            else:
                id = bytes(view[start:stop])
        position = stop
    rest.append(view[begun:end])
    return _Cut(b"".join(rest), id, raw)


def _parsed(message: pb.ModelInferRequest, raw: Sequence[Buffer] = ()) -> tuple[InferRequest, bool | None]:
    raw = raw or message.raw_input_contents
    inputs = _raw_inputs(message, raw) if raw else [_typed_input(tensor) for tensor in message.inputs]
    outputs = [(output.name, parameters_of(output.parameters)) for output in message.outputs]
    request = InferRequest(
        message.model_name,
        message.model_version,
        message.id,
        inputs,
        outputs,
        parameters_of(message.parameters),
    )
    return request, bool(raw) if inputs else None


def _raw_inputs(request: pb.ModelInferRequest, raw: Sequence[Buffer]) -> list[Tensor]:
    tensors = request.inputs
    if len(tensors) != len(raw):
        raise BadRequest(
            f"the number of inputs ({len(tensors)}) does not match the expected number of raw input contents "
            f"({len(raw)}) for model '{request.model_name}'."
        )
    inputs = []
    for tensor, data in zip(tensors, raw, strict=True):
        if tensor.HasField("contents"):
            raise BadRequest(
                f"contents field must not be specified when using raw_input_contents for input '{tensor.name}' for "
                f"model '{request.model_name}'"
            )
        parameters = tensor.parameters
        inputs.append(Tensor(tensor.name, tensor.datatype, list(tensor.shape), data, parameters_of(parameters)))
    return inputs


def _typed_input(tensor: Any) -> Tensor:
    datatype = DATATYPES.get(tensor.datatype)
    if datatype is None:
        raise BadRequest(f"The datatype of input '{tensor.name}' is unknown: {tensor.datatype[:32]}")
    if not datatype.contents:
        raise BadRequest(f"Input '{tensor.name}' is {datatype.name}, which only raw_input_contents can carry.")
    for field, _ in tensor.contents.ListFields():
        if field.name != datatype.contents:
            raise BadRequest(f"Input '{tensor.name}' is {datatype.name}, and has {field.name}.")
    try:
        data = elements.raw_of(datatype, getattr(tensor.contents, datatype.contents))
    except ValueError as error:
        raise BadRequest(f"Input '{tensor.name}' {error}.") from None
    return Tensor(tensor.name, tensor.datatype, list(tensor.shape), data, parameters_of(tensor.parameters))


def parameters_of(given: Mapping[str, Any]) -> Parameters:
    """Reads a map of InferParameter; one that is not set counts as an empty text."""
    if not given:
        return NONE
    found: dict[str, Any] = {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, choice) if choice else ""
    return found


# ------------------------------------------------------------------------------------------------ answers


def write(answer: InferAnswer, *, raw: bool) -> bytes:
    """Encodes an answer. Datatypes without typed contents make all of it raw.

    Raises: InvalidOutput: it has text that protobuf cannot carry.
    """
    outputs = answer.outputs
    if not raw and all(DATATYPES[tensor.datatype].contents for tensor in outputs):
        return _message(answer, typed=True).SerializeToString()
    pieces: list[Buffer] = [_head(answer)]
    if answer.id:
        text = answer.id.encode("utf-8", "replace")
        pieces += (_ID, varint(len(text)), text)
    for tensor in outputs:
        pieces += (_RAW_OUTPUT, varint(len(tensor.data)), tensor.data)
    return b"".join(pieces)


def _head(answer: InferAnswer) -> bytes:
    """Returns all but id and contents; kept where it is the same from answer to answer."""
    if answer.parameters or any(tensor.parameters for tensor in answer.outputs):
        return _message(answer._replace(id=""), typed=False).SerializeToString()
    shapes = tuple([(name, datatype, tuple(shape)) for name, datatype, shape, _, _, _ in answer.outputs])
    return _plain_head(answer.model, answer.version, shapes)


@lru_cache(maxsize=512)
def _plain_head(model: str, version: str, outputs: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
    tensors = [Tensor(name, datatype, shape, b"") for name, datatype, shape in outputs]
    return _message(InferAnswer(model, version, "", tensors), typed=False).SerializeToString()


def message_of(answer: InferAnswer, *, raw: bool) -> pb.ModelInferResponse:
    return pb.ModelInferResponse.FromString(write(answer, raw=raw))


def _message(answer: InferAnswer, *, typed: bool) -> pb.ModelInferResponse:
    try:
        message = pb.ModelInferResponse(model_name=answer.model, model_version=answer.version, id=answer.id)
        _set_parameters(message.parameters, answer.parameters)
        for tensor in answer.outputs:
            output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            _set_parameters(output.parameters, tensor.parameters)
            if typed:
                _set_contents(output.contents, DATATYPES[tensor.datatype], tensor.data)
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
