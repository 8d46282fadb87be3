"""Represents one request and the answer in progress, for any protocol.

Work is a plain function that starts something and returns.  It answers through the exchange, then or later, on the
event loop: whole (`respond`), in parts (`send`, `finish`), or with an error (`fail`).

Invariant: an exchange ends exactly once: completed, failed or `cancelled`.  Whatever comes later is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.reply import Chunk, ReplyStream


class Tracker(Protocol):
    """Keeps the open exchanges of a listener (`open_exchanges`)."""

    def begin(self, exchange: Exchange) -> None: ...

    def blocked(self, exchange: Exchange) -> None:
        """Notes that the client is behind."""
        ...

    def check_quiet(self) -> None: ...

    def end(self, exchange: Exchange, status: int) -> None: ...


class Exchange(Struct, eq=False, kw_only=True):
    """Carries one request to its work, and the answer back.

    ``tracker``: keeps the exchange while it is open.  ``work``: starts what the request asks for; called once, with the
    exchange, by the tracker's `begin`.

    ``label`` and ``peer``: request and client, for the access log.  ``deadline``: in seconds of the monotonic clock.
    ``request_id``: the id that the handler sees, once the work has chosen it.  ``while_draining``: served even while
    the server drains, and not waited for then (health checks).

    The work may set ``on_cancel`` (nothing can be answered any more) and ``on_writable`` (there is room again after
    `send` returned False); the protocol may set ``on_end``.
    """

    tracker: Tracker
    work: Callable[[Any], None]
    label: str
    peer: str
    started_at: float
    request: Buffer = b""
    request_id: str = ""
    deadline: float | None = None
    while_draining: bool = False
    on_cancel: Callable[[], None] | None = None
    on_writable: Callable[[], None] | None = None
    on_end: Callable[[], None] | None = None
    started: bool = False
    ended: bool = False
    writable: bool = True
    blocked_since: float = 0.0
    sent_bytes: int = 0
    _reply: ReplyStream | None = None

    @property
    def client(self) -> object:
        """Returns whose turn long work on the request takes (`client_queue`)."""
        return self.peer

    # ------------------------------------------------------------------------------------- for the work

    def respond_from(self, reply: ReplyStream) -> None:
        """Responds once ``reply`` has ended. It keeps the parts of a streaming handler until then."""
        self._reply = reply
        self.on_cancel = reply.cancel
        if reply.ended:
            self._on_reply()
        else:
            reply.listener = self._on_reply

    def _on_reply(self) -> None:
        reply = self._reply
        if reply is None or not reply.ended:
            return
        self._reply = None
        try:
            if reply.error is None:
                self.respond(reply.chunks)
            else:
                self.fail(reply.error)
        except Exception as error:
            self.abandon(error)

    def respond(self, chunks: Sequence[Chunk]) -> None:
        """Sends the whole answer: the data of all chunks, and the newest meta."""
        raise NotImplementedError

    def send(self, chunks: Sequence[Chunk]) -> bool:
        """Sends the next parts, however full the connection is. False: send no more before ``on_writable``."""
        raise NotImplementedError

    def finish(self) -> None:
        """Completes the answer after its last part."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """Ends the answer with an error: after everything already sent if there is room, else at once, losing that."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------- for the protocol

    def cancelled(self) -> None:
        """Ends the exchange because the client left, or its deadline passed."""
        callback = self.on_cancel
        if self._end(self._status_without_answer()) and callback is not None:
            callback()

    def abandon(self, error: Exception) -> None:
        """Ends the exchange on the server's behalf: cancels the work, and answers with the error."""
        callback = self.on_cancel
        if self.ended:
            return
        self.fail(error)
        if callback is not None:
            callback()

    def drain(self) -> None:
        """Notes that the server stops soon, so that work which waits for its client may end the exchange."""

    def blocked(self) -> None:
        """Notes that the client reads more slowly than the work writes."""
        self.writable = False
        if not self.ended:
            self.blocked_since = time.monotonic()
            self.tracker.blocked(self)

    def became_writable(self) -> None:
        self.writable = True
        try:
            if self.on_writable is not None:
                self.on_writable()
        except Exception as error:
            self.abandon(error)

    def delay_drain(self, delay: bool) -> None:
        """Says whether a drain must wait for the exchange from now on; it need not while a conversation is idle."""
        if self.while_draining is delay:
            self.while_draining = not delay
            self.tracker.check_quiet()

    def _status_without_answer(self) -> int:
        """Returns the status to log for a client that has left."""
        raise NotImplementedError

    def _end(self, status: int) -> bool:
        """Ends the exchange; False if it has ended before."""
        if self.ended:
            return False
        self.ended = True
        self.on_cancel = None  # it and the next two refer to objects that refer to this exchange
        if self.on_writable is not None:
            self.on_writable = None
        if self._reply is not None:
            self._reply = None
        self.tracker.end(self, status)
        if self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end()
        return True
