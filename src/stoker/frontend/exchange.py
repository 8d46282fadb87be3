"""One request and the answer in progress, whatever protocol carries them.

Work is a plain function that begins something and returns; it answers through the exchange, then or later, on the
event loop: whole (`respond`) or in parts (`send`, `finish`), or with an error (`fail`).

Laws: exactly one end, which is a good one, a bad one, or that the client leaves (`cancelled`). Whatever comes after it
is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stoker.core.buffer import Buffer
from stoker.core.reply import Chunk

if TYPE_CHECKING:
    from stoker.frontend.open_exchanges import OpenExchanges


class Exchange:
    """``label`` and ``peer``: what and who, for the access log. ``deadline``: in seconds of the monotonic clock.
    ``request_id``: what the handler sees, once the work has chosen it.
    ``while_draining``: still served when the server drains, and not waited for then (health).

    The work may set ``on_cancel`` (nothing can be answered any more) and ``on_writable`` (there is room again after
    `send` said there was none).
    """

    __slots__ = (
        "_open",
        "blocked_since",
        "deadline",
        "ended",
        "label",
        "on_cancel",
        "on_writable",
        "peer",
        "request",
        "request_id",
        "sent_bytes",
        "started",
        "started_at",
        "while_draining",
        "writable",
    )

    def __init__(
        self,
        open_exchanges: OpenExchanges,
        label: str,
        peer: str,
        request: Buffer = b"",
        *,
        started_at: float,
        deadline: float | None = None,
        while_draining: bool = False,
    ) -> None:
        self._open = open_exchanges
        self.label = label
        self.peer = peer
        self.request = request
        self.request_id = ""
        self.started_at = started_at
        self.deadline = deadline
        self.while_draining = while_draining
        self.on_cancel: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.started = self.ended = False
        self.writable = True
        self.blocked_since = 0.0
        self.sent_bytes = 0

    def work(self) -> None:
        """What the request asks for; called once, when the request is whole."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------- for the work

    def respond(self, chunks: Sequence[Chunk]) -> None:
        """The whole answer: the data of all, the newest meta."""
        raise NotImplementedError

    def send(self, chunks: Sequence[Chunk]) -> bool:
        """The next parts of an answer; they are always taken. False: no others before ``on_writable``."""
        raise NotImplementedError

    def finish(self) -> None:
        """The good end after the last part."""
        raise NotImplementedError

    def fail(self, error: Exception) -> None:
        """The bad end: after all that was sent if there is room, else at once, and the rest is lost."""
        raise NotImplementedError

    # -------------------------------------------------------------------------- for what carries the exchange

    def cancelled(self) -> None:
        """The client left, or its deadline passed."""
        callback = self.on_cancel
        if self._end(self._status_without_answer()) and callback is not None:
            callback()

    def abandon(self, error: Exception) -> None:
        """The server gives the exchange up: the work behind it is cancelled and the client told why."""
        callback = self.on_cancel
        if self.ended:
            return
        self.fail(error)
        if callback is not None:
            callback()

    def blocked(self) -> None:
        """The client does not read as fast as is written to it."""
        self.writable = False
        if not self.ended:
            self.blocked_since = time.monotonic()
            self._open.blocked(self)

    def became_writable(self) -> None:
        self.writable = True
        try:
            if self.on_writable is not None:
                self.on_writable()
        except Exception as error:
            self.abandon(error)

    def _status_without_answer(self) -> int:
        """For the access log, of a client that left."""
        raise NotImplementedError

    def _end(self, status: int) -> bool:
        """Whether this was the one end."""
        if self.ended:
            return False
        self.ended = True
        self.on_cancel = self.on_writable = None  # they hold what holds this exchange
        self._open.end(self, status)
        return True
