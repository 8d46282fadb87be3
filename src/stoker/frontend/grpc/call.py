"""Represents one gRPC call to its method, whichever engine runs it.

An engine subclasses `Call` to send the answers, and passes it to `OpenExchanges.begin`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from stoker.core.buffer import Buffer
from stoker.core.reply import Chunk, ResponseMeta
from stoker.frontend.exchange import Exchange
from stoker.frontend.grpc.messages import Message
from stoker.frontend.grpc.metadata import Metadata, Trailing, trailing_metadata
from stoker.frontend.grpc.status import CANCELLED, DEADLINE_EXCEEDED, OK, Status, StatusOf

__all__ = ["ROOM_BYTES", "Call", "Kind", "Metadata", "Method", "Trailing"]

ROOM_BYTES = 64 << 10
"""Bytes of a stream that may wait for the client before its method must wait."""


class Kind(Enum):
    UNARY = "unary"
    STREAM = "stream"  # of answers
    CLIENT_STREAM = "client stream"
    BIDIRECTIONAL = "bidirectional"


def _joined(*parts: Buffer) -> Message:
    return b"".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Defines a gRPC method. ``path``: ``/package.Service/Name``.  ``status_of``: maps errors to statuses.  ``encode``:
    makes one message of the data of chunks.

    ``handle`` is called with a complete request or, if the client sends a stream, before its first message; then it
    sets the call's ``on_message`` and ``on_half_close``, and may set ``on_drain`` (the server stops soon).

    ``keeps_deadline``: the work ends at the deadline by itself.  ``while_draining``: served even while the server
    drains, and not waited for then (health checks).
    """

    path: str
    kind: Kind
    handle: Callable[[Call], None]
    status_of: StatusOf
    while_draining: bool = False
    keeps_deadline: bool = False
    encode: Callable[..., Message] = _joined
    label: str = field(init=False, default="")
    one_request: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", f"gRPC {self.path[1:]} HTTP/2.0")
        object.__setattr__(self, "one_request", self.kind in (Kind.UNARY, Kind.STREAM))

    @property
    def service(self) -> str:
        return self.path[1:].rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Call(Exchange, kw_only=True):
    """Sends chunks of a reply as messages made by ``encode``: the method's, unless the work replaces it. Services whose
    answers are not chunks use `reply` and `send_message`.

    ``reading``, of a client's stream: its messages are taken, see `pause_reading`.
    """

    request: bytes = b""
    method: Method
    metadata: Metadata
    encode: Callable[..., Message]
    reading: bool = True
    on_message: Callable[[bytes], None] | None = None
    on_half_close: Callable[[], None] | None = None
    on_drain: Callable[[], None] | None = None
    _meta: ResponseMeta | None = None

    # ------------------------------------------------------------------------------------ for methods

    def respond(self, chunks: Sequence[Chunk]) -> None:
        parts = []
        for chunk in chunks:
            parts.append(chunk.data)
            if chunk.meta is not None:
                self._meta = chunk.meta
        message = self.encode(*parts)
        if self._end(OK):
            self._answer(message, trailing_metadata(self._meta) if self._meta is not None else ())

    def reply(self, message: Message, trailing: Trailing = ()) -> None:
        """Completes the call with one encoded message."""
        if self._end(OK):
            self._answer(message, trailing)

    def send(self, chunks: Sequence[Chunk]) -> bool:
        encode, messages = self.encode, []
        for chunk in chunks:
            messages.append(encode(chunk.data))
            if chunk.meta is not None:
                self._meta = chunk.meta
        return self.send_messages(messages)

    def send_message(self, message: Message) -> bool:
        return self.send_messages((message,))

    def send_messages(self, messages: Sequence[Message]) -> bool:
        if self.ended:
            return False
        self.started = True
        self.sent_bytes += sum(map(len, messages))
        self.writable = self._write(messages)
        if not self.writable:
            self.blocked()
        return self.writable

    def finish(self) -> None:
        if self._end(OK):
            self._finish(trailing_metadata(self._meta))

    def fail(self, error: Exception) -> None:
        self.refuse(self.method.status_of(error))

    def refuse(self, status: Status) -> None:
        if self._end(status.code):
            self._refuse(status)

    def send_initial_metadata(self, metadata: Trailing) -> None:
        """Sets the metadata to send before the first message. Call it before sending any."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Takes no more messages of the client's stream, so that flow control stops the client."""
        self.reading = False

    def resume_reading(self) -> None:
        if not self.reading and not self.ended:
            self.reading = True
            self._read_on()

    def drain(self) -> None:
        """Notes that the server stops soon."""
        if self.on_drain is not None:
            self.on_drain()

    def _status_without_answer(self) -> int:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return DEADLINE_EXCEEDED if late else CANCELLED

    # ------------------------------------------------------------------------------------ for engines

    def message(self, payload: bytes) -> None:
        """Takes the next message of a client's stream."""
        try:
            if self.on_message is not None and not self.ended:
                self.on_message(payload)
        except Exception as error:
            self.abandon(error)

    def half_closed(self) -> None:
        """Notes that the client has ended its stream."""
        try:
            if self.on_half_close is not None and not self.ended:
                self.on_half_close()
        except Exception as error:
            self.abandon(error)

    # ------------------------------------------------------------------------- what engines implement

    def _read_on(self) -> None:
        """Takes the messages that came while reading was paused, and those to come."""
        raise NotImplementedError

    def _answer(self, message: Message, trailing: Trailing) -> None:
        """Sends the only message and completes."""
        raise NotImplementedError

    def _write(self, messages: Sequence[Message]) -> bool:
        """Sends the messages. Returns whether there is room for more."""
        raise NotImplementedError

    def _finish(self, trailing: Trailing) -> None:
        """Completes the stream after everything written."""
        raise NotImplementedError

    def _refuse(self, status: Status) -> None:
        """Aborts the call: after everything written if the call is writable, else at once, losing the rest."""
        raise NotImplementedError
