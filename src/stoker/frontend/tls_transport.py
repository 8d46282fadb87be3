"""Runs TLS on one connection: the transport of a protocol that sees plain bytes only.

The loop's own TLS keeps 256 KiB for each connection, encrypts answers before the client reads, and shows a connection
only after its handshake.  This one keeps a record or two, encrypts no faster than the client reads, and counts the
connection from its accept on.

Invariants: a handshake ends in time, or the connection is closed; the inner protocol gets ``connection_made`` at most
once, and ``connection_lost`` as often; received bytes are delivered before reading pauses; nothing is written after
close_notify.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, cast

from stoker.core.buffer import Buffer
from stoker.frontend.backlog import Backlog
from stoker.frontend.connections import Connections
from stoker.frontend.transfers import current_transfers

log = logging.getLogger(__name__)

_TLS_HANDSHAKE = 0x16
_TEXT = b"This port speaks TLS: use https://\n"
_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_TEXT), _TEXT)
)
"""Answers clients that speak HTTP without TLS; gRPC libraries report it as well."""
_RECORD = 16 << 10
_AT_ONCE = 4 * _RECORD
_PIECE = 4 << 10
"""Bytes that OpenSSL gets at a time, unless many have come: its buffers never shrink."""
_RECORD_OVERHEAD = 32
"""Bytes that a record of one byte of data takes, rounded up."""
_MOST_EMPTY_BYTES = 256 << 10
"""Bytes that may come beyond `_RECORD_OVERHEAD` for each byte of data: key updates and empty records cost time, and no
limit of the inner protocol counts them."""
_received = memoryview(bytearray(16 * _RECORD))
"""Receive buffer of all connections: its bytes are consumed before the loop reads again."""


class State(Enum):
    NEW = auto()  # no byte has come
    HANDSHAKE = auto()
    OPEN = auto()
    ENDING = auto()  # nothing more may be written, but what was written is not sent yet
    HALF_CLOSED = auto()  # close_notify was sent; what the client still sends is delivered
    OVER = auto()


class TlsTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """Encrypts for ``inner``, which is connected once the handshake is complete."""

    def __init__(
        self, inner: asyncio.Protocol, context: ssl.SSLContext, connections: Connections[Any], *, handshake_s: float
    ) -> None:
        super().__init__()
        self._inner: asyncio.Protocol | None = inner
        self._context = context
        self._connections = connections
        self._handshake_s = handshake_s
        self._state = State.NEW
        self._connected = False
        self._backlog = Backlog()  # not encrypted yet
        self._awaits_turn = False  # to encrypt more
        self._empty_bytes = 0  # received without data
        self._paused = False  # by the transport below
        self._inner_paused = False
        self._after_backlog: Callable[[], None] = self._finish

    # ------------------------------------------------------------------------ protocol of the socket below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = cast("asyncio.Transport", transport)
        self._transfers = current_transfers()
        self._timer = asyncio.get_running_loop().call_later(self._handshake_s, self.abort)
        if not self._connections.begin_handshake(self):
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        state, received = self._state, _received[:nbytes]
        if state is State.OPEN or state is State.HALF_CLOSED:
            self._receive(received)
        elif state is State.NEW:
            self._receive_first(received)
        elif state is State.HANDSHAKE:
            self._shake_hands(received)

    def eof_received(self) -> bool:
        self._client_ended()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._connections.end_handshake(self)
        self._state = State.OVER
        self._backlog.clear()
        inner, self._inner = self._inner, None  # it refers to this object
        self._after_backlog = _nothing
        if inner is not None and self._connected:
            inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._paused = True
        self._pause_inner()

    def _pause_inner(self) -> None:
        if self._inner is not None and self._connected and not self._inner_paused:
            self._inner_paused = True
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        self._write_backlog()

    # ------------------------------------------------------------------------------------- the handshake

    def _receive_first(self, first: memoryview) -> None:
        if first[0] == _TLS_HANDSHAKE:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self._state = State.HANDSHAKE
            self._shake_hands(first)
        elif bytes(first[:1]).isalpha():
            self._state = State.OVER
            self._below.write(_HTTP_ANSWER)
            with suppress(OSError):  # the client left
                self._below.write_eof()  # closing now would lose the answer; the handshake's timeout closes
        else:
            self.abort()

    def _shake_hands(self, received: memoryview) -> None:
        """Takes the handshake's part of the bytes; a client may send its first request with the end of it."""
        for start in range(0, len(received), _PIECE):
            self._incoming.write(received[start : start + _PIECE])
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                self._fail(error)
            else:
                self._open(received[start + _PIECE :])
            return
        self._flush()

    def _open(self, rest: memoryview) -> None:
        self._flush()
        self._timer.cancel()
        self._connections.end_handshake(self)
        self._state, self._connected = State.OPEN, True
        assert self._inner is not None
        self._inner.connection_made(self)
        if rest or self._incoming.pending:
            self._receive(rest)

    # ----------------------------------------------------------------------------------------- receiving

    def _receive(self, received: memoryview) -> None:
        pieces: list[bytes] = []
        try:
            ended = self._decrypt(received, pieces)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._empty_bytes = max(0, self._empty_bytes + len(received) - _RECORD_OVERHEAD * sum(map(len, pieces)))
        if self._empty_bytes > _MOST_EMPTY_BYTES:
            log.info("TLS connection closed: too many records without data")
            self.abort()
            return
        if pieces and self._inner is not None:
            self._inner.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._outgoing.pending:
            self._flush()
        if ended:
            self._client_ended()

    def _decrypt(self, received: memoryview, pieces: list[bytes]) -> bool:
        """Decrypts the bytes, and appends the data to ``pieces``. True: close_notify came."""
        incoming, tls = self._incoming, self._tls
        step = _PIECE if len(received) <= _AT_ONCE else _RECORD  # small pieces of many bytes would cost time
        start = 0
        while True:
            if start < len(received):
                incoming.write(received[start : start + step])
                start += step
            try:
                while incoming.pending or tls.pending():
                    piece = tls.read(_RECORD)
                    if not piece:
                        return True
                    pieces.append(piece)
            except ssl.SSLWantReadError:
                pass  # the rest of a record has not come yet
            if start >= len(received):
                return False

    def _client_ended(self) -> None:
        inner = self._inner if self._connected else None
        if inner is None or not inner.eof_received():
            self.close()

    def _fail(self, error: ssl.SSLError) -> None:
        log.debug("TLS failed: %s", error)
        self._state = State.OVER
        self._flush()  # the alert
        self._below.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.write(self._outgoing.read())

    # ------------------------------------------------------------------------- transport of the protocol inside

    def write(self, data: Buffer) -> None:
        if self._state is not State.OPEN or not data:
            return
        if len(data) > _RECORD or self._paused or self._backlog:
            self._backlog.add(data)
            self._write_backlog()
            return
        self._tls.write(data)
        self._below.write(self._outgoing.read())

    def _write_backlog(self) -> None:
        while self._backlog and not self._paused and not self._awaits_turn:
            self._below.writelines(self._encrypted())
            if not self._transfers.spend(_AT_ONCE):
                self._awaits_turn = True
                self._transfers.wait(self._go_on)
        if self._backlog or self._paused:
            self._pause_inner()
            return
        if self._state is State.ENDING:
            self._after_backlog()
        elif self._inner_paused and self._inner is not None:
            self._inner_paused = False
            self._inner.resume_writing()

    def _go_on(self) -> None:
        self._awaits_turn = False
        if self._state is not State.OVER:
            self._write_backlog()

    def _encrypted(self) -> list[bytes]:
        """Returns the next few records."""
        backlog, records, least = self._backlog, list[bytes](), self._backlog.size - _AT_ONCE
        while backlog and backlog.size > least:
            self._tls.write(backlog.take(_RECORD))
            records.append(self._outgoing.read())
        return records

    def get_write_buffer_size(self) -> int:
        return self._backlog.size + self._below.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._state is State.OPEN:
            self._end_with(self._half_close)

    def close(self) -> None:
        if self._state is State.OPEN:
            self._end_with(self._finish)
        elif self._state is State.ENDING:
            self._after_backlog = self._finish
        else:
            self._state = State.OVER
            self._below.close()

    def _end_with(self, end: Callable[[], None]) -> None:
        self._state, self._after_backlog = State.ENDING, end
        self._write_backlog()

    def _finish(self) -> None:
        self._notify()
        self._state = State.OVER
        asyncio.get_running_loop().call_soon(self._below.close)  # during a write, asyncio would report the loss twice

    def _half_close(self) -> None:
        self._notify()
        self._state = State.HALF_CLOSED
        with suppress(OSError):  # the client left unnoticed
            self._below.write_eof()

    def _notify(self) -> None:
        with suppress(ssl.SSLError):  # the client's own close_notify has not come
            self._tls.unwrap()
        self._flush()

    def is_closing(self) -> bool:
        return self._state in (State.ENDING, State.OVER) or self._below.is_closing()

    def abort(self) -> None:
        self._state = State.OVER
        self._below.abort()

    give_up = abort

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return self._below.get_extra_info(name, default)


def _nothing() -> None:
    pass
