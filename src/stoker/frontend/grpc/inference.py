"""The inference service: Ping, Predictions, StreamPredictions.

An answer is moved by the reply's own listener: no task, no timer and no thread hop between a worker's frame and the
engine.  A stream reads the next chunk only while the engine has room, so that a client that does not read is felt by
the worker and by nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from google.protobuf.message import DecodeError

from stoker.core.buffer import Buffer
from stoker.core.job import Input
from stoker.core.ports import InferencePort
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.errors import BadRequest, DeadlineExceeded, MalformedMessage, ServerStopping, StreamStalled
from stoker.frontend.grpc import large_request
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import request_headers, trailing_metadata
from stoker.frontend.grpc.status import inference_status
from stoker.protos import inference_pb2

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"


def inference_methods(inference: InferencePort, *, status_codes: str = "correct") -> Sequence[Method]:
    """``status_codes``: the setting grpc_status_codes. StreamPredictions2 is not served: UNIMPLEMENTED."""
    status_of = inference_status(status_codes)

    def method(name: str, kind: Kind, handle: Callable[[Call], None]) -> Method:
        dense = kind is Kind.STREAM
        return Method(path=f"/{SERVICE}/{name}", kind=kind, handle=handle, status_of=status_of, dense=dense)

    return [
        method("Ping", Kind.UNARY, partial(_ping, inference)),
        method("Predictions", Kind.UNARY, partial(_predictions, inference)),
        method("StreamPredictions", Kind.STREAM, partial(_stream_predictions, inference)),
    ]


def _ping(inference: InferencePort, call: Call) -> None:
    word = "Healthy" if inference.healthy() else "Unhealthy"
    health = json.dumps({"status": word}, indent=2)
    call.respond(inference_pb2.TorchServeHealthResponse(health=health).SerializeToString())


def _predictions(inference: InferencePort, call: Call) -> None:
    _UnaryAnswer(call, _submit(inference, call, streaming=False))


def _stream_predictions(inference: InferencePort, call: Call) -> None:
    _StreamAnswer(call, _submit(inference, call, streaming=True))


def _submit(inference: InferencePort, call: Call, *, streaming: bool) -> ReplyStream:
    try:
        request, inputs = large_request.parse(call.request)
    except DecodeError:
        raise MalformedMessage(message_type="PredictionsRequest") from None
    call.request = b""  # its values live on in the inputs; two copies of a large one are one too many
    if not request.model_name:
        raise BadRequest("Parameter model_name is required.")
    return inference.submit(
        request.model_name,
        request.model_version or None,
        [Input(name, "", value) for name, value in inputs.items()],
        headers=request_headers(call.metadata),
        deadline=call.deadline,
        streaming=streaming,
    )


class _UnaryAnswer:
    """One message at the end. The parts of a handler that answers in parts are kept in the reply until then."""

    __slots__ = ("_call", "_reply")

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        self._call = call
        self._reply = reply
        call.on_cancel = reply.cancel
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        reply, call = self._reply, self._call
        if not reply.ended:
            return
        try:
            if reply.error is not None:
                call.fail(reply.error)
            else:
                self._respond(reply.rest())
        except Exception as error:
            call.abandon(error)

    def _respond(self, chunks: Sequence[Chunk]) -> None:
        meta = None
        for chunk in chunks:
            if chunk.meta is not None:
                meta = chunk.meta
        payload = prediction_response(*[chunk.data for chunk in chunks])
        self._call.respond(payload, () if meta is None else trailing_metadata(meta))


_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that do not wait until the client has read what came before them."""


class _StreamAnswer:
    """One message for each chunk, as soon as it comes and the engine has room."""

    __slots__ = ("_busy", "_call", "_meta", "_reply")

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        self._call = call
        self._reply = reply
        self._busy = False
        self._meta: ResponseMeta | None = None
        call.on_cancel = reply.cancel
        call.on_writable = self._on_reply
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        """Reading may give the producer room to push at once; the outer call then goes on with it, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            self._move()
        except Exception as error:
            self._call.abandon(error)
        finally:
            self._busy = False

    def _move(self) -> None:
        call, reply = self._call, self._reply
        while call.writable and (chunk := reply.next_nowait()) is not None:
            if chunk.meta is not None:
                self._meta = chunk.meta
            call.send(prediction_response(chunk.data))
        if isinstance(reply.error, _NOT_AFTER_THE_REST):
            call.fail(reply.error)
        elif reply.exhausted and call.writable:
            self._end()

    def _end(self) -> None:
        error = self._reply.error
        if error is not None:
            self._call.fail(error)
        else:
            self._call.finish(trailing_metadata(self._meta))


def prediction_response(*parts: Buffer) -> bytes:
    """``PredictionResponse{prediction: parts joined}``, encoded here because protobuf would copy the bytes twice."""
    size = sum(map(len, parts))
    if size > _SHORT:
        return b"".join((b"\x0a" + _varint(size), *parts))
    return b"".join((_SHORT_FIELDS[size], *parts))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SHORT = 4096
_SHORT_FIELDS = (b"", *(b"\x0a" + _varint(size) for size in range(1, _SHORT + 1)))
"""Tag and length of a field of each small size; none for no bytes, the field's default."""
