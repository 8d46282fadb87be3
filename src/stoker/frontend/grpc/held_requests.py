"""Holds requests that come while their client leaves too many answers unread. PURE.

Their bytes are not returned to the flow-control window, so that a client can send no more than one window of each.  Its
WINDOW_UPDATE frames are still read, because answers may need them to continue.
"""

from __future__ import annotations

from ngh2 import RequestReceived

Piece = tuple[bytes, bool]
"""Data, and whether the request ends with it."""


class HeldRequests(dict[int, tuple[RequestReceived, list[Piece]]]):
    """Keeps the held requests of one connection, by stream, in order of arrival. ``size``: bytes held."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def add(self, head: RequestReceived) -> None:
        self[head.stream_id] = (head, [])

    def receive(self, id: int, data: bytes, *, end: bool) -> bool:
        """Keeps data of a held request. False: the stream has none."""
        held = self.get(id)
        if held is None:
            return False
        held[1].append((data, end))
        self.size += len(data)
        return True

    def take(self, id: int | None = None) -> tuple[RequestReceived, list[Piece]] | None:
        """Removes and returns the request of a stream, by default the oldest one."""
        id = next(iter(self), None) if id is None else id
        held = None if id is None else self.pop(id, None)
        if held is not None:
            self.size -= sum(len(data) for data, _ in held[1])
        return held
