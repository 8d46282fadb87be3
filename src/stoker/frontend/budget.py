"""Limits the bytes that the server holds for clients, for all connections together and for each. PURE.

Invariants: every byte is counted once and given back; waiters are served in order, so that small requests cannot starve
a large one; a request larger than the whole budget proceeds when it is alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stoker.core.payloads import PAGE_BYTES
from stoker.errors import TooManyIncomplete


@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """Waits for room. ``call`` runs once there is room for ``size`` bytes, and takes them itself."""

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
        """Returns the free bytes; negative if more than the limit is taken, as received bytes always count."""
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
        """Runs ``call``, at once or later, when ``size`` bytes fit and all earlier waiters have been served."""
        waiter = Waiter(size, call)
        self._waiting.append(waiter)
        self._serve()
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Removes a waiter, such as that of a lost connection. Idempotent."""
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


class RequestBudget:
    """Limits the memory of requests that are incomplete, or wait to be decompressed or taken by their call.

    ``reserved``, three quarters of the limit, is for requests that reserve their size, or wait until they can; one
    connection gets at most a third of it.  ``unreserved``, the last quarter, is for bytes that arrive without waiting:
    small requests, and what a large one sends before it has to wait.  A request that does not fit there is refused,
    because the bytes that many clients send ahead would exceed any limit.
    """

    __slots__ = ("_of_one", "reserved", "unreserved")

    def __init__(self, limit: int) -> None:
        self.reserved = ByteBudget(limit - limit // 4)
        self.unreserved = ByteBudget(limit // 4)
        self._of_one = limit // 4

    @property
    def taken(self) -> int:
        return self.reserved.taken + self.unreserved.taken

    @property
    def short(self) -> bool:
        """Tells whether the budget is short: requests wait for room, or are refused."""
        return not (self.reserved.fits(1) and self.unreserved.fits(1))

    def of_connection(self) -> ByteBudget:
        """Makes the budget of a connection that carries several requests at a time."""
        return ByteBudget(self._of_one)


class Share:
    """One request's share of the budget, or its place in the queue.

    ``own``: the budget of its connection, if that has one.  ``size``: bytes reserved.
    """

    __slots__ = ("_held", "_own", "_own_size", "_shared", "_waiter", "_waits_for", "size")

    def __init__(self, budget: RequestBudget, own: ByteBudget | None = None) -> None:
        self._shared = budget
        self._own = own
        self._own_size = 0
        self._waiter: Waiter | None = None
        self._waits_for: ByteBudget | None = None
        self._held = 0
        self.size = 0

    @property
    def waits(self) -> bool:
        return self._waiter is not None

    @property
    def empty(self) -> bool:
        return not (self.size or self._held or self._waiter)

    def reserve(self, size: int, call: Callable[[], None], *, meanwhile: int) -> None:
        """Reserves ``size`` bytes, at once or when there is room; ``call`` runs only if the request had to wait.

        ``meanwhile``: bytes that the request may hold while it waits.

        Raises: TooManyIncomplete
        """
        # A growing buffer takes more memory than its content, and so does a partly filled huge page.
        size += max(size // 8, PAGE_BYTES if size >= PAGE_BYTES else 0)
        if self._fits(size):
            self._take(size)
            return
        self._hold(meanwhile)
        if self._own is not None and not self._own.fits(size):
            self._wait(self._own, size, lambda: self._wait_for_others(size, call))
        else:
            self._wait_for_others(size, call)

    def hold(self, size: int) -> None:
        """Counts bytes that are there already, or cannot wait for room. Raises TooManyIncomplete."""
        if self._fits(size):
            self._take(size)
        else:
            self._hold(size)

    def take(self, size: int) -> None:
        """Counts bytes of a complete request, even beyond the limit: it is others that wait then."""
        self._take(size)

    def stop_waiting(self) -> None:
        """Leaves the queue, and keeps what is already counted. Idempotent."""
        if self._waiter is not None:
            assert self._waits_for is not None
            self._waits_for.forget(self._waiter)
            self._waiter = self._waits_for = None

    def give_back(self) -> None:
        """Gives back everything and stops waiting. Idempotent."""
        self.stop_waiting()
        self._release()
        size, self.size = self.size, 0
        own_size, self._own_size = self._own_size, 0
        if size:
            self._shared.reserved.give(size)
        if self._own is not None and own_size:
            self._own.give(own_size)

    def _fits(self, size: int) -> bool:
        return self._shared.reserved.fits(size) and (self._own is None or self._own.fits(size))

    def _hold(self, size: int) -> None:
        if not self._shared.unreserved.fits(size):
            raise TooManyIncomplete
        self._held += size
        self._shared.unreserved.take(size)

    def _take(self, size: int) -> None:
        self._take_own(size)
        self.size += size
        self._shared.reserved.take(size)

    def _take_own(self, size: int) -> None:
        if self._own is not None:
            self._own_size += size
            self._own.take(size)

    def _release(self) -> None:
        held, self._held = self._held, 0
        if held:
            self._shared.unreserved.give(held)

    def _wait(self, budget: ByteBudget, size: int, call: Callable[[], None]) -> None:
        self._waits_for = budget
        self._waiter = budget.when_room(call, size)

    def _wait_for_others(self, size: int, call: Callable[[], None]) -> None:
        """Waits for room in the budget of all connections, once there is room in its own connection's."""
        self._take_own(size)
        if self._shared.reserved.fits(size):
            self._served(size, call)
        else:
            self._wait(self._shared.reserved, size, lambda: self._served(size, call))

    def _served(self, size: int, call: Callable[[], None]) -> None:
        self._waiter = self._waits_for = None
        self._release()
        self.size += size
        self._shared.reserved.take(size)
        call()


class Reader(Protocol):
    """A connection whose client has answers to read."""

    def give_up(self) -> None:
        """Drops the connection and its unread bytes."""
        ...


_PER_READER = 64 << 10
"""Bytes of a connection's HTTP/2 and TLS state, besides those that its client has not read."""


class UnreadAnswers:
    """Limits the memory that unread answers take, which is more than their bytes: malloc wastes some between blocks.

    Beyond the limit, it drops the connections with the most unread bytes, so that fast readers do not pay for slow
    ones.  Answers that cannot be dropped get half of it, so that their clients do not cost those that can be.
    """

    __slots__ = ("_by_reader", "_held", "limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._held = 0
        self._by_reader: dict[Reader, int] = {}

    def set(self, reader: Reader, size: int) -> None:
        """Sets the bytes that ``reader`` leaves unread now; 0 forgets it."""
        taken = _memory(size) if size else 0
        self.total += taken - self._by_reader.pop(reader, 0)
        if taken:
            self._by_reader[reader] = taken
        self._drop_what_is_over()

    def hold(self, size: int) -> bool:
        """Counts an answer that cannot be dropped, until `give`. False: there is no room for it."""
        taken = _memory(size)
        if self._held + taken > self.limit // 2:
            return False
        self._held += taken
        self.total += taken
        self._drop_what_is_over()
        return True

    def give(self, size: int) -> None:
        taken = _memory(size)
        self._held -= taken
        self.total -= taken

    def _drop_what_is_over(self) -> None:
        while self.total > self.limit:
            largest = max(self._by_reader, key=self._by_reader.__getitem__)
            self.total -= self._by_reader.pop(largest)
            largest.give_up()


def _memory(size: int) -> int:
    return size + size // 3 + _PER_READER
