"""How many bytes the server holds for clients at once, over all connections.  PURE.

Laws: nothing is taken twice and all of it is given back; who waits for room is served in order, so that a large
request is not overtaken for ever by small ones; a request larger than the whole budget goes when it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """``call`` is made once, when there is room for ``size`` bytes; it takes them itself."""

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
        """Negative when more was taken than the limit allows: bytes that are already there count all the same."""
        return self.limit - self.taken

    def fits(self, size: int) -> bool:
        """Whether ``size`` bytes may be taken now, without overtaking those that wait."""
        return not self._waiting and self._has_room(size)

    def take(self, size: int) -> None:
        self.taken += size

    def give(self, size: int) -> None:
        self.taken -= size
        if self._waiting:
            self._serve()

    def when_room(self, call: Callable[[], None], size: int = 1) -> Waiter:
        """Has ``call`` made as soon as ``size`` bytes fit and all that came before are served; maybe at once."""
        waiter = Waiter(size, call)
        self._waiting.append(waiter)
        self._serve()
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Of a connection that was lost while it waited. Idempotent."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._serve()  # it may have been the large one that kept the others

    def _has_room(self, size: int) -> bool:
        return self.taken + size <= self.limit or self.taken <= 0

    def _serve(self) -> None:
        if self._serving:  # a call gave something back: the outer loop goes on with it, in order
            return
        self._serving = True
        try:
            while self._waiting and self._has_room(self._waiting[0].size):
                self._waiting.popleft().call()
        finally:
            self._serving = False


class Reader(Protocol):
    def give_up(self) -> None:
        """Drops the connection, and with it what it has not read."""
        ...


class UnreadAnswers:
    """What clients were answered and have not read. Beyond the limit those that leave most unread are given up, so that
    a reader that keeps up never pays for one that does not."""

    __slots__ = ("_by_reader", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._by_reader: dict[Reader, int] = {}

    def set(self, reader: Reader, size: int) -> None:
        """``size``: all that it leaves unread now; 0 forgets it."""
        self.total += size - self._by_reader.pop(reader, 0)
        if size:
            self._by_reader[reader] = size
        while self.total > self.limit:
            largest = max(self._by_reader, key=self._by_reader.__getitem__)
            self.total -= self._by_reader.pop(largest)
            largest.give_up()


class Share:
    """What one connection has of a budget, or waits for."""

    __slots__ = ("_budget", "_waiter", "size")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._waiter: Waiter | None = None
        self.size = 0

    @property
    def waits(self) -> bool:
        return self._waiter is not None

    def reserve(self, size: int, call: Callable[[], None]) -> None:
        """Takes ``size`` bytes, at once or when there is room; ``call`` is made only if it had to wait."""
        if self._budget.fits(size):
            self.take(size)
        else:
            self._waiter = self._budget.when_room(lambda: self._served(size, call), size)

    def take(self, size: int) -> None:
        """Bytes that are there already, room or not."""
        self.size += size
        self._budget.take(size)

    def give_back(self) -> None:
        """All of it; waits no longer. Idempotent."""
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
