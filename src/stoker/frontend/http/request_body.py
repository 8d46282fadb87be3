"""Receives the body of one request, by length or in chunks. PURE."""

from __future__ import annotations

from stoker.errors import MessageTooLarge
from stoker.frontend.http.chunked_body import ChunkedBody
from stoker.frontend.http.request_head import RequestHead


class RequestBody:
    """``data``: received so far. ``most``: its largest possible size, which is exact if the length is known."""

    __slots__ = ("_chunks", "_limit", "data", "most", "whole")

    def __init__(self, head: RequestHead, limit: int) -> None:
        self.data = bytearray()
        self.whole = False
        self._limit = limit
        self.most = limit if head.chunked else head.content_length
        self._chunks = ChunkedBody(self.data.extend) if head.chunked else None

    def feed(self, received: bytes) -> bytes:
        """Returns what follows the end of the body. Raises BadRequest, MessageTooLarge."""
        chunks, data = self._chunks, self.data
        if chunks is not None:
            rest = chunks.feed(received)
            if len(data) > self._limit:
                raise MessageTooLarge(size=len(data), limit=self._limit)
            self.whole = chunks.whole
            return rest
        missing = self.most - len(data)
        data += received if len(received) <= missing else received[:missing]
        self.whole = len(data) == self.most
        return received[missing:]
