"""Keeps buffers that wait to be sent, and slices them without copying. PURE."""

from __future__ import annotations

from collections import deque

from stoker.core.buffer import Buffer


class Backlog:
    """Queues buffers. ``size``: bytes not yet taken."""

    __slots__ = ("_parts", "_taken", "size")

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self._taken = 0  # of the first buffer
        self.size = 0

    @property
    def kept(self) -> int:
        """Returns the bytes in memory: a buffer stays there whole until its last byte is taken."""
        return self.size + self._taken

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, part: Buffer) -> None:
        if part:
            self._parts.append(memoryview(part))
            self.size += len(part)

    def take(self, most: int) -> memoryview:
        """Takes up to ``most`` bytes of the first buffer."""
        part = self._parts[0]
        if len(part) <= most:
            self._parts.popleft()
            taken, self._taken = part, 0
        else:
            taken, self._parts[0] = part[:most], part[most:]
            self._taken += most
        self.size -= len(taken)
        return taken

    def clear(self) -> None:
        self._parts.clear()
        self.size = self._taken = 0
