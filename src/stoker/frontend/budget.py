"""Limits the bytes that the server holds for clients, over all connections. PURE.

Invariants: every byte is counted once and given back; waiters are served in order, so small requests cannot starve a
large one; a request larger than the whole budget proceeds when it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """A waiter. ``call`` runs once there is room for ``size`` bytes, and takes them itself."""

    size: int
    call: Callable[[], None]


class ByteBudget:
    __slots__ = ("_serving", "_waiting", "limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[Waiter] = deque()
        self._serving = False

    @property
    def room(self) -> int:
        """Returns the free bytes; negative if more is taken than the limit, because bytes already
        received count too.
        """
        return self.limit - self.taken

    def fits(self, size: int) -> bool:
        """Tells whether ``size`` bytes may be taken now, without overtaking waiters."""
        return not self._waiting and self._has_room(size)

    def take(self, size: int) -> None:
        self.taken += size

    def give(self, size: int) -> None:
        self.taken -= size
        if self._waiting:
            self._serve()

    def when_room(self, call: Callable[[], None], size: int = 1) -> Waiter:
        """Runs ``call`` as soon as ``size`` bytes fit and all earlier waiters are served; maybe at once."""
        waiter = Waiter(size, call)
        self._waiting.append(waiter)
        self._serve()
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Removes a lost connection that was waiting. Idempotent."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._serve()  # it may have been the large request that blocked the others

    def _has_room(self, size: int) -> bool:
        return self.taken + size <= self.limit or self.taken <= 0

    def _serve(self) -> None:
        if self._serving:  # a call gave bytes back: the outer loop continues, in order
            return
        self._serving = True
        try:
            while self._waiting and self._has_room(self._waiting[0].size):
                self._waiting.popleft().call()
        finally:
            self._serving = False


class Reader(Protocol):
    def give_up(self) -> None:
        """Drops the connection and its unread bytes."""
        ...


_PER_READER = 64 << 10
"""What a connection holds beside the bytes that its client does not read: the state of HTTP/2 and of TLS."""


class UnreadAnswers:
    """Limits the memory that unread answers take, which is more than their bytes: malloc loses some between blocks.

    Beyond the limit, it drops the clients with the most unread bytes, so that slow readers do not cost fast ones.
    """

    __slots__ = ("_by_reader", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._by_reader: dict[Reader, int] = {}

    def set(self, reader: Reader, size: int) -> None:
        """Sets all that the client leaves unread now; 0 forgets it."""
        taken = size + size // 4 + _PER_READER if size else 0
        self.total += taken - self._by_reader.pop(reader, 0)
        if taken:
            self._by_reader[reader] = taken
        while self.total > self.limit:
            largest = max(self._by_reader, key=self._by_reader.__getitem__)
            self.total -= self._by_reader.pop(largest)
            largest.give_up()


class Share:
    """One connection's share of a budget, or its place in the queue."""

    __slots__ = ("_budget", "_waiter", "size")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._waiter: Waiter | None = None
        self.size = 0

    @property
    def waits(self) -> bool:
        return self._waiter is not None

    def reserve(self, size: int, call: Callable[[], None]) -> None:
        """Takes ``size`` bytes, at once or when there is room; ``call`` runs only if it had to wait."""
        if self._budget.fits(size):
            self.take(size)
        else:
            self._waiter = self._budget.when_room(lambda: self._served(size, call), size)

    def take(self, size: int) -> None:
        """Takes bytes that were already received, whether there is room or not."""
        self.size += size
        self._budget.take(size)

    def give_back(self) -> None:
        """Gives back everything and stops waiting. Idempotent."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._budget.forget(waiter)
        size, self.size = self.size, 0
        if size:
            self._budget.give(size)

    def _served(self, size: int, call: Callable[[], None]) -> None:
        self._waiter = None
        self.take(size)
        call()
