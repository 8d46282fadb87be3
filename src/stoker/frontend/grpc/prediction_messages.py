"""Reads requests of the inference service, and encodes its answers. PURE."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.message import DecodeError
from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.errors import BadRequest, MalformedMessage
from stoker.frontend.grpc import large_request
from stoker.frontend.grpc.fields import check_fields
from stoker.frontend.grpc.messages import LARGE_BYTES, LargeMessage, Message
from stoker.frontend.grpc.status import Status
from stoker.frontend.grpc.varint import varint
from stoker.frontend.request_limits import FEW_BYTES
from stoker.protos import inference_pb2


class PredictionRequest(Struct, frozen=True):
    """``version``: None for the default one. ``sequence_id``: empty for none. ``explains``: asks for an explanation."""

    model: str
    version: str | None
    inputs: list[Input]
    sequence_id: str
    explains: bool = False


_parse = inference_pb2.PredictionsRequest.FromString

EXPLANATIONS = "explanations/"
"""Prefix of a model's name, as in the paths of REST, that asks for an explanation."""


def read_request(message: bytes | bytearray) -> PredictionRequest:
    """Parses a PredictionsRequest.

    Raises: MalformedMessage, BadRequest: it names no model, or has too many fields
    """
    if len(message) > FEW_BYTES:
        check_fields(message)
    try:
        if len(message) > LARGE_BYTES:
            request, inputs = large_request.parse(message)
        else:
            request = _parse(message)  # type: ignore[arg-type]  # it takes any buffer
            values = request.input
            inputs = [Input(name, "", values[name]) for name in values]
    except DecodeError:
        raise MalformedMessage(message_type="PredictionsRequest") from None
    name = request.model_name
    explains = name.startswith(EXPLANATIONS)
    if explains:
        name = name[len(EXPLANATIONS) :]
    if not name:
        raise BadRequest("Parameter model_name is required.")
    return PredictionRequest(name, request.model_version or None, inputs, request.sequence_id, explains)


def prediction_response(*parts: Buffer) -> Message:
    """Encodes ``PredictionResponse{prediction: parts joined}`` without protobuf, which would copy the bytes twice."""
    if len(parts) == 1 and len(parts[0]) <= _SHORT:
        return _SHORT_FIELDS[len(parts[0])] + parts[0]
    size = sum(map(len, parts))
    if size > _SHORT:
        field = (b"\x0a" + varint(size), *parts)
        return b"".join(field) if size < LARGE_BYTES else LargeMessage(field)
    return b"".join((_SHORT_FIELDS[size], *parts))


_SHORT = 4096
_SHORT_FIELDS = (b"", *(b"\x0a" + varint(size) for size in range(1, _SHORT + 1)))
"""Tag and length of the prediction field, by its size; empty for no bytes, the field's default."""


def response_encoder(sequence_id: str) -> Callable[..., Message]:
    """Returns a `prediction_response` whose messages also name their sequence."""
    if not sequence_id:
        return prediction_response
    encoded = sequence_id.encode()
    field = b"\x12" + varint(len(encoded)) + encoded

    def encode(*parts: Buffer) -> Message:
        response = prediction_response(*parts)
        return response + field if isinstance(response, bytes) else LargeMessage((*response.buffers, field))

    return encode


def error_response(status: Status, reason: str, sequence_id: str) -> bytes:
    """Encodes the error of one request in a stream that goes on. ``reason``: TorchServe's name of the error."""
    response = inference_pb2.PredictionResponse()
    response.status.code = status.code
    response.status.message = status.details
    if reason:
        text = reason.encode()
        response.status.details.add(
            type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\x0a" + varint(len(text)) + text
        )
    if sequence_id:
        response.sequence_id = sequence_id
    return response.SerializeToString()
