"""Defines the call of sequences, as `calls` does those of models."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, NamedTuple

import grpc

from stoker.client.calls import Call, Headers, Payload, Service, inputs
from stoker.client.results import CallError, SequencePart
from stoker.protos import inference_pb2

_START, _END = "ts_request_sequence_start", "ts_request_sequence_end"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class SequenceRequest(NamedTuple):
    """One request of a sequence. ``sequence_id``: empty: the one of the request before; the first request needs
    an id or ``start``. ``end``: the server closes the sequence after the answer."""

    model: str
    payload: Payload
    sequence_id: str = ""
    start: bool = False
    end: bool = False
    version: str | None = None


def predict_sequences(
    requests: Iterable[SequenceRequest] | AsyncIterable[SequenceRequest],
    *,
    timeout: float | None = None,
    metadata: Mapping[str, str | bytes] | None = None,
) -> Call[SequencePart]:
    """Sends requests of many sequences in one call (StreamPredictions2); yields the parts of answers as they come.

    Answers of one sequence come in the order of its requests. What goes wrong with one request is the ``error`` of a
    part, and the call goes on. Closing the iterator cancels what is not answered; the sequences stay open.

    Args:
        requests: sent as fast as the server takes them; `AsyncClient` takes an asynchronous iterable too.
        timeout: seconds for the whole call; None: no deadline.
        metadata: reaches the handlers as request headers.

    Raises:
        CallError: the whole call failed: UNAVAILABLE, no server or it stops; DEADLINE_EXCEEDED; PERMISSION_DENIED.
    """
    messages = map(_message, requests) if isinstance(requests, Iterable) else _awaited(requests)
    return Call(Service.INFERENCE, "StreamPredictions2", messages, timeout, _part, metadata)


async def _awaited(requests: AsyncIterable[SequenceRequest]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _message(request)


def _message(request: SequenceRequest) -> Any:
    named = dict(inputs(request.payload))
    if request.start:
        named[_START] = b"true"
    if request.end:
        named[_END] = b"true"
    message = inference_pb2.PredictionsRequest(
        model_name=request.model, model_version=request.version or "", input=named
    )
    if request.sequence_id:
        message.sequence_id = request.sequence_id
    return message


def _part(reply: Any, _: Headers) -> SequencePart:
    if not reply.HasField("status"):
        return SequencePart(reply.sequence_id, reply.prediction)
    status = reply.status
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return SequencePart(reply.sequence_id, b"", CallError(code, status.message))
