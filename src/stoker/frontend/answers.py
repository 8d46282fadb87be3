"""Turns a `ReplyStream` into an answer in parts, as they arrive. PURE.

The reply's own listener moves the answer: no task, timer or thread switch between a worker's frame and the connection.
A part is read from the reply only while the exchange has room, so a client that does not read slows its own worker
only.
"""

from __future__ import annotations

from stoker.core.reply import ReplyStream
from stoker.errors import DeadlineExceeded, ServerStopping, StreamStalled
from stoker.frontend.exchange import Exchange

_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that are sent without waiting until the client has read the parts before them."""

_AT_ONCE_BYTES = 16 << 10
"""Waiting parts are sent together up to this size, which is below any exchange's limit."""


class StreamAnswer:
    """Sends each part as soon as it arrives and there is room; whole, if the only part is the last."""

    __slots__ = ("_busy", "_exchange", "_reply")

    def __init__(self, exchange: Exchange, reply: ReplyStream) -> None:
        self._exchange = exchange
        self._reply = reply
        self._busy = False
        exchange.on_cancel = reply.cancel
        exchange.on_writable = self._on_reply
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        """Reads the reply. Reading may let the producer push at once; the outer call then handles that, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            if self._reply.is_one_chunk and not self._exchange.started:
                self._exchange.respond(self._reply.rest())
            else:
                self._move()
        except Exception as error:
            self._exchange.abandon(error)
        finally:
            self._busy = False

    def _move(self) -> None:
        exchange, reply = self._exchange, self._reply
        while exchange.writable and (chunks := reply.read_nowait(_AT_ONCE_BYTES)):
            exchange.send(chunks)
        error = reply.error
        if isinstance(error, _NOT_AFTER_THE_REST):
            exchange.fail(error)
        elif reply.exhausted and exchange.writable:
            if error is None:
                exchange.finish()
            else:
                exchange.fail(error)
