"""One HTTP/2 stream: a request that arrives in pieces, and an answer that leaves as the windows allow."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from stoker.errors import DeadlineExceeded, MessageTooLarge
from stoker.frontend.grpc.call import Call, Method, Trailing
from stoker.frontend.grpc.http2 import wire
from stoker.frontend.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, Status

if TYPE_CHECKING:
    from stoker.frontend.grpc.http2.connection import Http2Connection
    from stoker.frontend.open_exchanges import OpenExchanges

ROOM_BYTES = 64 * 1024
"""What a stream may have waiting here before its method is told to wait."""

RECEIVE_WINDOW = 1 << 20
_MOST_UNREAD_ANSWERS = 1 << 20  # bytes of answers in a dialogue whose client asks and does not read

_keys = count(-1, -1)  # the native front counts up from 0


class Exchange:
    """What both kinds of call share. The connection feeds it frames and asks it to `emit`."""

    __slots__ = (
        "_connection",
        "_headers_sent",
        "_pending",
        "_trailers",
        "_ungranted",
        "ended",
        "id",
        "waiting",
        "window",
    )

    def __init__(self, connection: Http2Connection, id: int, window: int) -> None:
        self._connection = connection
        self.id = id
        self.window = window
        self.ended = False  # by the client: its half is closed
        self._pending: list[bytes | memoryview] = []
        self.waiting = 0  # bytes that are not on their way yet
        self._trailers: bytes | None = None
        self._headers_sent = False
        self._ungranted = 0

    # -------------------------------------------------------------------------------------- the request

    def receive(self, data: bytes) -> None:
        raise NotImplementedError

    def end_of_request(self) -> None:
        raise NotImplementedError

    def dropped(self) -> None:
        """The client left, or the connection is gone: nothing can be sent any more."""
        self._forget()

    def grant(self, nbytes: int) -> bytes:
        """``nbytes`` of the request were taken in: now and then the client's window is opened again."""
        self._ungranted += nbytes
        if self.ended or 2 * self._ungranted < RECEIVE_WINDOW:
            return b""
        granted, self._ungranted = self._ungranted, 0
        return wire.window_update(self.id, granted)

    # --------------------------------------------------------------------------------------- the answer

    @property
    def over(self) -> bool:
        return self._trailers is not None and not self._pending

    def write(self, payload: bytes) -> None:
        framed = wire.message(payload)
        self._pending.append(framed)
        self.waiting += len(framed)
        self._connection.has_news(self)

    def end(self, status: Status, trailing: Trailing = (), *, at_once: bool = False) -> None:
        if at_once:
            self._forget()
        self._trailers = wire.header_block([*wire.status_headers(status.code, status.details), *trailing])
        self._connection.has_news(self)

    def emit(self, connection_window: int) -> tuple[list[bytes], int]:
        """The frames that may leave now, and how many bytes of the connection's window they take."""
        out: list[bytes] = []
        taken = 0
        if self._pending:
            if not self._headers_sent:
                self._headers_sent = True
                out.append(wire.frame(wire.HEADERS, wire.END_HEADERS, self.id, wire.RESPONSE_HEADERS))
            taken = self._emit_data(out, min(self.window, connection_window))
        if self._trailers is not None and not self._pending:
            block = self._trailers if self._headers_sent else wire.RESPONSE_HEADERS + self._trailers
            out.append(wire.frame(wire.HEADERS, wire.END_HEADERS | wire.END_STREAM, self.id, block))
            if not self.ended:
                out.append(wire.reset(self.id, wire.NO_ERROR))
        return out, taken

    def _emit_data(self, out: list[bytes], allowed: int) -> int:
        body = memoryview(b"".join(self._pending))
        allowed = max(0, min(allowed, len(body)))
        for start in range(0, allowed, wire.MAX_FRAME_BYTES):
            chunk = bytes(body[start : min(start + wire.MAX_FRAME_BYTES, allowed)])
            out.append(wire.frame(wire.DATA, 0, self.id, chunk))
        self._pending = [body[allowed:]] if allowed < len(body) else []
        self.window -= allowed
        self.waiting -= allowed
        return allowed

    def _forget(self) -> None:
        self._pending.clear()
        self.waiting = 0

    def emitted(self) -> None:
        """There may be room again."""


