"""From a `ReplyStream` to an answer: whole, or part by part as the parts come.  PURE.

An answer is moved by the reply's own listener: no task, no timer and no thread hop between a worker's frame and the
connection.  A part is read from the reply only while the exchange has room, so that a client that does not read is felt
by the worker and by nobody else.
"""

from __future__ import annotations

from stoker.core.reply import ReplyStream
from stoker.errors import DeadlineExceeded, ServerStopping, StreamStalled
from stoker.frontend.exchange import Exchange

_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that do not wait until the client has read what came before them."""

_AT_ONCE_BYTES = 16 << 10
"""Parts that wait are handed over together up to this size: less than any exchange has room for."""


class UnaryAnswer:
    """One message at the end. The parts of a handler that answers in parts are kept in the reply until then."""

    __slots__ = ("_exchange", "_reply")

    def __init__(self, exchange: Exchange, reply: ReplyStream) -> None:
        self._exchange = exchange
        self._reply = reply
        exchange.on_cancel = reply.cancel
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        reply, exchange = self._reply, self._exchange
        if not reply.ended:
            return
        try:
            if reply.error is None:
                exchange.respond(reply.rest())
            else:
                exchange.fail(reply.error)
        except Exception as error:
            exchange.abandon(error)


class StreamAnswer:
    """Part by part, as soon as each comes and there is room; whole, when the only part is the last."""

    __slots__ = ("_busy", "_exchange", "_reply")

    def __init__(self, exchange: Exchange, reply: ReplyStream) -> None:
        self._exchange = exchange
        self._reply = reply
        self._busy = False
        exchange.on_cancel = reply.cancel
        exchange.on_writable = self._on_reply
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        """Reading may give the producer room to push at once; the outer call then goes on with it, in order."""
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
