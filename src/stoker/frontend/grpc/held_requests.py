"""Holds requests that come while their client leaves too many answers unread. PURE.

Their bytes are not given back to flow control, so a client can send one window of each and no more.  Its window updates
are read meanwhile, or answers that need them could never go on.
"""

from __future__ import annotations

from ngh2 import RequestReceived

Piece = tuple[bytes, bool]
"""Data, and whether the request ends with it."""


class HeldRequests(dict[int, tuple[RequestReceived, list[Piece]]]):
    """Held requests of one connection, by stream, in order. ``size``: bytes held."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def add(self, head: RequestReceived) -> None:
        self[head.stream_id] = (head, [])

    def receive(self, id: int, data: bytes, *, end: bool) -> bool:
        """Keeps data of a held request. False: it is none."""
        held = self.get(id)
        if held is None:
            return False
        held[1].append((data, end))
        self.size += len(data)
        return True

    def take(self, id: int | None = None) -> tuple[RequestReceived, list[Piece]] | None:
        """Removes the request of a stream, by default the oldest."""
        id = next(iter(self), None) if id is None else id
        held = None if id is None else self.pop(id, None)
        if held is not None:
            self.size -= sum(len(data) for data, _ in held[1])
        return held
