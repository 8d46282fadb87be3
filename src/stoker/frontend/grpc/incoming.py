"""Receives the messages of one call that come in pieces, compressed, or faster than the method takes them.

Invariants: a message over the limit is refused when its length prefix arrives; a large one gets no flow-control window
before its size is reserved in the budget; a message counts in the budget until the method has it, and while one waits,
the client gets no more window.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import Protocol

from stoker.errors import MessageTooLarge, TooManyIncomplete
from stoker.frontend import compression
from stoker.frontend.budget import Share
from stoker.frontend.grpc import messages
from stoker.frontend.inflater import Inflation, current_inflater

_SMALL_BYTES = 64 * 1024
"""A message up to this size is received within the stream's first window."""


class Carrier(Protocol):
    """Interface of the connection (`connection`) for incoming messages."""

    max_message_bytes: int
    now: float

    def share(self) -> Share: ...

    def return_window(self, id: int, nbytes: int) -> None: ...

    def set_window(self, id: int, nbytes: int) -> int: ...

    def plan_flush(self) -> None: ...


class Receiver(Protocol):
    """Interface of the call for incoming messages."""

    id: int
    ended: bool
    reading: bool

    @property
    def connection(self) -> Carrier: ...

    @property
    def encoding(self) -> str: ...

    @property
    def one_request(self) -> bool: ...

    @property
    def takes_messages(self) -> bool:
        """Tells whether messages can be delivered now: the call has not ended and not paused, and its request, if there
        is only one, is complete."""
        ...

    def deliver(self, message: bytes | bytearray) -> None: ...

    def delivered_all(self) -> None:
        """Notes that no complete message waits."""
        ...

    def refuse_for(self, error: BaseException) -> None:
        """Ends the call, because a message cannot be read or has no room."""
        ...


class _Message:
    """A complete message. ``share``: its share of the budget, if any. ``waits``: the method does not have it yet."""

    __slots__ = ("compressed", "data", "share", "waits")

    def __init__(self, compressed: bool, data: bytes | bytearray, share: Share | None) -> None:
        self.compressed = compressed
        self.data = data
        self.share = share
        self.waits = True

    def give_back(self) -> None:
        if self.share is not None:
            self.share.give_back()


