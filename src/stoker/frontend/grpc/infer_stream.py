"""ModelStreamInfer: many requests on one call, each answered as soon as its answer arrives.

Requests run concurrently, except that those of one sequence run one after the other.  An error answers its request and
does not end the stream.  While the client does not read, or too many requests run, no more are taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from stoker.core.job import new_request_id
from stoker.frontend.budget import RequestBudget
from stoker.frontend.grpc import infer_messages
from stoker.frontend.grpc.call import Call
from stoker.frontend.grpc.messages import LARGE_BYTES
from stoker.frontend.grpc.metadata import request_headers
from stoker.frontend.grpc.varint import varint
from stoker.frontend.open_inference import controls
from stoker.frontend.open_inference.request import AnswerHead, InferAnswer, InferRequest
from stoker.frontend.open_inference.service import OpenInference, Running
from stoker.frontend.slices import Steps, current_slices
from stoker.protos import grpc_predict_v2_pb2 as pb

MOST_UNANSWERED = 1000
"""Requests of one stream that run at a time."""
_FINAL = {controls.FINAL: True}
_RESPONSE = b"\x12"  # tag of ModelStreamInferResponse.infer_response


class InferStream:
    """Serves one call. ``typed``: answers to requests without inputs have typed contents. ``budget``: counts a large
    request that waits to be read."""

    def __init__(self, inference: OpenInference, call: Call, budget: RequestBudget, *, typed: bool) -> None:
        self._inference = inference
        self._call = call
        self._budget = budget
        self._typed = typed
        self._headers = request_headers(call.metadata) if call.metadata else None
        self._open: set[_Request] = set()
        self._sequences: dict[str, deque[_Request]] = {}
        self._half_closed = False
        self._stop_reading: Callable[[], None] | None = None  # the large request that is being read

    def begin(self) -> None:
        call = self._call
        call.on_message, call.on_half_close = self._message, self._half_close
        call.on_cancel, call.on_writable = self._cancel, self._resume
        call.delay_drain(False)

    def _message(self, message: bytes) -> None:
        if len(message) > LARGE_BYTES and infer_messages.needs_steps(message):
            steps, size = self._steps(message), len(message)
            self._stop_reading = current_slices().read(self._call, steps, size=size, budget=self._budget)
            self._call.delay_drain(True)
        else:
            self._take(message)
        if not self._takes_more:
            self._call.pause_reading()

    @property
    def _takes_more(self) -> bool:
        return self._call.writable and len(self._open) < MOST_UNANSWERED and self._stop_reading is None

    def _steps(self, message: bytes) -> Steps:
        try:
            found = yield from infer_messages.read_in_steps(message)
        except Exception as error:
            self.send_error("", error)
        else:
            self._take(message, found)
        self._stop_reading = None
        self._go_on()

    def _take(self, message: bytes, found: infer_messages.Read | None = None) -> None:
        try:
            read, raw = infer_messages.read(message) if found is None else found
        except Exception as error:
            self.send_error("", error)
            return
        request = _Request(self, read, raw=not self._typed if raw is None else raw)
        self._open.add(request)
        self._call.delay_drain(True)
        if not request.sequence:
            self._start(request)
            return
        waiting = self._sequences.setdefault(request.sequence, deque())
        waiting.append(request)
        if len(waiting) == 1:
            self._start(request)

    def _start(self, request: _Request) -> None:
        read = request.read
        try:
            request.running = self._inference.start(
                read,
                request,
                headers=self._headers,
                deadline=self._call.deadline,
                request_id=new_request_id(),
                streaming=True,
            )
        except Exception as error:
            request.failed(error)

    def done(self, request: _Request) -> None:
        """Notes that a request has its last answer."""
        if request not in self._open:
            return
        self._open.remove(request)
        if request.sequence and request.sequence in self._sequences:
            asyncio.get_running_loop().call_soon(self._start_next, request.sequence)
        self._go_on()

    def _start_next(self, sequence: str) -> None:
        waiting = self._sequences[sequence]
        waiting.popleft()
        if not waiting:
            del self._sequences[sequence]
        elif not self._call.ended:
            self._start(waiting[0])

    def _half_close(self) -> None:
        self._half_closed = True
        self._go_on()

    def _go_on(self) -> None:
        """Takes more requests, ends the call after the last answer, or lets the server stop if there are none."""
        if self._takes_more:
            self._call.resume_reading()
        if self._open or self._stop_reading is not None:
            return
        if self._half_closed:
            self._call.finish()
        else:
            self._call.delay_drain(False)

    def _cancel(self) -> None:
        if self._stop_reading is not None:
            self._stop_reading()
        for request in list(self._open):
            if request.running is not None:
                request.running.cancel()

    def _resume(self) -> None:
        for request in list(self._open):
            if request.running is not None:
                request.running.resume()
        self._go_on()

    @property
    def writable(self) -> bool:
        return self._call.writable

    def send(self, answer: InferAnswer, *, raw: bool) -> None:
        message = infer_messages.write(answer, raw=raw)
        self._send(b"".join((_RESPONSE, varint(len(message)), message)))

    def send_error(self, id: str, error: Exception) -> None:
        words = self._call.method.status_of(error).details.partition("\n")[0]
        answer = pb.ModelStreamInferResponse(error_message=words, infer_response=pb.ModelInferResponse(id=id))
        self._send(answer.SerializeToString())

    def _send(self, message: bytes) -> None:
        if not self._call.send_message(message):
            self._call.pause_reading()


class _Request:
    """Sends the answers to one request of the stream (`service.Receiver`). The last answer is marked as final; if the
    client asks for it, an empty answer after it carries the mark instead."""

    __slots__ = ("_final_apart", "_raw", "_stream", "read", "running", "sequence")

    def __init__(self, stream: InferStream, read: InferRequest, *, raw: bool) -> None:
        self._stream = stream
        self._raw = raw
        self._final_apart = read.head.parameters.get(controls.EMPTY_FINAL) is True
        self.read = read
        self.running: Running | None = None
        sequence = controls.sequence_id(read.head.parameters)
        self.sequence = f"{read.head.model}/{sequence}" if sequence else ""

    @property
    def writable(self) -> bool:
        return self._stream.writable

    def answered(self, answer: InferAnswer, *, last: bool) -> None:
        if self._final_apart:
            self._stream.send(answer, raw=self._raw)
            if last:
                head = AnswerHead(answer.head.model, answer.head.version, (), _FINAL)
                self._stream.send(InferAnswer(head, answer.id, ()), raw=self._raw)
        else:
            head = answer.head.with_parameters(_FINAL) if last else answer.head
            self._stream.send(InferAnswer(head, answer.id, answer.data), raw=self._raw)
        if last:
            self._stream.done(self)

    def failed(self, error: Exception) -> None:
        self._stream.send_error(self.read.id, error)
        self._stream.done(self)
