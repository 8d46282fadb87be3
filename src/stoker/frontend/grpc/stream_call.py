"""Runs one call on an HTTP/2 stream: receives the request, and sends the answer as fast as flow control allows.

A request that comes in one uncompressed piece is received here; `incoming` receives all others.

Invariants: every received byte is returned to the flow-control window; nothing is sent after the end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import ngh2

from stoker.errors import DeadlineExceeded
from stoker.frontend import compression
from stoker.frontend.backlog import Backlog
from stoker.frontend.grpc import incoming, messages
from stoker.frontend.grpc.call import ROOM_BYTES, Call, Trailing
from stoker.frontend.grpc.incoming import IncomingMessages
from stoker.frontend.grpc.messages import LARGE_BYTES, PREFIX_BYTES, LargeMessage, Message
from stoker.frontend.grpc.request_head import (
    ACCEPT_ENCODING,
    COMPRESSIONS,
    OK_TRAILERS,
    RESPONSE_HEADERS,
    Headers,
    RequestHead,
    status_trailers,
)
from stoker.frontend.grpc.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OK,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    Status,
)
from stoker.frontend.listener import Budgets
from stoker.frontend.open_exchanges import OpenExchanges

SLICE_BYTES = 64 * 1024
"""Bytes of a large message that HTTP/2 gets at a time."""
_SIZES_TO_COMPRESS = range(1024, 256 * 1024)
"""Sizes of answers to compress if the client compressed its request: smaller ones do not shrink, larger ones would
block the loop."""

_NO_ERROR, _INTERNAL_ERROR, _REFUSED_STREAM, _CANCEL, _ENHANCE_YOUR_CALM = 0, 2, 7, 8, 11
_INADEQUATE_SECURITY = 12
_GONE = (ngh2.StreamProtocolError, ngh2.ConnectionStateError)
"""Raised for a stream that the client has reset in the read that is being handled, StreamClosed follows; and on a
connection that was aborted and is not closed yet."""
_RESET_CODES = {
    UNAVAILABLE: _REFUSED_STREAM,
    RESOURCE_EXHAUSTED: _ENHANCE_YOUR_CALM,
    CANCELLED: _CANCEL,
    DEADLINE_EXCEEDED: _CANCEL,
    PERMISSION_DENIED: _INADEQUATE_SECURITY,
}
"""Reset codes by status, for clients that do not read their answers: they map the code back to the status."""


class Carrier(incoming.Carrier, Protocol):
    """Interface of the connection (`connection`) for its calls."""

    http2: ngh2.Connection
    open_calls: OpenExchanges
    peer: str

    def wait_for_room(self, call: StreamCall) -> None: ...

    def reset_after(self, id: int) -> None: ...

    def send_in_slices(self, call: StreamCall) -> None: ...


class StreamCall(Call, kw_only=True):
    """``head``: the request's headers, parsed; ``headers``: the answer's."""

    connection: Carrier
    id: int
    head: RequestHead
    headers: Headers
    unread: int = 0
    unread_since: float = 0.0
    _incoming: IncomingMessages | None = None
    _begun: bool = False
    _half_closed: bool = False
    _headers_sent: bool = False
    _timer: asyncio.TimerHandle | None = None
    _backlog: Backlog | None = None
    _trailers: Headers = ()

    @property
    def client(self) -> object:
        return self.connection  # all clients of a Unix socket have the same name

    # ------------------------------------------------------------------------------------------ the request

    def receive(self, data: bytes, *, end: bool) -> None:
        """Receives one DATA frame's payload."""
        size = len(data) - PREFIX_BYTES
        if end and not self._begun and self._incoming is None and int.from_bytes(data[:PREFIX_BYTES], "big") == size:
            self._half_closed = self._begun = True  # one message in one piece, not compressed: nearly always
            self.connection.return_window(self.id, size + PREFIX_BYTES)
            self.request = data[PREFIX_BYTES:]
            if self.deadline is None or self.method.keeps_deadline:
                self.tracker.begin(self)
            else:
                self._begin()
            return
        self._half_closed = self._half_closed or end
        if self.ended:
            self.connection.return_window(self.id, len(data))
            return
        if self._incoming is None:
            self._incoming = IncomingMessages(self)
            self.on_end = self._release
        self._incoming.receive(data)

    def is_late(self, now: float, budgets: Budgets, slow_s: float) -> bool:
        """Tells whether the client takes too long to send the rest of a message, or the only message of its request."""
        if self.ended:
            return False
        if not self._begun and self.deadline is not None and now >= self.deadline:
            return True
        if self._half_closed or not self.reading:
            return False
        incoming = self._incoming
        if incoming is None:
            return not self._begun and now - self.started_at > budgets.slow_s(slow_s)
        if incoming.waits_for_room or not (self.method.one_request or incoming.incomplete):
            return False
        quiet_s, lasted_s = now - incoming.received_at, now - incoming.begun_at
        return budgets.is_late(slow_s, quiet_s=quiet_s, lasted_s=lasted_s, received=incoming.received_bytes)

    @property
    def takes_messages(self) -> bool:
        return not self.ended and (self._half_closed if self.method.one_request else self.reading)

    @property
    def one_request(self) -> bool:
        return self.method.one_request

    @property
    def encoding(self) -> str:
        return self.head.encoding

    def _read_on(self) -> None:
        if self._incoming is not None:
            self._incoming.read_on()

    def refuse_for(self, error: BaseException) -> None:
        """Refuses a request that cannot be read."""
        self.end_early(self._status_of(error))

    def _status_of(self, error: BaseException) -> Status:
        if isinstance(error, compression.UnknownEncoding):
            return Status(UNIMPLEMENTED, f"The compression {self.head.encoding[:40]!r} is not supported.")
        if isinstance(error, messages.TooManyMessages):
            return Status(UNIMPLEMENTED, str(error))
        if isinstance(error, messages.BadFraming | compression.BadCompression):
            return Status(INTERNAL, str(error))
        return self.method.status_of(error if isinstance(error, Exception) else MemoryError())

    def deliver(self, message: bytes | bytearray) -> None:
        if not self.method.one_request:
            self.message(bytes(message))
        else:
            self._begun = True
            self.request = message  # type: ignore[assignment]  # large: never copied

    def delivered_all(self) -> None:
        """Begins a request that is complete, or passes on the end of the client's stream."""
        if not self._half_closed:
            return
        if self._incoming is not None and self._incoming.incomplete:
            self.end_early(Status(INTERNAL, "The request ends within a message."))
        elif not self.method.one_request:
            self.half_closed()
        elif not self._begun:
            self.end_early(Status(INTERNAL, "The request holds no message."))
        else:
            self._begin()

    def begin_stream(self) -> None:
        """Starts a method that reads a stream of requests, before the first message."""
        self._begun = True
        self._begin()

    def _begin(self) -> None:
        if self.deadline is not None and not self.method.keeps_deadline:
            delay_s = self.deadline - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_deadline)
            self.on_end = self._release
        self.tracker.begin(self)

    def _on_deadline(self) -> None:
        self.abandon(DeadlineExceeded())

    def give_up_request(self) -> None:
        """Refuses a request that takes too long to arrive: with DEADLINE_EXCEEDED if its deadline has passed,
        else CANCELLED."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        code = DEADLINE_EXCEEDED if late else CANCELLED
        self.end_early(Status(code, "The request did not arrive in time."))

    def end_early(self, status: Status) -> None:
        """Ends a call whatever is left of its request, and cancels its work."""
        on_cancel = self.on_cancel
        self.refuse(status)
        if on_cancel is not None:
            on_cancel()

    # ------------------------------------------------------------------------------------------- the answer

    def _answer(self, payload: Message, trailing: Trailing) -> None:
        http2, id = self.connection.http2, self.id
        trailers = status_trailers(Status(OK, ""), trailing) if trailing else OK_TRAILERS
        try:
            http2.send_response(id, self.headers)
            if self.head.compresses_answers or len(payload) >= LARGE_BYTES:
                self._send_message(payload)
                self._send_trailers(trailers)
            else:
                assert isinstance(payload, bytes)
                http2.send_data(id, b"\x00" + len(payload).to_bytes(4, "big") + payload)
                http2.send_trailers(id, trailers)
        except _GONE:
            return
        self.connection.plan_flush()
        if not self._half_closed:
            self.connection.reset_after(self.id)

    def _write(self, payloads: Sequence[Message]) -> bool:
        connection = self.connection
        try:
            if not self._headers_sent:
                connection.http2.send_response(self.id, self.headers)
                self._headers_sent = True
            if len(payloads) > 1 and not self._backlog and sum(map(len, payloads)) < LARGE_BYTES:
                compresses = self.head.compresses_answers
                framed = b"".join(map(self._framed, payloads)) if compresses else messages.framed(payloads)
                connection.http2.send_data(self.id, framed)
            else:
                for payload in payloads:
                    self._send_message(payload)
        except _GONE:
            return True
        connection.plan_flush()
        if self.unsent < ROOM_BYTES:
            return True
        connection.wait_for_room(self)
        return False

    def _send_message(self, payload: Message) -> None:
        size, backlog = len(payload), self._backlog
        if not backlog and (size < LARGE_BYTES or (self.head.compresses_answers and size in _SIZES_TO_COMPRESS)):
            self.connection.http2.send_data(self.id, self._framed(payload))
            return
        if backlog is None:
            backlog = self._backlog = Backlog()
        backlog.add(messages.prefix(payload))
        for buffer in payload.buffers if isinstance(payload, LargeMessage) else (payload,):
            backlog.add(buffer)
        self.connection.send_in_slices(self)

    def send_slice(self) -> bool:
        """Moves slices of large messages into HTTP/2's queue until it holds one. Returns whether more are left."""
        backlog, http2 = self._backlog, self.connection.http2
        assert backlog is not None
        try:
            while backlog and http2.queued_body_size(self.id) < SLICE_BYTES:
                http2.send_data(self.id, backlog.take(SLICE_BYTES))
            if not backlog and self._trailers:
                http2.send_trailers(self.id, self._trailers)
        except _GONE:
            backlog.clear()
        return bool(backlog)

    @property
    def unsent(self) -> int:
        """Returns the bytes of the answer that have not left yet."""
        queued = self.connection.http2.queued_body_size(self.id)
        return queued if self._backlog is None else queued + self._backlog.size

    @property
    def kept(self) -> int:
        """Returns the bytes of large messages in memory, beside HTTP/2's queue."""
        return 0 if self._backlog is None else self._backlog.kept

    def reset(self, code: int) -> None:
        """Ends the stream at once; unsent bytes are lost."""
        self.drop_backlog()
        self.connection.http2.reset_stream(self.id, code)
        self.connection.plan_flush()

    def drop_backlog(self) -> None:
        """Drops what has not reached HTTP/2's queue, because the stream is gone."""
        self._trailers = ()
        if self._backlog is not None:
            self._backlog.clear()

    def _framed(self, message: Message) -> bytes:
        payload = bytes(message)
        if self.head.compresses_answers and len(payload) in _SIZES_TO_COMPRESS:
            smaller = compression.deflate(payload, self.head.encoding)
            if len(smaller) < len(payload):
                return messages.prefix(smaller, compressed=True) + smaller
        return messages.prefix(payload) + payload

    def send_initial_metadata(self, metadata: Trailing) -> None:
        self.headers += tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in metadata)

    def _finish(self, trailing: Trailing) -> None:
        self._end_with(status_trailers(Status(OK, ""), trailing) if trailing else OK_TRAILERS)

    def _refuse(self, status: Status) -> None:
        if not self.writable and self.unsent:
            self.reset(_RESET_CODES.get(status.code, _INTERNAL_ERROR))
            return
        supported = self.head.encoding in ("", "identity", *COMPRESSIONS)
        self._end_with(status_trailers(status) if supported else (*status_trailers(status), *ACCEPT_ENCODING))

    def _end_with(self, trailers: Headers) -> None:
        http2 = self.connection.http2
        try:
            if self._headers_sent:
                self._send_trailers(trailers)
            else:
                http2.send_response(self.id, (*RESPONSE_HEADERS, *trailers), end_stream=True)
        except _GONE:
            return
        self.connection.plan_flush()
        if not self._half_closed:
            self.connection.reset_after(self.id)

    def _send_trailers(self, trailers: Headers) -> None:
        if self._backlog:
            self._trailers = trailers
        else:
            self.connection.http2.send_trailers(self.id, trailers)

    # ---------------------------------------------------------------------------------------------- the end

    def _release(self) -> None:
        """Gives back what an incomplete request or its timer holds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._incoming is not None:
            self._incoming.release()
