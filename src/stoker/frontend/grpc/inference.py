"""The inference service: Ping, Predictions, StreamPredictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.core.job import new_request_id
from stoker.core.ports import InferencePort
from stoker.core.reply import ReplyStream
from stoker.errors import BadRequest, MalformedMessage
from stoker.frontend.answers import StreamAnswer, UnaryAnswer
from stoker.frontend.grpc import large_request
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import request_headers
from stoker.frontend.grpc.status import inference_status
from stoker.frontend.grpc.varint import varint
from stoker.protos import inference_pb2

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"


def inference_methods(inference: InferencePort, *, status_codes: str = "correct") -> Sequence[Method]:
    """Returns the service's methods.

    ``status_codes``: the setting grpc_status_codes. StreamPredictions2 is UNIMPLEMENTED.
    """
    status_of = inference_status(status_codes)

    def method(name: str, kind: Kind, handle: Callable[[Call], None]) -> Method:
        return Method(
            path=f"/{SERVICE}/{name}",
            kind=kind,
            handle=handle,
            status_of=status_of,
            encode=prediction_response,
            keeps_deadline=True,
        )

    return [
        method("Ping", Kind.UNARY, partial(_ping, inference)),
        method("Predictions", Kind.UNARY, partial(_predictions, inference)),
        method("StreamPredictions", Kind.STREAM, partial(_stream_predictions, inference)),
    ]


def _ping(inference: InferencePort, call: Call) -> None:
    word = "Healthy" if inference.healthy() else "Unhealthy"
    health = json.dumps({"status": word}, indent=2)
    call.reply(inference_pb2.TorchServeHealthResponse(health=health).SerializeToString())


def _predictions(inference: InferencePort, call: Call) -> None:
    UnaryAnswer(call, _submit(inference, call, streaming=False))


def _stream_predictions(inference: InferencePort, call: Call) -> None:
    StreamAnswer(call, _submit(inference, call, streaming=True))


def _submit(inference: InferencePort, call: Call, *, streaming: bool) -> ReplyStream:
    try:
        request, inputs = large_request.parse(call.request)
    except DecodeError:
        raise MalformedMessage(message_type="PredictionsRequest") from None
    call.request = b""  # its values live on in the inputs; a second copy of a large one would be waste
    if not request.model_name:
        raise BadRequest("Parameter model_name is required.")
    call.request_id = new_request_id()
    return inference.submit(
        request.model_name,
        request.model_version or None,
        inputs,
        headers=request_headers(call.metadata) if call.metadata else None,
        deadline=call.deadline,
        streaming=streaming,
        request_id=call.request_id,
    )


def prediction_response(*parts: Buffer) -> bytes:
    """Encodes ``PredictionResponse{prediction: parts joined}`` here, because protobuf would copy the bytes twice."""
    size = sum(map(len, parts))
    if size > _SHORT:
        return b"".join((b"\x0a" + varint(size), *parts))
    return b"".join((_SHORT_FIELDS[size], *parts))


_SHORT = 4096
_SHORT_FIELDS = (b"", *(b"\x0a" + varint(size) for size in range(1, _SHORT + 1)))
"""Tag and length of a field, by small size; empty for no bytes, the field's default."""
