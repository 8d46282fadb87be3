"""Answers with Server-Sent Events to clients that accept them: an event per part, and comments while there
is none to send.

An answer whose handler sets an event content type itself, or an error status, is sent unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stoker.core.reply import Chunk
from stoker.errors import StreamStalled
from stoker.frontend.http import heads, sse
from stoker.frontend.http.exchange import HttpExchange, rendered

KEEP_ALIVE_S = 15.0
_SSE_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"),)


class EventExchange(HttpExchange, kw_only=True):
    _framed: bool = True
    _quiet: bool = False

    def respond(self, chunks: Sequence[Chunk]) -> None:
        self.send(chunks)
        self.finish()

    def send(self, chunks: Sequence[Chunk]) -> bool:
        if self.ended:
            return False
        if not self.started:
            self.start(*self._as_events(*rendered(chunks[0].meta)))
        self._quiet = False
        self.write_parts([sse.event(one.data) if self._framed and len(one.data) else one.data for one in chunks])
        return self.writable

    def _as_events(self, status: int, reason: str, headers: heads.Headers) -> tuple[int, str, heads.Headers]:
        kinds = [value for name, value in headers if name.lower() == b"content-type"]
        self._framed = status < 400 and not any(sse.wanted(kind) for kind in kinds)
        if self._framed:
            headers = [*(header for header in headers if header[0].lower() != b"content-type"), *_SSE_HEADERS]
        return status, reason, headers

    def fail(self, error: Exception) -> None:
        if self.ended or not self.started or not self._framed or isinstance(error, StreamStalled):
            super().fail(error)
            return
        answer, _ = self.connection.style.answer_of(error, self.head.path)
        self.write_parts([sse.error_event(answer)])
        self.finish()

    def tick(self) -> bool:
        """Runs every `KEEP_ALIVE_S`: sends a comment if nothing was sent since. False: the stream has ended."""
        if self.ended:
            return False
        if self._quiet and self._framed and self.writable:
            if not self.started:
                self.start(200, "", _SSE_HEADERS)
            self.write_parts([sse.KEEP_ALIVE])
        self._quiet = True
        return True


class KeepAliveComments:
    """Sends the comments of all event streams of a listener, with one timer that runs only while there are streams."""

    def __init__(self) -> None:
        self._streams: set[EventExchange] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: EventExchange) -> None:
        self._streams.add(stream)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self.tick)

    def tick(self) -> None:
        self._timer = None
        streams, self._streams = self._streams, set()
        for stream in streams:
            if stream.tick():
                self.add(stream)
