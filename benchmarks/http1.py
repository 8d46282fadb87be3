"""Encodes one request over HTTP/1.1 as bytes, for clients that open thousands of connections."""

from __future__ import annotations

from collections.abc import Sequence

CHUNK = 64 << 10


class Post:
    """The client's side of a connection with one request, as `http2.Call` is over gRPC.

    ``until``: send this much of the body and never the rest; None: all.
    """

    def __init__(
        self, path: str, body: bytes, *, until: int | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self.status: bytes | None = None
        """Status of HTTP; None until it comes."""
        self.sent = 0
        more = b"".join(b"%b: %b\r\n" % header for header in headers)
        head = b"POST %b HTTP/1.1\r\nhost: localhost\r\n%bcontent-length: %d\r\n\r\n"
        self._head = head % (path.encode(), more, len(body))
        self._body = body
        self._until = len(body) if until is None else until
        self._received = b""

    @property
    def answered(self) -> bool:
        return self.status == b"200"

    def receive(self, data: bytes) -> None:
        if self.status is None:
            self._received += data
            words = self._received.split(b" ", 2)
            if len(words) == 3:
                self.status = words[1]

    def to_send(self) -> bytes:
        """Returns the next piece; empty after the last."""
        head, self._head = self._head, b""
        piece = self._body[self.sent : min(self.sent + CHUNK, self._until)]
        self.sent += len(piece)
        return head + piece
