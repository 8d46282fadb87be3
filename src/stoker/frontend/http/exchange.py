"""One prediction over HTTP: the request as it came, and the ways to answer it.

This is the short way past ASGI: no task, no event, no scope.  The connection (`protocol`) fills the request in and
starts the work when the body is whole; the work answers by the methods below, then or later, on the event loop.

Laws: exactly one end: `respond`, `finish`, `cut`, or the client leaves.  Whatever comes after it is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stoker.core.buffer import Buffer
from stoker.core.job import new_request_id
from stoker.frontend.http import heads
from stoker.frontend.http.responses import JSON_TYPE, UNAUTHORIZED, error_bytes
from stoker.frontend.http.status import PAYLOAD_TOO_LARGE, Answer

if TYPE_CHECKING:
    from stoker.frontend.http.paths import Target
    from stoker.frontend.http.protocol import HttpProtocol

CLIENT_LEFT = 499
_LARGE = 64 << 10
_PLAIN = b"HTTP/1.1 200 OK\r\nx-request-id: "
_NO_BODY = (204, 304)
_JSON = ((b"content-type", JSON_TYPE.encode()),)


class _NoEvent:
    """uvicorn wakes the reader of a request with an event; here nobody waits for one."""

    def set(self) -> None:
        pass


_NO_EVENT = _NoEvent()


class Exchange:
    """``url`` and its ``query`` as in the request line; ``headers`` with names in the client's case, ``facts`` some of
    them by lower-case name.

    The work may set ``on_leave`` (the client left) and ``on_writable`` (there is room after ``writable`` was False).
    """

    __slots__ = (
        "_chunked",
        "body",
        "body_size",
        "body_whole",
        "disconnected",
        "facts",
        "headers",
        "http_1_0",
        "keep_alive",
        "message_event",
        "method",
        "on_leave",
        "on_writable",
        "protocol",
        "query",
        "request_id",
        "response_complete",
        "started",
        "started_at",
        "status",
        "target",
        "url",
    )

    def __init__(
        self,
        protocol: HttpProtocol,
        *,
        method: bytes,
        url: bytes,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        facts: dict[bytes, bytes],
        keep_alive: bool,
        http_1_0: bool,
        target: Target,
        started_at: float,
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.url = url
        self.query = query
        self.headers = headers
        self.facts = facts
        self.keep_alive = keep_alive
        self.http_1_0 = http_1_0
        self.target = target
        self.request_id = new_request_id()
        self.started_at = started_at
        self.body: bytes | bytearray = b""
        self.body_size = 0
        self.body_whole = False
        self.on_leave: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.started = False
        self.status = 0
        self._chunked = False
        # as uvicorn calls them
        self.response_complete = False
        self.disconnected = False
        self.message_event = _NO_EVENT

    # ------------------------------------------------------------------------------------ the answer

    @property
    def ended(self) -> bool:
        return self.response_complete

    @property
    def request_line(self) -> str:
        version = "HTTP/1.0" if self.http_1_0 else "HTTP/1.1"
        return f"{self.method.decode()} {self.url.decode('latin-1')} {version}"

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with what was written."""
        return not self.protocol.flow.write_paused

    def respond(self, status: int, body: Buffer, headers: heads.Headers = (), reason: str = "") -> None:
        """The whole answer."""
        if self.response_complete:
            return
        if status == 200 and not headers and not reason and self.keep_alive and self.method != b"HEAD":
            self._respond_plainly(body)
            return
        if status in _NO_BODY:
            body = b""
        elif self.method != b"HEAD":
            headers = (*headers, (b"content-length", b"%d" % len(body)))
        head = self._head(status, headers, reason)
        write = self.protocol.transport.write
        if len(body) > _LARGE and self.method != b"HEAD":
            write(head)
            write(body)
        else:
            write(head if self.method == b"HEAD" else b"".join((head, body)))
        self._end()

    def _respond_plainly(self, body: Buffer) -> None:
        """What nearly all answers are, of few pieces."""
        self.status = 200
        size = len(body)
        end = b"\r\nconnection: keep-alive\r\n\r\n"
        pieces = (_PLAIN, self.request_id.encode(), self.protocol.plain_headers, b"%d" % size, end)
        if size > _LARGE:
            self.protocol.transport.write(b"".join(pieces))
            self.protocol.transport.write(body)
        else:
            self.protocol.transport.write(b"".join((*pieces, body)))
        self._end()

    def fail(self, answer: Answer, headers: heads.Headers = ()) -> None:
        """An error document; nothing at all for a request that was too large, as from TorchServe."""
        body = error_bytes(answer) if answer.status != PAYLOAD_TOO_LARGE else b""
        if answer.status == UNAUTHORIZED:
            headers = (*headers, (b"www-authenticate", b"Bearer"))
        self.respond(answer.status, body, [*_JSON, *headers] if body else headers)

    def start(self, status: int, headers: heads.Headers, reason: str = "") -> None:
        """The head of an answer whose parts follow by `send`."""
        self._chunked = not self.http_1_0 and status not in _NO_BODY
        if self._chunked:
            headers = (*headers, (b"transfer-encoding", b"chunked"))
        else:
            self.keep_alive = False  # only the end of the connection tells the end of the answer
        self.started = True
        self.protocol.transport.write(self._head(status, headers, reason))

    def send(self, part: Buffer) -> None:
        """One part: an empty one is nothing, as a chunk of no bytes would be the end."""
        if self.response_complete or not len(part) or self.method == b"HEAD":
            return
        self.protocol.transport.write(b"".join((b"%x\r\n" % len(part), part, b"\r\n")) if self._chunked else part)

    def finish(self) -> None:
        """The good end after the last part."""
        if self.response_complete:
            return
        if self._chunked and self.method != b"HEAD":
            self.protocol.transport.write(b"0\r\n\r\n")
        self._end()

    def cut(self, *, at_once: bool = False) -> None:
        """The bad end of an answer that has begun: the connection is closed without the mark of a good one.
        ``at_once``: what the client has not read yet is lost."""
        if self.response_complete:
            return
        self.keep_alive = False
        if at_once:
            self.protocol.transport.abort()
        self._end()

    def left(self) -> None:
        """The client is gone."""
        if self.response_complete:
            return
        self.disconnected = True
        self.status = self.status or CLIENT_LEFT
        on_leave = self.on_leave
        self._end()
        if on_leave is not None:
            on_leave()

    # ------------------------------------------------------------------------------------ inside

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]], reason: str) -> bytes:
        self.status = status
        if status >= 400:
            self.keep_alive = False
        return b"".join(
            (
                heads.status_line(status, reason),
                b"x-request-id: ",
                self.request_id.encode(),
                b"\r\n",
                self.protocol.common_headers(headers),
                *[b"%b: %b\r\n" % header for header in headers],
                b"connection: keep-alive\r\n\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
            )
        )

    def _end(self) -> None:
        self.response_complete = True
        self.on_leave = self.on_writable = None
        self.protocol.exchange_ended(self)
