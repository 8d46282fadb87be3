"""Receives the body of one request, by length or in chunks. PURE."""

from __future__ import annotations

import re
from collections.abc import Callable

from stoker.core.payloads import Assembly
from stoker.errors import BadRequest, MessageTooLarge
from stoker.frontend.http.request_head import END, NOT_HTTP, RequestHead

_LINE_END = END[:2]
_TEXT = rb"[\t -~\x80-\xff]*"
_SIZE_LINE = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})(?:[ \t]*;" + _TEXT + rb")?\r\n")
_PART_OF_IT = re.compile(rb"\r(?:\n(?:[0-9A-Fa-f]{1,15}(?:[ \t]*(?:;" + _TEXT + rb")?\r?)?)?)?")
_TRAILERS = re.compile(rb"\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _TEXT + rb"\r\n)*\r\n")
_MOST_BETWEEN = 16 << 10
"""Bytes of a chunk's size with its extensions, and of all trailers."""


class ChunkedBody:
    """``take`` is called with the data.  ``declared``: bytes of all chunks whose size has come.  ``whole``: the body is
    complete.

    Data is skipped by its size, never searched, so that its content does not matter.  Trailers are dropped.
    """

    __slots__ = ("_between", "_in_trailers", "_left", "_take", "declared", "whole")

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.declared = 0
        self.whole = False
        self._take = take
        self._left = 0  # of the current chunk
        self._between = _LINE_END  # what has come since; the first size is read like one that follows a chunk
        self._in_trailers = False

    def feed(self, data: bytes | bytearray) -> bytes:
        """Returns what follows the end of the body. Raises BadRequest."""
        window, at, left, take, size_line = self._between + data, 0, self._left, self._take, _SIZE_LINE.match
        while not self._in_trailers:
            if left:
                piece = window[at : at + left]
                take(piece)
                at += len(piece)
                left -= len(piece)
            if at == len(window):
                self._left, self._between = left, b""
                return b""
            line = size_line(window, at)
            if line is None:
                self._left = 0
                return self._wait(window[at:])
            left = int(line[1], 16)
            self.declared += left
            self._in_trailers = not left
            at = line.end() if left else line.end() - len(_LINE_END)
        return self._end(window[at:])

    def _wait(self, begun: bytes) -> bytes:
        """Keeps the part of a size that has come."""
        if len(begun) > _MOST_BETWEEN or _PART_OF_IT.fullmatch(begun) is None:
            raise BadRequest(NOT_HTTP)
        self._between = begun
        return b""

    def _end(self, begun: bytes) -> bytes:
        """Finds the empty line after the trailers."""
        stop = begun.find(END) + len(END)
        self.whole = stop >= len(END)
        if (stop if self.whole else len(begun)) > _MOST_BETWEEN:
            raise BadRequest(NOT_HTTP)
        if not self.whole:
            self._between = begun
            return b""
        if _TRAILERS.fullmatch(begun, 0, stop) is None:
            raise BadRequest(NOT_HTTP)
        return begun[stop:]


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
        chunks = self._chunks
        if chunks is not None:
            rest = chunks.feed(received)
            if chunks.declared > self._limit:
                raise MessageTooLarge(size=chunks.declared, limit=self._limit)
            self.whole = chunks.whole
            return rest
        taken = self._assembly.fill(received)
        self.whole = self._assembly.complete
        return received[taken:]
