"""StreamPredictions2: requests of many sequences in one call, each answered with its parts or with its own error.

Answers and errors of one sequence leave in the order of its requests; sequences do not wait for each other.  Only the
client, its deadline or the server's shutdown ends the call: after a half-close it completes with the last answer.

Memory is bounded: no message is taken while the client does not read, while too many answers are due, or while the
next request has to wait for earlier ones of its sequence.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from stoker.core.ports import InferencePort
from stoker.core.reply import ReplyStream
from stoker.core.sequences import Membership, SequenceNames, SequenceReply, membership
from stoker.errors import BadRequest, SequenceQueueFull, ServerStopping, ServingError
from stoker.frontend.answers import READ_AT_ONCE_BYTES
from stoker.frontend.grpc.call import Call
from stoker.frontend.grpc.metadata import EXPLAIN, request_headers
from stoker.frontend.grpc.prediction_messages import PredictionRequest, error_response, read_request, response_encoder
from stoker.frontend.grpc.status import StatusOf, reason_of

MAX_DUE = 256
"""Answers that may be due before the client has to wait."""


class PredictionsStream:
    """Serves one call. ``in_stream``: statuses of errors that leave the call open."""

    def __init__(self, inference: InferencePort, names: SequenceNames, in_stream: StatusOf, call: Call) -> None:
        self._inference = inference
        self._names = names
        self._in_stream = in_stream
        self._call = call
        self._metadata = request_headers(call.metadata, may_explain=True) or {}
        self._due: dict[str, deque[ReplyStream]] = {}  # by id of the sequence, in the order of its requests
        self._count = 0  # answers due
        self._sending: set[str] = set()  # ids
        self._newest_id = ""
        self._held: tuple[PredictionRequest, Membership] | None = None  # until its sequence has room
        self._half_closed = self._stopping = False
        call.on_message = self._on_message
        call.on_half_close = self._on_half_close
        call.on_drain = self._on_drain
        call.on_cancel = self._cancel
        call.on_writable = self._on_writable

    def _on_message(self, payload: bytes) -> None:
        try:
            if self._stopping:
                raise ServerStopping
            request = read_request(payload)
            member = self._member(request)
        except ServingError as error:
            self._add("", _failed(error))
        else:
            self._serve(request, member)
        self._go_on()

    def _member(self, request: PredictionRequest) -> Membership:
        """Returns what the request says of its sequence; without an id, it has that of the request before."""
        member = membership(self._names, request.inputs, self._metadata, request.sequence_id)
        return member if member.id else member._replace(id=self._newest_id)

    def _serve(self, request: PredictionRequest, member: Membership) -> None:
        try:
            reply = self._submit(request, member)
        except SequenceQueueFull as error:
            if self._due.get(member.id):
                self._held = request, member
                return
            reply = _failed(error)  # others use the sequence too
        except ServingError as error:
            reply = _failed(error)
        id = reply.sequence_id if isinstance(reply, SequenceReply) else member.id
        self._newest_id = id
        self._add(id, reply)

    def _submit(self, request: PredictionRequest, member: Membership) -> ReplyStream:
        headers = {**self._metadata, self._names.id: member.id} if member.id else self._metadata
        if request.explains:
            headers = {**headers, **EXPLAIN}
        if not member.id and not member.starts and self._inference.has_sequences(request.model, request.version):
            raise BadRequest("Parameter sequenceId is required.")
        return self._inference.submit(
            request.model,
            request.version,
            request.inputs,
            headers=headers,
            deadline=self._call.deadline,
            streaming=True,
            alone="explain" in headers,  # handlers look at the first row of a batch
            member=member,
        )

    def _add(self, id: str, reply: ReplyStream) -> None:
        self._count += 1
        due = self._due.setdefault(id, deque())
        due.append(reply)
        if len(due) == 1:
            self._send_due(id)

    def _on_reply(self, id: str) -> None:
        try:
            self._send_due(id)
            self._go_on()
        except Exception as error:
            self._call.abandon(error)

    def _on_writable(self) -> None:
        for id in list(self._due):
            self._send_due(id)
        self._go_on()

    def _send_due(self, id: str) -> None:
        """Sends what has come for a sequence. Reading a reply may call this again; the outer call then sends that."""
        due = self._due.get(id)
        if due is None or id in self._sending:
            return
        self._sending.add(id)
        while due and self._call.writable:
            if not self._send_parts(due[0], id):
                break
            due.popleft()
            self._count -= 1
        self._sending.discard(id)
        if not due:
            del self._due[id]

    def _send_parts(self, reply: ReplyStream, id: str) -> bool:
        """Sends the parts of one answer that have come. Returns whether the answer is complete."""
        encode = response_encoder(id)
        while self._call.writable:
            chunks = reply.read_nowait(READ_AT_ONCE_BYTES)
            if not chunks:
                break
            self._call.send_messages([encode(chunk.data) for chunk in chunks])
        if not reply.exhausted:
            if self._call.writable:
                reply.subscribe(partial(self._on_reply, id))
            return False
        if (error := reply.error) is not None:
            self._call.send_message(error_response(self._in_stream(error), reason_of(error), id))
        return True

    def _go_on(self) -> None:
        """Takes the next request, stops taking them for now, or completes the call."""
        if self._held is not None and not self._call.ended:
            held, self._held = self._held, None
            self._serve(*held)
        if self._held is None and not self._count:
            self._complete()
        if self._call.ended:
            return
        if self._held is None and self._count < MAX_DUE and self._call.writable:
            self._call.resume_reading()
        elif not self._half_closed:
            self._call.pause_reading()

    def _complete(self) -> None:
        if self._stopping:
            self._call.fail(ServerStopping())
        elif self._half_closed:
            self._call.finish()

    def _on_half_close(self) -> None:
        self._half_closed = True
        self._go_on()

    def _on_drain(self) -> None:
        """Refuses new requests, and ends the call once the earlier ones are answered."""
        self._stopping = True
        self._go_on()

    def _cancel(self) -> None:
        due, self._due, self._held = self._due, {}, None
        for replies in due.values():
            for reply in replies:
                reply.cancel()


def _failed(error: ServingError) -> ReplyStream:
    reply = ReplyStream()
    reply.fail(error)
    return reply
