"""One HTTP/1.1 connection: uvicorn's protocol on httptools, with limits and with a short way for predictions.

A request that the listener's `Predictor` wants becomes an `Exchange`; all others go uvicorn's way to the ASGI
application.  Both keep the order of pipelined requests.

Laws: a request head and a body are bounded before they are buffered; what is no HTTP gets one clear answer; a client
that neither reads nor writes for too long is let go.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from stoker.errors import BadRequest, ServerStopping, StokerError
from stoker.frontend.http import heads
from stoker.frontend.http.exchange import Exchange
from stoker.frontend.http.paths import Target
from stoker.frontend.http.records import RequestRecords
from stoker.frontend.http.responses import ALWAYS, JSON_TYPE, error_bytes
from stoker.frontend.http.status import Answer, answer_of

MAX_HEAD_BYTES = 64 << 10
LINGER_S = 2.0
"""How long a client that still sends has to read the answer that refused it."""
_LINGER_BYTES = 64 << 20

_FACTS = frozenset(
    {b"describe", b"explain", b"url_path"}
    | {b"accept", b"authorization", b"content-length", b"content-type", b"expect", b"transfer-encoding", b"upgrade"}
)
_HEAD_TOO_LARGE = Answer(431, "BadRequestException", f"The request head is larger than {MAX_HEAD_BYTES} bytes.")
_NOT_HTTP = "The request is not valid HTTP/1.1."


class Predictor(Protocol):
    """Implemented by `predictions`, asked for every request."""

    def wants(self, method: bytes, path: bytes) -> Target | None:
        """What is predicted; None: it is not a prediction."""
        ...

    def admit(self, authorization: bytes | None) -> None:
        """Raises what the request is refused with, before its body is read."""
        ...

    def predict(self, exchange: Exchange) -> None:
        """The request is whole."""
        ...


class Connections(ServerState):
    """What a listener's connections share. ``closed`` is set, by who waits for it, to hear when none is left."""

    connections: set[Any]

    def __init__(
        self,
        *,
        records: RequestRecords,
        predictor: Predictor | None = None,
        max_request_size: int,
        headers: heads.Headers = (),
    ) -> None:
        super().__init__()
        self.records = records
        self.predictor = predictor
        self.max_request_size = max_request_size
        self.headers = headers
        self.common = heads.header_block([*ALWAYS, *headers])
        self.plain = b"\r\n" + self.common + b"content-length: "
        self.closed: asyncio.Future[None] | None = None


