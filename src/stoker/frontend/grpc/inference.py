"""The inference service: Ping, Predictions, StreamPredictions.

An answer is moved by the reply's own listener: no task, no timer and no thread hop between a worker's frame and the
engine.  A stream reads the next chunk only while the engine has room, so that a client that does not read is felt by
the worker and by nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from stoker.core.job import Buffer, Input
from stoker.core.ports import InferencePort
from stoker.core.reply import ReplyStream, ResponseMeta
from stoker.errors import BadRequest, DeadlineExceeded, MalformedMessage, ServerStopping, StreamStalled
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import request_headers, trailing_metadata
from stoker.frontend.grpc.status import inference_status
from stoker.protos import inference_pb2

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"


def inference_methods(inference: InferencePort, *, status_codes: str = "correct") -> Sequence[Method]:
    """``status_codes``: the setting grpc_status_codes. StreamPredictions2 is not served: UNIMPLEMENTED."""
    status_of = inference_status(status_codes)

    def method(name: str, kind: Kind, handle: Callable[[Call], None]) -> Method:
        return Method(path=f"/{SERVICE}/{name}", kind=kind, handle=handle, status_of=status_of)

    return [
        method("Ping", Kind.UNARY, lambda call: _ping(inference, call)),
        method("Predictions", Kind.UNARY, lambda call: _predictions(inference, call)),
        method("StreamPredictions", Kind.STREAM, lambda call: _stream_predictions(inference, call)),
    ]


def _ping(inference: InferencePort, call: Call) -> None:
    word = "Healthy" if inference.healthy() else "Unhealthy"
    health = json.dumps({"status": word}, indent=2)
    call.respond(inference_pb2.TorchServeHealthResponse(health=health).SerializeToString())


def _predictions(inference: InferencePort, call: Call) -> None:
    _UnaryAnswer(call, _submit(inference, call, streaming=False)).begin()


def _stream_predictions(inference: InferencePort, call: Call) -> None:
    _StreamAnswer(call, _submit(inference, call, streaming=True)).begin()


def _submit(inference: InferencePort, call: Call, *, streaming: bool) -> ReplyStream:
    try:
        request = inference_pb2.PredictionsRequest.FromString(call.request)
    except DecodeError:
        raise MalformedMessage(message_type="PredictionsRequest") from None
    call.request = b""  # its values live on in the inputs; two copies of a large one are one too many
    if not request.model_name:
        raise BadRequest("Parameter model_name is required.")
    return inference.submit(
        request.model_name,
        request.model_version or None,
        [Input(name, "", value) for name, value in request.input.items()],
        headers=request_headers(call.metadata),
        deadline=call.deadline,
        streaming=streaming,
    )


class _Answer:
    """Moves what comes back for one request to its call."""

    __slots__ = ("_busy", "_call", "_reply")

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        self._call = call
        self._reply = reply
        self._busy = False

    def begin(self) -> None:
        self._call.on_cancel = self._cancelled
        self._reply.subscribe(self._on_reply)

    def _cancelled(self) -> None:
        self._reply.subscribe(None)
        self._reply.cancel()

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
        if self._call.ended:
            self._reply.subscribe(None)  # it held this object, and this object holds it

    def _move(self) -> None:
        raise NotImplementedError


class _UnaryAnswer(_Answer):
    """One message at the end. A handler that answers in parts is read as it goes, so that it is never held up."""

    __slots__ = ("_meta", "_parts")

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        super().__init__(call, reply)
        self._parts: list[Buffer] = []
        self._meta: ResponseMeta | None = None

    def _move(self) -> None:
        reply = self._reply
        while (chunk := reply.next_nowait()) is not None:
            self._parts.append(chunk.data)
            if chunk.meta is not None:
                self._meta = chunk.meta
        if not reply.ended:
            return
        if reply.error is not None:
            self._call.fail(reply.error)
        else:
            self._call.respond(prediction_response(*self._parts), trailing_metadata(self._meta))


_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that do not wait until the client has read what came before them."""


class _StreamAnswer(_Answer):
    """One message for each chunk, as soon as it comes and the engine has room."""

    __slots__ = ("_meta",)

    def __init__(self, call: Call, reply: ReplyStream) -> None:
        super().__init__(call, reply)
        self._meta: ResponseMeta | None = None

    def begin(self) -> None:
        self._call.on_writable = self._on_reply
        super().begin()

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
    return b"".join((b"\x0a" + _varint(size), *parts)) if size else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
