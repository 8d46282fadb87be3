"""Runs one HTTP/1.1 connection: reads requests, one exchange at a time, and writes the answers.

A request that the listener's `Predictor` wants goes straight to it; all others go to the ASGI application (`asgi`).

Invariants: while an answer waits for its worker or its reader, no further request is read, neither from the socket nor
from the bytes already received; heads and bodies are bounded before they are buffered; bytes that are not HTTP get one
clear answer; a client that neither reads nor writes for too long is disconnected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from stoker.core.buffer import Buffer
from stoker.core.turn import current_turn
from stoker.errors import TooManyIncomplete
from stoker.frontend.budget import Share
from stoker.frontend.http import new_heads, request_head
from stoker.frontend.http.asgi import AsgiExchange
from stoker.frontend.http.events import EventExchange
from stoker.frontend.http.exchange import HttpExchange
from stoker.frontend.http.request_body import RequestBody
from stoker.frontend.http.request_head import END, RequestHead
from stoker.frontend.http.site import Site
from stoker.frontend.lingering import Lingering
from stoker.frontend.sockets import avoid_pacing, peer_of, unacknowledged
from stoker.frontend.transfers import LARGE_BYTES, Reading

_FREE_BYTES = 16 << 10
"""Bytes of incomplete requests that a connection may hold without room in the budget."""
_KEPT_HEAD = 4 << 10
_LINE_END = b"\r\n"
_TURN = 32
"""Heads and bodies of one connection that are handled in a row before others get their turn."""


class HttpConnection(asyncio.Protocol):
    """``peer``: the client, for the access log."""

    __slots__ = (
        "_admit",
        "_advancing",
        "_at",
        "_begun",
        "_body",
        "_discarding",
        "_exchange",
        "_head",
        "_held",
        "_kept",
        "_lingering",
        "_loop",
        "_paused",
        "_quiet_since",
        "_raw",
        "_reading",
        "_requests",
        "_rest",
        "_searched",
        "_share",
        "_site",
        "_stopping",
        "_transport",
        "_turn",
        "_unread",
        "app",
        "client",
        "exchanges",
        "peer",
        "predict",
        "scheme",
        "server",
        "style",
        "write",
    )

    def __init__(self, site: Site) -> None:
        self._site = site
        self.app = site.app
        self.exchanges = site.exchanges
        self.style = site.style
        self.scheme = site.scheme
        self.peer = "unix"
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self._admit: Callable[[RequestHead], None] = site.predictor.admit if site.predictor else _no_predictor
        self.predict: Callable[[HttpExchange], None] = site.predictor.predict if site.predictor else _no_predictor
        self._exchange: HttpExchange | None = None
        self._rest: bytes | bytearray = b""  # received, but not handled yet
        self._at = 0  # where the unhandled input starts in `_rest`
        self._searched = 0  # no head ends before this position
        self._raw = b""  # the newest head, and what it was parsed to
        self._head = request_head.RequestHead(b"", b"", "1.1")
        self._body: RequestBody | None = None
        self._share: Share | None = None  # of the budget, for input that is incomplete or waits for its turn
        self._held = 0  # bytes of `_rest` that are counted in `_share`
        self._advancing = False
        self._paused = False  # paused by the transport: the client does not read
        self._unread = 0
        self._kept = 0  # what the transport keeps of a large body
        self._stopping = False  # nothing is served after the current answer
        self._discarding = False  # further input is discarded
        self._lingering: Lingering | None = None
        self._requests = 0
        self._begun = 0.0  # when the current head or body started
        self._quiet_since = time.monotonic()  # when nothing has been received or read since

    # ------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.write: Callable[[Buffer], None] = self._transport.write
        self._loop = asyncio.get_running_loop()
        self._turn = current_turn()
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if isinstance(peer, tuple):
            self.client, self.server = (peer[0], peer[1]), (own[0], own[1])
        self.peer = peer_of(transport)
        avoid_pacing(transport)
        self._reading = Reading(self._transport)
        if not self._site.connections.add(self):
            self._discarding = True
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            lingering.cancel()
        self._discarding = True
        self._rest, self._body = b"", None
        self._give_back()
        self._site.budgets.unread.set(self, 0)
        if exchange is not None:
            exchange.cancelled()
        self._site.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._turn.run(self._receive, data)

    def _receive(self, data: bytes) -> None:
        self._quiet_since = time.monotonic()
        if len(data) >= LARGE_BYTES:
            self._reading.received(len(data))
        if self._discarding:
            if self._lingering is not None:
                self._lingering.discard(len(data))
            return
        rest = self._rest
        if not rest:
            self._rest = data
        else:
            if isinstance(rest, bytes):
                rest = self._rest = bytearray(rest)
            del rest[: self._at]
            self._at = 0
            rest += data
        self._advance()

    def _advance(self) -> None:
        """Handles as much of the input as it can now, then decides whether to go on reading."""
        if self._advancing:
            return
        self._advancing = True
        turns, goes_on = _TURN, True
        try:
            while self._rest and turns and (goes_on := self._step()):
                turns -= 1
        except Exception as error:
            self._refuse(error)
        finally:
            self._advancing = False
        if not self._rest or self._discarding:
            if not self._reading.wanted:
                self._reading.want(True)
        elif goes_on:
            self._reading.want(False)
            self._loop.call_soon(self._advance)
        else:
            self._wait_with_rest()

    def _wait_with_rest(self) -> None:
        """Decides whether to go on reading while input waits for its turn.

        Up to `_FREE_BYTES` are kept and reading goes on, so that a disconnect is noticed. More input needs room in the
        budget; without room it is dropped, and the connection closes after the current answer.
        """
        if self._needs_input or len(self._rest) <= _FREE_BYTES:
            self._reading.want(True)
        else:
            self._reading.want(False)
            self._hold_rest()

    def _hold_rest(self) -> None:
        """Counts input that waits, including what arrived after its request began to wait for room."""
        more = len(self._rest) - self._held
        if more <= 0:
            return
        if self._share is None:
            self._share = Share(self._site.budgets.unparsed)
        try:
            self._share.hold(more)
            self._held += more
        except TooManyIncomplete as error:
            self._refuse_rest(error)

    def _refuse_rest(self, error: TooManyIncomplete) -> None:
        exchange = self._exchange
        if self._waits_for_room:  # the rest belongs to the request that waits
            self._refuse(error)
            return
        self._rest, self._at = b"", 0
        if exchange is None:
            self._close_after_output()
            return
        self._stopping = True
        if not exchange.started:
            exchange.keep_alive = False

    def _reserve(self, size: int, *, meanwhile: int) -> None:
        self._share = Share(self._site.budgets.unparsed)
        self._share.reserve(size, self._has_room, meanwhile=meanwhile)
        self._held = meanwhile

    def _has_room(self) -> None:
        self._begun = self._quiet_since = time.monotonic()
        self._loop.call_soon(self._advance)

    def _give_back(self) -> None:
        share, self._share, self._held = self._share, None, 0
        if share is not None:
            share.give_back()

    @property
    def _waits_for_room(self) -> bool:
        return self._share is not None and self._share.waits

    @property
    def _needs_input(self) -> bool:
        """Tells whether it waits for more bytes."""
        exchange = self._exchange
        return not (self._waits_for_room or (self._paused if exchange is None else exchange.whole))

    def _step(self) -> bool:
        """Takes one head, or more of a body. Returns whether there may be more to handle."""
        if self._share is not None and self._share.waits:
            return False
        exchange = self._exchange
        if exchange is None:
            return not self._paused and self._take_head()
        return not exchange.whole and self._take_body(exchange)

    def _take(self, stop: int) -> bytes | bytearray:
        """Consumes the input up to a position."""
        rest, start = self._rest, self._at
        if stop < len(rest):
            self._at = stop
        else:
            self._rest, self._at = b"", 0
        return rest[start:stop]

    # ------------------------------------------------------------------------------------ a request's head

    def _take_head(self) -> bool:
        rest, start, raw = self._rest, self._at, self._raw
        if raw and rest.startswith(raw, start):  # as the one before: nearly always
            self._at = start + len(raw)
        elif not self._find_head():
            return False
        self._searched = 0
        if self._share is not None:
            self._give_back()
        self._begin(self._head)
        return True

    def _find_head(self) -> bool:
        """Finds the end of a head, and parses it."""
        rest, start = self._rest, self._at
        while start < len(rest) and rest[start] in _LINE_END:  # some clients end a body like this
            start += 1
        self._at = start
        end = rest.find(END, max(start, self._searched))
        if end < 0:
            self._wait_for_head(bytearray(self._take(len(rest))))
            return False
        raw = bytes(rest[start : end + 4])
        if raw != self._raw:
            head = new_heads.parse(raw, self._site)  # one that is refused stays, to be named in the access log
            self._raw, self._head = raw if len(raw) <= _KEPT_HEAD else b"", head
        self._take(end + 4)
        return True

    def _wait_for_head(self, begun: bytearray) -> None:
        if not self._searched:
            self._begun = self._quiet_since
        self._rest, self._at = begun, 0
        if begun:
            limit, checked = self._site.limits.head_bytes, self._searched
            request_head.check_partial_head(begun, limit=limit, checked=checked)
            self._searched = max(1, len(begun) - 3)
            if len(begun) > _FREE_BYTES and self._share is None:
                self._reserve(self._site.limits.head_bytes, meanwhile=len(begun))

    def _begin(self, head: RequestHead) -> None:
        route = head.route
        self._requests += 1
        if route is None:
            kind: type[HttpExchange] = AsgiExchange
        else:
            kind = EventExchange if route.events else HttpExchange
        exchange = self._exchange = kind.of(self, head, self._quiet_since)
        if not head.chunked and len(self._rest) - self._at >= head.content_length:
            exchange.whole = True
            exchange.request = self._take(self._at + head.content_length)
        if route is not None:
            self._admit(head)
        if not exchange.whole:
            self._begin_body(head)
        self.exchanges.begin(exchange)

    # ------------------------------------------------------------------------------------ its body

    def _begin_body(self, head: RequestHead) -> None:
        self._begun = self._quiet_since
        self._rest, self._at = self._take(len(self._rest)), 0
        body = self._body = RequestBody(head, self.exchanges.max_message_bytes)
        if body.most > _FREE_BYTES:
            self._reserve(body.most, meanwhile=len(self._rest))

    def expects_body(self, exchange: HttpExchange) -> None:
        """Sends 100 Continue to a client that waits for it."""
        body = self._body
        if exchange.head.expects_continue and body is not None and not body.received and not self._rest:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take_body(self, exchange: HttpExchange) -> bool:
        body = self._body
        assert body is not None
        self._rest, self._at = body.feed(self._take(len(self._rest))), 0
        if body.whole:
            self._body = None
            self._give_back()
            exchange.body_received(body.data)
        return True

    # ------------------------------------------------------------------------------------ its end

    def exchange_ended(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:  # the connection is lost
            return
        self._quiet_since = time.monotonic()
        if self._share is not None:
            self._give_back()
        if exchange.keep_alive and exchange.whole and not self._stopping:
            if not self._advancing and (self._rest or not self._reading.wanted):
                self._advance()
        else:
            self._body = None
            self._close(still_sends=not exchange.whole or bool(self._rest) or not self._reading.wanted)

    def _refuse(self, error: Exception) -> None:
        """Refuses an unparseable request; nothing after it can be parsed either."""
        exchange = self._exchange
        if exchange is None:
            head = new_heads.unparseable(bytes(self._rest[self._at : self._at + 200]))
            exchange = self._exchange = HttpExchange.of(self, head, self._quiet_since)
        exchange.abandon(error)

    def _close(self, *, still_sends: bool) -> None:
        """Closes; with more care if the client still sends, because closing at once would lose the answer."""
        self._discarding, self._rest = True, b""
        if self._transport.is_closing():
            return
        if still_sends:
            self._reading.want(True)
            self._linger()
        else:
            self._close_after_output()

    def _close_after_output(self) -> None:
        """Closes once the client has read the output."""
        self._discarding = True
        if self._paused or self._lingering is not None:
            return
        if unacknowledged(self._transport):
            self._linger()
        else:
            self._close_now()

    def _linger(self) -> None:
        self._lingering = Lingering(self._transport, self._close_now)
        self._lingering.begin()

    def _close_now(self) -> None:
        self._loop.call_soon(self._transport.close)  # within asyncio's write, it would report the loss twice

    # ------------------------------------------------------------------------------------ writing, stopping

    def pause_writing(self) -> None:
        self._paused = True
        self._quiet_since = time.monotonic()
        self._count_unread()
        if self._exchange is not None:
            self._exchange.blocked()

    def resume_writing(self) -> None:
        self._paused = False
        self._quiet_since = time.monotonic()
        self._count_unread()
        if self._exchange is not None:
            self._exchange.became_writable()
        elif self._discarding:
            self._close_after_output()
        else:
            self._give_back()
            self._advance()

    def write_large(self, body: Buffer) -> None:
        """Writes a large body. All of it counts as unread until the last of it is sent."""
        self._kept = len(body)
        self.write(body)
        if not self._paused:
            self._kept = 0

    def _count_unread(self) -> None:
        """Asks the transport how much the client has left unread; a decrease counts as activity.

        An answer counts whole until all of it is sent, because the transport keeps it whole.
        """
        unread = self._transport.get_write_buffer_size() if self._paused else 0
        if unread < self._unread:
            self._quiet_since = time.monotonic()
        self._unread = unread
        self._kept = max(self._kept, unread) if unread else 0
        self._site.budgets.unread.set(self, self._kept)

    def give_up(self) -> None:
        self._loop.call_soon(self._transport.abort)  # it may be in the middle of a write

    def check_timeouts(self, now: float) -> None:
        if self._paused or self._transport.is_closing():
            self._count_unread()
        limits, quiet, exchange = self._site.limits, now - self._quiet_since, self._exchange
        if self._paused or self._discarding:
            if quiet > limits.slow_s:
                self._transport.abort()
        elif exchange is not None:
            if not exchange.whole and not self._waits_for_room and self._body_is_late(now, quiet):
                self._transport.close()
        elif self._rest:
            if now - self._begun > limits.head_s:
                self._transport.close()
        elif quiet > (limits.idle_s if self._requests else limits.first_s):
            self._close_after_output()

    def _body_is_late(self, now: float, quiet_s: float) -> bool:
        received = 0 if self._body is None else self._body.received
        slow_s, lasted_s = self._site.limits.slow_s, now - self._begun
        return self._site.budgets.is_late(slow_s, quiet_s=quiet_s, lasted_s=lasted_s, received=received)

    def shutdown(self) -> None:
        self._stopping = True
        exchange = self._exchange
        if exchange is not None:
            if not exchange.started:
                exchange.keep_alive = False
        else:
            self._close_after_output()


def _no_predictor(_: object) -> None:
    raise NotImplementedError
