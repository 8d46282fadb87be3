"""Writes the answer to an HTTP/1.1 request: status, headers, parts and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import field

from stoker.core.buffer import Buffer
from stoker.core.job import new_request_id
from stoker.core.reply import Chunk, ResponseMeta
from stoker.errors import ServerStopping, StreamStalled
from stoker.frontend.exchange import Exchange
from stoker.frontend.http import heads
from stoker.frontend.http.request_head import RequestHead
from stoker.frontend.http.responses import ALWAYS, JSON_TYPE, UNAUTHORIZED, error_bytes
from stoker.frontend.http.status import PAYLOAD_TOO_LARGE, Answer
from stoker.frontend.open_exchanges import OpenExchanges

CLIENT_LEFT = 499
_LARGE = 64 << 10
_PLAIN = b"HTTP/1.1 200 OK\r\nx-request-id: "
_KEEP_ALIVE = b"\r\nconnection: keep-alive\r\n\r\n"
_NO_BODY = (204, 304)
_JSON = ((b"content-type", JSON_TYPE.encode()),)

AnswerOf = Callable[[Exception, bytes], tuple[Answer, heads.Headers]]
"""Returns the answer to an error, and extra headers. The second argument is the path of the request."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerStyle:
    """Settings shared by all answers of a listener.

    ``headers``: added unless the answer sets them itself. ``common``: these and `ALWAYS`, formatted. ``plain``: the
    bytes of a successful answer between its request id and its length.
    """

    answer_of: AnswerOf
    headers: heads.Headers
    common: bytes
    plain: bytes

    @classmethod
    def of(cls, answer_of: AnswerOf, headers: heads.Headers = ()) -> AnswerStyle:
        common = heads.header_block([*ALWAYS, *headers])
        return cls(answer_of, headers, common, b"\r\n" + common + b"Content-Length: ")

    def common_headers(self, others: heads.Headers) -> bytes:
        """Returns the common headers that ``others`` do not set."""
        if not self.headers or not others:
            return self.common
        overridden = {name.lower() for name, _ in others}
        return heads.header_block([*ALWAYS, *(item for item in self.headers if item[0].lower() not in overridden)])


class Carrier(Protocol):
    """Interface of the connection (`protocol`) for its exchange."""

    exchanges: OpenExchanges
    style: AnswerStyle
    peer: str
    write: Callable[[Buffer], None]
    predict: Callable[[HttpExchange], None]

    def expects_body(self, exchange: HttpExchange) -> None:
        """Sends 100 Continue to a client that waits for it."""
        ...

    def write_large(self, body: Buffer) -> None: ...

    def exchange_ended(self) -> None: ...

    def give_up(self) -> None: ...


