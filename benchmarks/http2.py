"""Encodes one gRPC call over HTTP/2 as bytes, for clients that open thousands of connections."""

from __future__ import annotations

from collections.abc import Sequence

import ngh2

CHUNK = 16 << 10
Headers = Sequence[tuple[bytes, bytes]]
RPC_HEADERS = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


class Call:
    """The client's side of a connection with one call. `receive` takes bytes, `to_send` returns them.

    ``body``: the message with its five-byte prefix.  ``headers``: besides those of gRPC.  ``until``: send this much and
    never the rest; None: all.
    """

    def __init__(
        self, path: str, body: bytes, *, until: int | None = None, scheme: str = "http", headers: Headers = ()
    ) -> None:
        self.answer = bytearray()
        self.status: bytes | None = None
        """grpc-status; None until it comes."""
        self.ended = False
        self.sent = 0
        self._body = body
        self._until = len(body) if until is None else until
        self._whole = until is None
        self._http2 = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration())
        self._http2.initiate_connection({ngh2.Setting.ENABLE_PUSH: 0})
        self._stream = self._http2.send_request([*request_head(path, scheme), *headers])

    @property
    def answered(self) -> bool:
        return self.status == b"0"

    def receive(self, data: bytes) -> None:
        self._http2.receive_data(data)
        for event in self._http2.events():
            if isinstance(event, ngh2.DataReceived):
                self.answer += event.data
            elif isinstance(event, (ngh2.ResponseReceived, ngh2.TrailersReceived)):
                self.status = dict(event.headers).get(b"grpc-status", self.status)
            elif isinstance(event, ngh2.StreamClosed):
                self.ended = True

    def to_send(self) -> bytes:
        """Returns everything that may be sent now: as much of the body as the server has room for."""
        pieces = []
        while True:
            self._feed()
            data = self._http2.data_to_send()
            if not data:
                return b"".join(pieces)
            pieces.append(data)

    def _feed(self) -> None:
        if self.ended or self.sent >= self._until or self._http2.queued_body_size(self._stream) > 0:
            return
        piece = self._body[self.sent : min(self.sent + CHUNK, self._until)]
        self.sent += len(piece)
        self._http2.send_data(self._stream, piece, end_stream=self._whole and self.sent == self._until)


def request_head(path: str, scheme: str) -> list[tuple[bytes, bytes]]:
    return [
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", b"localhost"),
        *RPC_HEADERS,
    ]