class MethodExchange(Exchange):
    """One request message, then the method's answer."""

    __slots__ = ("_call", "_facts", "_method", "_open_calls", "_reader", "_request", "_timer")

    def __init__(
        self,
        connection: Http2Connection,
        id: int,
        window: int,
        *,
        method: Method,
        open_calls: OpenExchanges,
        max_message_bytes: int,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        super().__init__(connection, id, window)
        self._method = method
        self._open_calls = open_calls
        given = dict(headers)
        self._reader = wire.MessageReader(max_message_bytes, given.get(b"grpc-encoding", b"").decode("latin-1"))
        seconds = wire.seconds_of_timeout(given.get(b"grpc-timeout", b"").decode("latin-1"))
        self._facts = (wire.metadata_of(headers), "unix:", seconds)
        self._request: bytes | None = None
        self._call: _Http2Call | None = None
        self._timer: asyncio.TimerHandle | None = None

    def receive(self, data: bytes) -> None:
        if self._trailers is not None:
            return  # refused already
        status = None
        try:
            for message in self._reader.feed(data):
                if self._request is not None:
                    status = Status(INTERNAL, "More than one request message.")
                self._request = message
        except MessageTooLarge as error:
            status = self._method.status_of(error)
        except (wire.UnknownEncoding, zlib.error):
            status = Status(UNIMPLEMENTED, "The request's compression is not supported.")
        if status is not None:
            self.end(status)

    def end_of_request(self) -> None:
        if self._trailers is not None or self._call is not None:
            return
        if self._request is None or self._reader.incomplete:
            self.end(Status(INTERNAL, "The request is incomplete."))
            return
        request, self._request = self._request, None
        metadata, peer, seconds = self._facts
        call = self._call = _Http2Call(self._open_calls, self._method, next(_keys), request, metadata, peer, seconds)
        call.exchange = self
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._late)
        self._open_calls.begin(call)

    def _late(self) -> None:
        if self._call is not None:
            self._call.abandon(DeadlineExceeded())

    def end(self, status: Status, trailing: Trailing = (), *, at_once: bool = False) -> None:
        self._stop_timer()
        super().end(status, trailing, at_once=at_once)

    def dropped(self) -> None:
        super().dropped()
        self._stop_timer()
        if self._call is not None:
            self._call.cancelled()

    def emitted(self) -> None:
        call = self._call
        if call is not None and not call.writable and not call.ended and self.waiting < ROOM_BYTES:
            call.became_writable()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Http2Call(Call):
    __slots__ = ("exchange",)

    exchange: MethodExchange

    def _answer(self, payload: bytes, trailing: Trailing) -> None:
        self.exchange.write(payload)
        self._finish(trailing)

    def _write(self, payload: bytes) -> bool:
        self.exchange.write(payload)
        return self.exchange.waiting < ROOM_BYTES

    def _finish(self, trailing: Trailing) -> None:
        self.exchange.end(Status(0, ""), trailing)

    def _refuse(self, status: Status) -> None:
        self.exchange.end(status, at_once=not self.writable)


class DialogueExchange(Exchange):
    """Each message is answered by one message, as it comes: server reflection."""

    __slots__ = ("_answer", "_reader")

    def __init__(self, connection: Http2Connection, id: int, window: int, answer: Callable[[bytes], bytes]) -> None:
        super().__init__(connection, id, window)
        self._answer = answer
        self._reader = wire.MessageReader(ROOM_BYTES, "")

    def receive(self, data: bytes) -> None:
        if self._trailers is not None:
            return
        try:
            for answer in self._answers(data):
                self.write(answer)
        except Exception:  # whatever a stranger's question makes of it is the stranger's answer
            self.end(Status(INTERNAL, "The question cannot be answered."))
        if self.waiting > _MOST_UNREAD_ANSWERS:
            self.end(Status(RESOURCE_EXHAUSTED, "The answers are not read."), at_once=True)

    def _answers(self, data: bytes) -> Iterable[bytes]:
        for question in self._reader.feed(data):
            yield self._answer(question)

    def end_of_request(self) -> None:
        if self._trailers is None:
            self.end(Status(0, ""))


class UnknownExchange(Exchange):
    """A method that nobody serves: answered at once."""

    __slots__ = ()

    def begin(self) -> Any:
        self.end(Status(UNIMPLEMENTED, "Method not found!"))

    def receive(self, data: bytes) -> None: ...

    def end_of_request(self) -> None: ...