class IncomingMessages:
    """``begun_at``, ``received_at``: when the incomplete message and its newest piece came (monotonic)."""

    __slots__ = (
        "_call",
        "_connection",
        "_credit",
        "_inbox",
        "_inflation",
        "_reader",
        "_share",
        "_withheld",
        "begun_at",
        "received_at",
    )

    def __init__(self, call: Receiver) -> None:
        self._call = call
        self._connection = call.connection
        self._reader = messages.MessageReader(self._connection.max_message_bytes)
        self._inbox: deque[_Message] = deque()
        self._share: Share | None = None  # of the incomplete message
        self._inflation: Inflation | None = None  # of the first in the inbox
        self._withheld = 0  # received bytes not yet returned to the client's window
        self._credit = _SMALL_BYTES  # most that the client may send, with what a large message leaves of its window
        self.begun_at = self.received_at = self._connection.now

    @property
    def incomplete(self) -> bool:
        """Tells whether the newest message is incomplete."""
        return self._reader.incomplete

    @property
    def received_bytes(self) -> int:
        """Returns how much of the incomplete message has come."""
        return self._reader.received_bytes

    @property
    def waits_for_room(self) -> bool:
        return self._share is not None and self._share.waits

    def receive(self, data: bytes) -> None:
        """Receives a piece of the body."""
        size = len(data)
        self._withheld += size
        if size:
            self.received_at = self._connection.now
        if size and not self._reader.incomplete:
            self.begun_at = self.received_at
        try:
            new = self._read(data)
            self._deliver()
            self._count(new)
            self._reserve(self._reader.awaited_bytes)
        except (MessageTooLarge, TooManyIncomplete, messages.BadFraming, messages.TooManyMessages) as error:
            self._call.refuse_for(error)
        else:
            self._return_window()

    def read_on(self) -> None:
        """Continues after a pause, or a wait for room or decompression."""
        self.begun_at = self.received_at = time.monotonic()
        self._deliver()
        self._return_window()
        self._connection.plan_flush()

    def release(self) -> None:
        """Drops all messages, and gives back their shares and the withheld window, because the call has ended."""
        if self._inflation is not None:
            current_inflater().cancel(self._inflation)
            self._inflation = None
        for message in self._inbox:
            message.give_back()
        self._inbox.clear()
        if self._share is not None:
            self._share.give_back()
        self._return_withheld()

    # ---------------------------------------------------------------------------------- the budget, the window

    def _read(self, piece: bytes) -> list[_Message]:
        """Adds the messages that ``piece`` completes to the inbox; the first may have a share already.

        Raises: MessageTooLarge, BadFraming, TooManyMessages
        """
        call, new = self._call, []
        if self._reader.awaited_bytes <= _SMALL_BYTES:
            self._credit = max(_SMALL_BYTES, self._credit - len(piece))
        for compressed, data in self._reader.feed(piece):
            share, self._share = self._share, None
            if share is not None:
                share.stop_waiting()
            if len(data) > _SMALL_BYTES and not call.one_request:
                self._connection.set_window(call.id, _SMALL_BYTES)
            new.append(_Message(compressed, data, share))
            self.begun_at = self.received_at
        self._inbox.extend(new)
        if call.one_request and len(self._inbox) + (self._reader.awaited_bytes > 0) > 1:
            raise messages.TooManyMessages
        return new

    def _count(self, new: list[_Message]) -> None:
        """Counts messages that came complete but have to wait. Raises TooManyIncomplete."""
        if self._inbox:
            for message in new:
                if message.waits and message.share is None:
                    message.share = self._connection.share()
                    message.share.hold(len(message.data))

    def _reserve(self, size: int) -> None:
        """Takes the incomplete message's size from the budget; a large one that does not fit gets no more window.

        Raises: TooManyIncomplete
        """
        if not size or self._share is not None or self._call.ended:
            return
        share = self._share = self._connection.share()
        if size <= _SMALL_BYTES:
            share.hold(size)
        else:
            share.reserve(size, partial(self._on_room, size), meanwhile=self._credit)
            if not share.waits:
                self._open_window(size)

    def _on_room(self, size: int) -> None:
        """Continues once the budget has room for the incomplete message."""
        self._open_window(size)
        self.read_on()

    def _open_window(self, size: int) -> None:
        self._credit = self._connection.set_window(self._call.id, size)

    def _return_window(self) -> None:
        if self._call.reading and not (self._inbox or self.waits_for_room):
            self._return_withheld()

    def _return_withheld(self) -> None:
        withheld, self._withheld = self._withheld, 0
        if withheld:
            self._connection.return_window(self._call.id, withheld)

    # ------------------------------------------------------------------------------------------- delivery

    def _deliver(self) -> None:
        """Passes on complete messages, in order, decompressed."""
        call, inbox = self._call, self._inbox
        while inbox and self._inflation is None and call.takes_messages:
            message = inbox[0]
            if not message.compressed:
                inbox.popleft()
                message.waits = False
                try:
                    call.deliver(message.data)
                finally:
                    message.give_back()
            else:
                try:
                    self._inflate(message)
                except Exception as error:
                    call.refuse_for(error)
        if not inbox and not call.ended:
            call.delivered_all()

    def _inflate(self, message: _Message) -> None:
        """Decompresses a small message, or begins to decompress a large one in the thread."""
        compressed, encoding, limit = message.data, self._call.encoding, self._connection.max_message_bytes
        data = current_inflater().inflate_now(compressed, encoding, limit)
        if data is not None:
            message.compressed, message.data = False, data
        else:
            work = partial(compression.inflate, compressed, encoding, limit)
            self._inflation = current_inflater().submit(self._connection, work, self._on_inflated)

    def _on_inflated(self, data: bytes | None, error: BaseException | None) -> None:
        self._inflation = None
        if data is None:
            self._call.refuse_for(error or MemoryError())
            return
        message = self._inbox[0]
        share, message.share = message.share, None
        message.compressed, message.data = False, data
        if share is not None:
            share.give_back()
        self.read_on()
        try:
            self._count([message])
        except TooManyIncomplete as refused:
            self._call.refuse_for(refused)
