"""Receives the body of one request, by length or in chunks. PURE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools

from stoker.core.payloads import Assembly
from stoker.errors import BadRequest, MessageTooLarge
from stoker.frontend.http.request_head import END, NOT_HTTP, RequestHead

_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_MOST_BETWEEN = 64 << 10
"""Bytes of chunk sizes, extensions and trailers between two body bytes."""


class ChunkedBody:
    """``take`` is called with the data. ``whole``: the body is complete.

    httptools parses the chunks.  It is never fed past the end of the body, so that what follows stays with the
    connection: a chunked body ends with an empty line, so it is fed up to each empty line.
    """

    __slots__ = ("_between", "_parser", "_seen", "_take", "whole")

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.whole = False
        self._take = take
        self._seen = b""  # the newest bytes, which may be the start of an empty line
        self._between = 0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parser.feed_data(_HEAD)

    def feed(self, data: bytes | bytearray) -> bytes:
        """Returns what follows the end of the body. Raises BadRequest."""
        before = len(self._seen)
        window, start = self._seen + data, before
        while start < len(window) and not self.whole:
            found = window.find(END, max(0, start - 3))
            stop = len(window) if found < 0 else found + 4
            self._feed(window[start:stop])
            start = stop
        if self.whole:
            self._parser = None  # it refers to this object
        self._seen = window[-3:]
        return window[start:]

    def _feed(self, piece: bytes) -> None:
        self._between += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError:
            raise BadRequest(NOT_HTTP) from None
        if self._between > _MOST_BETWEEN and not self.whole:
            raise BadRequest(NOT_HTTP)

    def on_body(self, data: bytes) -> None:
        self._between = 0
        self._take(data)

    def on_message_complete(self) -> None:
        self.whole = True


class RequestBody:
    """``most``: its largest possible size, which is exact if the length is known. Raises MessageTooLarge."""

    __slots__ = ("_assembly", "_chunks", "_data", "_limit", "most", "whole")

    def __init__(self, head: RequestHead, limit: int) -> None:
        if head.content_length > limit:
            raise MessageTooLarge(size=head.content_length, limit=limit)
        self.whole = False
        self._limit = limit
        self.most = limit if head.chunked else head.content_length
        self._data = bytearray()  # of chunks
        self._chunks = ChunkedBody(self._data.extend) if head.chunked else None
        self._assembly = Assembly(self.most)

    @property
    def received(self) -> int:
        return self._assembly.filled if self._chunks is None else len(self._data)

    @property
    def data(self) -> bytearray:
        """Returns the body once it is whole."""
        return self._assembly.take() if self._chunks is None else self._data

    def feed(self, received: bytes | bytearray) -> bytes | bytearray:
        """Returns what follows the end of the body. Raises BadRequest, MessageTooLarge."""
        chunks, data = self._chunks, self._data
        if chunks is not None:
            rest = chunks.feed(received)
            if len(data) > self._limit:
                raise MessageTooLarge(size=len(data), limit=self._limit)
            self.whole = chunks.whole
            return rest
        taken = self._assembly.fill(received)
        self.whole = self._assembly.complete
        return received[taken:]