class HttpProtocol(HttpToolsProtocol):
    server_state: Connections
    cycle: Any  # uvicorn's, or an Exchange
    pipeline: deque[Any]

    def __init__(self, config: Any, state: Connections) -> None:
        super().__init__(config, state, {})
        self.url = b""
        self._given: list[tuple[bytes, bytes]] = []
        self._facts: dict[bytes, bytes] = {}
        self._in_head = False
        self._first = 0  # bytes of the piece in which the head began
        self._more = 0  # bytes of a head that came after its first piece
        self._chunk = 0  # bytes of the newest piece
        self._active: Exchange | None = None
        self._discarded = 0
        self._deaf = False
        self._closing_seen = 0.0
        self.peer = "unix"
        self.plain_headers = state.plain
        self.quiet_since = time.monotonic()
        """Since when nothing was received, or nothing could be written."""

    # ------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client:
            host, port = self.client
            self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connection_lost(self, exc: Exception | None) -> None:
        active, self._active = self._active, None
        self.pipeline.clear()
        super().connection_lost(exc)
        if active is not None:
            active.left()
        closed = self.server_state.closed
        if closed is not None and not closed.done() and not self.server_state.connections:
            closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        self.quiet_since = time.monotonic()
        if self._deaf:
            self._discard(len(data))
            return
        self._chunk = len(data)
        if self._in_head:
            self._more += self._chunk
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_garbage(error)
        if self._in_head and self._more > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def _decline_upgrade(self, rest: bytes) -> None:
        """The request is read again as if it had not offered another protocol (curl offers HTTP/2 so): the parser takes
        its body for the other protocol's."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(answer_of(BadRequest(_NOT_HTTP)))
            return
        lines = [method + b" " + self.url + b" HTTP/1.1", b"connection: close"]
        kept = (item for item in self._given if item[0].lower() not in (b"upgrade", b"connection"))
        lines += [b"%b: %b" % item for item in kept]
        self.parser = self._make_parser()
        self.data_received(b"\r\n".join((*lines, b"", rest)))

    def _make_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _refuse_garbage(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        self._refuse(answer_of(cause if isinstance(cause, StokerError) else BadRequest(_NOT_HTTP)))

    def _refuse(self, answer: Answer) -> None:
        """Of a request that cannot be read on; nothing after it can be either."""
        if self._deaf:
            return
        self._deaf = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # the answers before this one still go out, and then the connection ends
            if self._whole or self.pipeline:
                return
            if cycle is self._active:
                self._active.fail(answer)
                return
            cycle.disconnected = True  # of an ASGI application that waits for the rest of the body
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        body = error_bytes(answer)
        line = self.url[:200].decode("latin-1") or "-"
        self.transport.write(
            b"".join(
                (
                    heads.status_line(answer.status),
                    self.server_state.common,
                    f"content-type: {JSON_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode(),
                    body,
                )
            )
        )
        self.server_state.records.answered(self.peer, f"- {line} HTTP/1.1", answer.status, 0.0, "")
        self.close_kindly()

    def common_headers(self, others: heads.Headers) -> bytes:
        """Those of every answer, without what ``others`` say already."""
        state = self.server_state
        if not state.headers or not others:
            return state.common
        said = {name.lower() for name, _ in others}
        return heads.header_block([*ALWAYS, *(item for item in state.headers if item[0].lower() not in said)])

    def close_kindly(self) -> None:
        """A client that still sends would lose the answer if the connection were closed under it: it gets a moment."""
        if self.transport.is_closing():
            return
        self._deaf = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > _LINGER_BYTES:
            self.transport.close()

    # ------------------------------------------------------------------------------------ a request's head

    def on_message_begin(self) -> None:
        self.url = b""
        self._given, self._facts = [], {}
        self._in_head, self._first, self._more = True, self._chunk, 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._given.append((name, value))
        lower = name.lower()
        if lower in _FACTS:
            self._facts.setdefault(lower, value)

    def _head_is_too_large(self) -> bool:
        """Counted only where so much has come."""
        if self._first + self._more <= MAX_HEAD_BYTES:
            return False
        return len(self.url) + sum(len(name) + len(value) for name, value in self._given) > MAX_HEAD_BYTES

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._deaf or self.parser.should_upgrade():
            return
        if self._head_is_too_large():
            self._refuse(_HEAD_TOO_LARGE)
            return
        predictor = self.server_state.predictor
        path, _, query = self.url.partition(b"?")
        if not path.startswith(b"/"):
            path = httptools.parse_url(self.url).path or b"/"  # absolute form
        method = self.parser.get_method()
        target = predictor.wants(method, path) if predictor is not None else None
        if target is None:
            self._begin_asgi()
        else:
            self._begin_exchange(method, query, target)

    def _begin_asgi(self) -> None:
        url = self.url
        super().on_message_begin()
        self.url = url
        self.headers.extend((name.lower(), value) for name, value in self._given)
        self.expect_100_continue = self._facts.get(b"expect", b"").lower() == b"100-continue"
        super().on_headers_complete()

    def _begin_exchange(self, method: bytes, query: bytes, target: Target) -> None:
        parser, before = self.parser, self.cycle
        http_1_0 = parser.get_http_version() == "1.0"
        self.cycle = exchange = Exchange(
            self,
            method=method,
            url=self.url,
            query=query,
            headers=self._given,
            facts=self._facts,
            keep_alive=not http_1_0 and parser.should_keep_alive(),
            http_1_0=http_1_0,
            target=target,
            started_at=self.quiet_since,
        )
        if before is None or before.response_complete:
            self._make_active(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _make_active(self, exchange: Exchange) -> None:
        """It is this one's turn to be answered."""
        self._active = exchange
        predictor, facts = self.server_state.predictor, exchange.facts
        assert predictor is not None
        try:
            predictor.admit(facts.get(b"authorization"))
        except StokerError as error:
            exchange.fail(answer_of(error))
            return
        if int(facts.get(b"content-length", b"0")) > self.server_state.max_request_size or exchange.body_size < 0:
            exchange.respond(413, b"")
        elif exchange.body_whole:
            self._do(exchange)
        elif self._deaf:
            exchange.fail(answer_of(BadRequest(_NOT_HTTP)))  # its rest was no HTTP
        elif facts.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # ------------------------------------------------------------------------------------ its body

    def on_body(self, body: bytes) -> None:
        exchange = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_body(body)
        elif not self._deaf and not exchange.response_complete and exchange.body_size >= 0:
            self._take(exchange, body)

    def _take(self, exchange: Exchange, body: bytes) -> None:
        exchange.body_size += len(body)
        if exchange.body_size > self.server_state.max_request_size:
            exchange.body, exchange.body_size = b"", -1  # too large
            if exchange is self._active:
                exchange.respond(413, b"")
        elif not exchange.body:
            exchange.body = body
        else:
            if isinstance(exchange.body, bytes):
                exchange.body = bytearray(exchange.body)
            exchange.body += body

    def on_message_complete(self) -> None:
        exchange = self.cycle
        if self.parser.should_upgrade():
            pass  # see `_decline_upgrade`
        elif not isinstance(exchange, Exchange):
            super().on_message_complete()
        elif not self._deaf:
            exchange.body_whole = True
            if exchange is self._active and not exchange.response_complete:
                self._do(exchange)

    def _do(self, exchange: Exchange) -> None:
        predictor = self.server_state.predictor
        assert predictor is not None
        try:
            predictor.predict(exchange)
        except Exception as error:
            exchange.fail(answer_of(error))

    # ------------------------------------------------------------------------------------ its end

    def exchange_ended(self, exchange: Exchange) -> None:
        now = self.quiet_since = time.monotonic()
        records = self.server_state.records
        took_s = now - exchange.started_at
        records.answered(self.peer, exchange.request_line, exchange.status, took_s, exchange.request_id)
        if self._active is exchange:
            self._active = None
        if exchange.disconnected:
            return
        if exchange.keep_alive and exchange.body_whole:
            self.on_response_complete()
        elif exchange.body_whole and not self.pipeline:
            self.transport.close()
        else:
            self.close_kindly()

    def on_response_complete(self) -> None:
        """Of either kind of request. Unlike uvicorn's, without a timer for each: see `listener`."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self.loop.call_soon(self._next)
        elif self._deaf:
            self.transport.close()

    def _next(self) -> None:
        if self.pipeline and not self.transport.is_closing():
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Exchange):
            self._make_active(cycle)
        else:
            super()._start_asgi_task(cycle, app)

    # ------------------------------------------------------------------------------------ writing, stopping

    def pause_writing(self) -> None:
        self.quiet_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.quiet_since = time.monotonic()
        super().resume_writing()
        active = self._active
        if active is not None and active.on_writable is not None:
            active.on_writable()

    def look(self, now: float, *, idle_s: float, slow_s: float) -> None:
        """Lets a client go that is quiet for too long: ``idle_s`` between requests, ``slow_s`` within one, or while
        what is still to be written to it keeps a closed connection."""
        quiet = now - self.quiet_since
        if self.transport.is_closing():
            self._closing_seen = self._closing_seen or now
            if now - self._closing_seen > slow_s:
                self.transport.abort()
        elif self.flow.write_paused:
            if quiet > slow_s:
                self.transport.abort()
        elif self._in_head or (self.cycle is not None and not self._whole):
            if quiet > slow_s:
                self.transport.close()
        elif (self.cycle is None or self.cycle.response_complete) and quiet > idle_s:
            self.transport.close()

    @property
    def _whole(self) -> bool:
        cycle = self.cycle
        return cycle.body_whole if isinstance(cycle, Exchange) else not cycle.more_body

    def stop(self) -> None:
        """The end of the drain: what has no answer yet gets one."""
        active = self._active
        if active is not None:
            on_leave = active.on_leave
            if active.started:
                active.cut()
            else:
                active.fail(answer_of(ServerStopping()))
            if on_leave is not None:
                on_leave()
        self.transport.close()
