"""Frames gRPC messages: a compressed flag, a length, the message. PURE.

Invariant: the length is checked when it arrives, before any of the message is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from stoker.core.buffer import Buffer
from stoker.core.payloads import Assembly
from stoker.errors import MessageTooLarge, StokerError

PREFIX_BYTES = 5
_prefix = struct.Struct(">BI").pack
LARGE_BYTES = 64 << 10
"""From this size on, a message is not copied to put it into one buffer of bytes."""


class BadFraming(StokerError):
    """The request does not have gRPC's framing."""


class TooManyMessages(StokerError):
    """More than one request message."""


class LargeMessage:
    """A message in several buffers: joining them would copy it. `bytes` joins them."""

    __slots__ = ("_size", "buffers")

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self._size = sum(map(len, buffers))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self.buffers)


Message = bytes | LargeMessage


class MessageReader:
    """Assembles messages from pieces of a request's body. No message may exceed ``limit`` bytes on the wire."""

    __slots__ = ("_body", "_compressed", "_head", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = b""
        self._body: Assembly | None = None
        self._compressed = False

    @property
    def incomplete(self) -> bool:
        """Tells whether the body ends in the middle of a message."""
        return self._body is not None or bool(self._head)

    @property
    def awaited_bytes(self) -> int:
        """Returns the size of the message in progress; 0 between messages."""
        return 0 if self._body is None else self._body.size

    @property
    def received_bytes(self) -> int:
        """Returns how much of the message in progress has come."""
        return 0 if self._body is None else self._body.filled

    def feed(self, data: bytes) -> list[tuple[bool, bytes | bytearray]]:
        """Returns the messages that are now complete, each with its compressed flag.

        Raises: MessageTooLarge, BadFraming
        """
        messages: list[tuple[bool, bytes | bytearray]] = []
        at, end = 0, len(data)
        while at < end:
            if self._body is None:
                at, length = self._read_prefix(data, at)
                if length is None:
                    break
                if end - at >= length:
                    messages.append((self._compressed, data[at : at + length]))
                    at += length
                    continue
                self._body = Assembly(length)
            at = self._body.fill(data, at)
            if self._body.complete:
                body, self._body = self._body.take(), None
                messages.append((self._compressed, bytes(body) if len(body) <= LARGE_BYTES else body))
        return messages

    def _read_prefix(self, data: bytes, at: int) -> tuple[int, int | None]:
        """Returns where the message begins and its length; None while the prefix is incomplete."""
        taken = PREFIX_BYTES - len(self._head)
        head = self._head + data[at : at + taken]
        if len(head) < PREFIX_BYTES:
            self._head = head
            return len(data), None
        self._head = b""
        if head[0] > 1:
            raise BadFraming
        length = int.from_bytes(head[1:], "big")
        if length > self._limit:
            raise MessageTooLarge(size=length, limit=self._limit)
        self._compressed = head[0] == 1
        return at + taken, length


def framed(messages: Sequence[Message]) -> bytes:
    """Returns messages as they are sent, one behind the other, not compressed."""
    pieces: list[bytes] = []
    for message in messages:
        pieces += (_prefix(0, len(message)), bytes(message))
    return b"".join(pieces)


def prefix(message: Message, *, compressed: bool = False) -> bytes:
    return _prefix(compressed, len(message))