class HttpExchange(Exchange, kw_only=True):
    """``whole``: the request is complete. ``keep_alive``: the connection stays open. ``request``: its body."""

    connection: Carrier
    head: RequestHead
    keep_alive: bool
    request_id: str = field(default_factory=new_request_id)
    status: int = 0
    whole: bool = False
    _chunked: bool = False
    _bodyless: bool = False

    @classmethod
    def of(cls, connection: Carrier, head: RequestHead, started_at: float) -> HttpExchange:
        return cls(
            tracker=connection.exchanges,
            work=cls.start_work,
            label=head.line,
            peer=connection.peer,
            started_at=started_at,
            connection=connection,
            head=head,
            keep_alive=head.keep_alive,
            on_end=connection.exchange_ended,
        )

    @property
    def client(self) -> object:
        return self.connection

    def start_work(self) -> None:
        if self.whole:
            self.connection.predict(self)
        else:
            self.connection.expects_body(self)

    def body_received(self, body: Buffer) -> None:
        """Takes the body of an exchange that began without it."""
        self.request, self.whole = body, True
        try:
            self.connection.predict(self)
        except Exception as error:
            self.abandon(error)

    def drain(self) -> None:
        """Refuses a request that is incomplete: no work would be admitted once it is whole."""
        if not (self.whole or self.started):
            self.abandon(ServerStopping())

    # ------------------------------------------------------------------------------------ the answer

    def respond(self, chunks: Sequence[Chunk]) -> None:
        if self.ended:
            return
        data, meta = (chunks[0].data, chunks[0].meta) if len(chunks) == 1 else _joined(chunks)
        if meta is None and self.keep_alive and not self.head.is_head:
            self._respond_plainly(data)
        else:
            self.respond_with(*rendered(meta), data)

    def _respond_plainly(self, body: Buffer) -> None:
        """Writes the most common answer, a 200 without headers of its own, in as few writes as possible."""
        size = len(body)
        pieces = (_PLAIN, self.request_id.encode(), self.connection.style.plain, b"%d" % size, _KEEP_ALIVE, body)
        if size > _LARGE:
            self.connection.write(b"".join(pieces[:-1]))
            self.connection.write_large(body)
        else:
            self.connection.write(b"".join(pieces))
        self._end(200)

    def respond_with(self, status: int, reason: str, headers: heads.Headers, body: Buffer) -> None:
        """Writes the whole rendered answer."""
        if self.ended:
            return
        if status in _NO_BODY:
            body = b""
        else:
            headers = (*headers, (b"Content-Length", b"%d" % len(body)))
        head = self._head(status, reason, headers)
        if self.head.is_head:
            self.connection.write(head)
        elif len(body) > _LARGE:
            self.connection.write(head)
            self.connection.write_large(body)
        else:
            self.connection.write(b"".join((head, body)))
        self._end(status)

    def send(self, chunks: Sequence[Chunk]) -> bool:
        if self.ended:
            return False
        if not self.started:
            self.start(*rendered(chunks[0].meta))
        self.write_parts([chunk.data for chunk in chunks])
        return self.writable

    def start(self, status: int, reason: str, headers: heads.Headers) -> None:
        """Writes the head of an answer in parts, which its first part determines."""
        self._bodyless = self.head.is_head or status in _NO_BODY
        self._chunked = not self.head.http_1_0 and status not in _NO_BODY
        if self._chunked:
            headers = (*headers, (b"transfer-encoding", b"chunked"))
        elif not self._bodyless:
            self.keep_alive = False  # only closing the connection ends the answer
        self.started = True
        self.connection.write(self._head(status, reason, headers))

    def write_parts(self, parts: Sequence[Buffer]) -> None:
        """Writes each part as a chunk. Skips empty parts, because an empty chunk would be the end."""
        pieces: list[Buffer] = []
        for part in parts:
            size = len(part)
            if size:
                self.sent_bytes += size
                pieces += (b"%x\r\n" % size, part, b"\r\n") if self._chunked else (part,)
        if pieces and not self._bodyless:
            self.connection.write(b"".join(pieces))

    def finish(self) -> None:
        if self.ended:
            return
        if self._chunked and not self._bodyless:
            self.connection.write(b"0\r\n\r\n")
        self._end(self.status)

    def fail(self, error: Exception) -> None:
        """Writes an error document, or nothing for a request that was too large, as TorchServe does on its own paths.

        In the middle of an answer HTTP cannot express an error: the client sees an incomplete answer.
        """
        if self.ended:
            return
        if self.started:
            self.keep_alive = False
            if isinstance(error, StreamStalled):
                self.connection.give_up()  # unread bytes are lost
            self._end(self.status)
            return
        answer, headers = self.connection.style.answer_of(error, self.head.path)
        is_empty = answer.status == PAYLOAD_TOO_LARGE and not answer.error
        body = b"" if is_empty else error_bytes(answer)
        if answer.status == UNAUTHORIZED:
            headers = (*headers, (b"www-authenticate", b"Bearer"))
        self.respond_with(answer.status, "", (*_JSON, *headers) if body else headers, body)

    # ------------------------------------------------------------------------------------ inside

    def _head(self, status: int, reason: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        self.status = status
        if status >= 400 or not self.whole:  # the rest of a request that is answered early is not read
            self.keep_alive = False
        return b"".join(
            (
                heads.status_line(status, reason),
                b"x-request-id: ",
                self.request_id.encode(),
                b"\r\n",
                self.connection.style.common_headers(headers),
                *[b"%b: %b\r\n" % header for header in headers],
                b"connection: keep-alive\r\n\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
            )
        )

    def _status_without_answer(self) -> int:
        return self.status or CLIENT_LEFT


def _joined(chunks: Sequence[Chunk]) -> tuple[Buffer, ResponseMeta | None]:
    metas = [chunk.meta for chunk in chunks if chunk.meta is not None]
    return b"".join([chunk.data for chunk in chunks]), metas[-1] if metas else None


def rendered(meta: ResponseMeta | None) -> tuple[int, str, heads.Headers]:
    if meta is None:
        return 200, "", ()
    return heads.sendable_status(meta.status), meta.reason, heads.handler_headers(meta.headers)
