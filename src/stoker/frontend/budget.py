"""How many bytes the server holds for clients at once, over all connections.  PURE.

Laws: nothing is taken twice and all of it is given back; who waits for room is served in order, so that a large
request is not overtaken for ever by small ones; a request larger than the whole budget goes when it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


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
