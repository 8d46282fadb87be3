"""Turns a `ReplyStream` into an answer in parts, as they arrive. PURE.

The reply's listener sends the answer: no task, timer or thread switch lies between a worker's frame and the connection.
A part is read from the reply only while the exchange has room, so a client that does not read slows only its own
worker.
"""

from __future__ import annotations

from stoker.core.reply import ReplyStream
from stoker.errors import DeadlineExceeded, ServerStopping, StreamStalled
from stoker.frontend.exchange import Exchange

_NOT_AFTER_THE_REST = (StreamStalled, DeadlineExceeded, ServerStopping)
"""Errors that are sent without waiting until the client has read the parts before them."""

READ_AT_ONCE_BYTES = 16 << 10
"""Bytes of waiting parts to read and send together, less than what any exchange sends without blocking."""


class StreamAnswer:
    """Sends each part as soon as it has arrived and there is room; a reply of one part is sent as a whole answer."""

    __slots__ = ("_busy", "_exchange", "_reply")

    def __init__(self, exchange: Exchange, reply: ReplyStream) -> None:
        self._exchange = exchange
        self._reply = reply
        self._busy = False
        exchange.on_cancel = reply.cancel
        exchange.on_writable = self._on_reply
        reply.subscribe(self._on_reply)

    def _on_reply(self) -> None:
        """Reads the reply. Reading may let the producer push more at once; the outer call then sends that, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            if self._reply.is_one_chunk and not self._exchange.started:
                self._exchange.respond(self._reply.rest())
            else:
                self._send_parts()
        except Exception as error:
            self._exchange.abandon(error)
        finally:
            self._busy = False

    def _send_parts(self) -> None:
        exchange, reply = self._exchange, self._reply
        while exchange.writable and (chunks := reply.read_nowait(READ_AT_ONCE_BYTES)):
            exchange.send(chunks)
        error = reply.error
        if isinstance(error, _NOT_AFTER_THE_REST):
            exchange.fail(error)
        elif reply.exhausted and exchange.writable:
            if error is None:
                exchange.finish()
            else:
                exchange.fail(error)
