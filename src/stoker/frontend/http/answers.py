"""From a `ReplyStream` to an HTTP answer: whole, in chunks as the parts come, or as Server-Sent Events.

An answer is moved by the reply's own listener: no task and no timer of its own.  A part is read from the reply only
while the socket has room, so that a client that does not read is felt by the worker and by nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.errors import DeadlineExceeded, ServerStopping, StreamStalled
from stoker.frontend.http import heads, sse
from stoker.frontend.http.exchange import Exchange
from stoker.frontend.http.status import Answer

KEEP_ALIVE_S = 15.0
_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that do not wait until the client has read what came before them."""
_SSE_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8")]

AnswerOf = Callable[[Exception], tuple[Answer, heads.Headers]]
"""An error as the client sees it, and headers for it."""


class ReplyAnswer:
    """Of one prediction: whole when its only part is the last, else chunk by chunk. The first part fixes the head."""

    __slots__ = ("_answer_of", "_busy", "_exchange", "_reply")

    def __init__(self, exchange: Exchange, reply: ReplyStream, answer_of: AnswerOf) -> None:
        self._exchange = exchange
        self._reply = reply
        self._answer_of = answer_of
        self._busy = False
        exchange.on_leave = reply.cancel
        exchange.on_writable = self._on_reply
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        """Reading may give the producer room to push at once; the outer call then goes on with it, in order."""
        if self._busy or self._exchange.ended:
            return
        self._busy = True
        try:
            self._move()
        except Exception as error:
            self._reply.cancel()
            self._fail(error)
        finally:
            self._busy = False

    def _move(self) -> None:
        exchange, reply = self._exchange, self._reply
        while exchange.writable and (chunk := reply.next_nowait()) is not None:
            if exchange.started:
                self._send(chunk)
            elif reply.ended and reply.error is None and reply.exhausted:
                self._whole(chunk)
                return
            else:
                self._start(chunk)
        error = reply.error
        if error is not None and (reply.exhausted or isinstance(error, _NOT_AFTER_THE_REST)):
            self._fail(error)
        elif reply.exhausted and not exchange.ended:
            exchange.finish()

    # ------------------------------------------------------------------------------------ one part

    def _whole(self, chunk: Chunk) -> None:
        if chunk.meta is None:
            self._exchange.respond(200, chunk.data)
        else:
            status, reason, headers = _of(chunk.meta)
            self._exchange.respond(status, chunk.data, headers, reason)

    def _start(self, chunk: Chunk) -> None:
        status, reason, headers = _of(chunk.meta)
        self._exchange.start(status, headers, reason)
        self._send(chunk)

    def _send(self, chunk: Chunk) -> None:
        self._exchange.send(chunk.data)

    def _fail(self, error: Exception) -> None:
        """Mid-stream there is no way to say it in HTTP: the client sees that the answer has no end."""
        exchange = self._exchange
        if exchange.started:
            exchange.cut(at_once=isinstance(error, StreamStalled))
            return
        answer, headers = self._answer_of(error)
        exchange.fail(answer, headers)


class EventAnswer(ReplyAnswer):
    """For a client that accepts text/event-stream: an event for each part, signs of life while there is none.

    A handler that sets a content type of events itself, or a status of an error, is taken at its word instead.
    """

    __slots__ = ("_framed", "_signs", "quiet")

    def __init__(self, exchange: Exchange, reply: ReplyStream, answer_of: AnswerOf, signs: SignsOfLife) -> None:
        self._framed = True
        self._signs = signs
        self.quiet = False
        super().__init__(exchange, reply, answer_of)
        if not exchange.ended:
            signs.add(self)

    def _whole(self, chunk: Chunk) -> None:
        self._start(chunk)
        if not self._exchange.ended:
            self._exchange.finish()

    def _start(self, chunk: Chunk) -> None:
        status, reason, headers = _of(chunk.meta)
        kinds = [value for name, value in headers if name.lower() == b"content-type"]
        self._framed = status < 400 and not any(sse.wanted(kind) for kind in kinds)
        if self._framed:
            headers = [*(header for header in headers if header[0].lower() != b"content-type"), *_SSE_HEADERS]
        self._exchange.start(status, headers, reason)
        self._send(chunk)

    def _send(self, chunk: Chunk) -> None:
        self.quiet = False
        if not self._framed:
            self._exchange.send(chunk.data)
        elif len(chunk.data):
            self._exchange.send(sse.event(chunk.data))

    def _fail(self, error: Exception) -> None:
        exchange = self._exchange
        if not exchange.started or not self._framed or isinstance(error, StreamStalled):
            super()._fail(error)
            return
        answer, _ = self._answer_of(error)
        exchange.send(sse.error_event(answer))
        exchange.finish()

    def tick(self) -> bool:
        """Once every `KEEP_ALIVE_S`: whether it goes on. Says something if nothing was said since the last time."""
        exchange = self._exchange
        if exchange.ended:
            return False
        if self.quiet and self._framed and exchange.writable:
            if not exchange.started:
                exchange.start(200, _SSE_HEADERS)
            exchange.send(sse.KEEP_ALIVE)
        self.quiet = True
        return True


class SignsOfLife:
    """One timer for all event streams of a listener, and none while there is no stream."""

    def __init__(self) -> None:
        self._streams: set[EventAnswer] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: EventAnswer) -> None:
        self._streams.add(stream)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self.tick)

    def tick(self) -> None:
        self._timer = None
        streams, self._streams = self._streams, set()
        for stream in streams:
            if stream.tick():
                self.add(stream)


def _of(meta: ResponseMeta | None) -> tuple[int, str, list[tuple[bytes, bytes]]]:
    if meta is None:
        return 200, "", []
    return heads.sendable_status(meta.status), meta.reason, heads.handler_headers(meta.headers)
