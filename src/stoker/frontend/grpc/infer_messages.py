"""Reads ModelInferRequest, writes ModelInferResponse. PURE.

Raw contents are cut out of the message as views, because protobuf's parser would copy them twice, and the rest, which
clients repeat, is parsed once; what goes out is joined once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
        if cut is None:
            return _parsed(pb.ModelInferRequest.FromString(bytes(message)))
        rest, id, raw = cut
        kept = _kept.get(rest)
        if kept is None or len(raw) != len(kept[0].inputs):
            request, _ = _parsed(pb.ModelInferRequest.FromString(rest), raw)
            kept = request, _keep(rest, request)
        (model, version, _, tensors, outputs, parameters, _, _), template = kept
        inputs = [
            Tensor(name, datatype, shape, data, given)
            for (name, datatype, shape, _, given, _), data in zip(tensors, raw, strict=True)
        ]
        text = id.decode() if id else ""
        return InferRequest(model, version, text, inputs, outputs, parameters, None, template), True
    except (DecodeError, UnicodeDecodeError):
        raise MalformedMessage(message_type="ModelInferRequest") from None


_kept: dict[bytes, tuple[InferRequest, Template | None]] = {}
"""Requests without id and data, by their messages without these."""


def _keep(rest: bytes, request: InferRequest) -> Template | None:
    if len(rest) > _LONGEST_KEPT:
        return None
    if len(_kept) >= _MOST_KEPT:
        _kept.clear()
    template = Template()
    _kept[rest] = request._replace(inputs=[tensor._replace(data=b"") for tensor in request.inputs]), template
    return template


def _cut(message: bytes | bytearray) -> tuple[bytes, bytes, Sequence[memoryview]] | None:
    """Returns the message without id and raw contents, the id, the contents; None: it has none, or is no sequence of
    plain fields. A client's encoder writes those in order, so most of the rest is one piece."""
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
            if begun < position:
                rest.append(view[begun:position])
            begun = stop
            if tag == _RAW_INPUT:
                raw.append(view[start:stop])
            else:
                id = bytes(view[start:stop])
        position = stop
    if not raw:
        return None
    if begun < end:
        rest.append(view[begun:end])
    return b"".join(rest), id, raw


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
        data = tensor.data
        pieces += (_RAW_OUTPUT, varint(len(data)), data)
    return b"".join(pieces)


_heads: dict[tuple[bytes, str, str], bytes] = {}
"""Encoded answers without id and data, by what makes them."""


def _head(answer: InferAnswer) -> bytes:
    """Returns all but id and contents."""
    key = (answer.head, answer.model, answer.version)
    found = _heads.get(key) if answer.head else None
    if found is None:
        found = _message(answer._replace(id=""), typed=False).SerializeToString()
        if answer.head:
            if len(_heads) >= _MOST_KEPT:
                _heads.clear()
            _heads[key] = found
    return found


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
