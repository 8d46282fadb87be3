"""Queues long work on requests: one piece runs at a time, and clients take turns.

Invariants: memory holds one result that may turn out too large; a client with many requests delays another by one; a
request that has ended leaves the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from stoker.frontend.budget import Share
from stoker.frontend.exchange import Exchange

Work = TypeVar("Work")
Done = Callable[[Any, BaseException | None], None]


@dataclass(slots=True, eq=False)
class Queued(Generic[Work]):
    """One piece of work. ``client``: whose turn it takes; ``share``: of the budget, held until it is done;
    ``cancelled``: its result is not wanted any more."""

    client: object
    work: Work
    done: Done
    share: Share | None = None
    cancelled: bool = field(default=False, init=False)

    def give_back(self) -> None:
        if self.share is not None:
            self.share.give_back()


class ClientQueue(Generic[Work]):
    """Subclasses say how work runs. Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: dict[object, deque[Queued[Work]]] = {}  # by client, the next first
        self._running = False

    def submit(self, client: object, work: Work, done: Done, share: Share | None = None) -> Queued[Work]:
        """Runs ``work``; calls ``done`` on the loop with the result or the error."""
        queued = Queued(client, work, done, share)
        self._waiting.setdefault(client, deque()).append(queued)
        self._run_next()
        return queued

    def run_for(
        self,
        exchange: Exchange,
        work: Work,
        share: Share,
        then: Callable[[Any], None] = lambda result: None,
    ) -> Callable[[], None]:
        """Runs ``work``, and ``then`` with its result; an error ends the exchange. Returns what cancels it."""

        def done(result: Any, error: BaseException | None) -> None:
            try:
                if error is not None:
                    raise error
                then(result)
            except Exception as failure:
                exchange.abandon(failure)

        return partial(self.cancel, self.submit(exchange.client, work, done, share))

    def cancel(self, queued: Queued[Work]) -> None:
        """Removes work from the queue, or drops its result if it is running. Idempotent."""
        queued.cancelled = True
        queued.give_back()
        queue = self._waiting.get(queued.client)
        if queue is not None and queued in queue:
            queue.remove(queued)
            if not queue:
                del self._waiting[queued.client]

    def _run_next(self) -> None:
        if self._running or not self._waiting:
            return
        client = next(iter(self._waiting))
        queue = self._waiting.pop(client)
        queued = queue.popleft()
        if queue:
            self._waiting[client] = queue  # behind all others
        self._running = True
        self._start(queued).add_done_callback(lambda result: self._ended(queued, result))

    def _start(self, queued: Queued[Work]) -> asyncio.Future[Any]:
        raise NotImplementedError

    def _ended(self, queued: Queued[Work], result: asyncio.Future[Any]) -> None:
        self._running = False
        error = result.exception()
        self._run_next()
        queued.give_back()
        if not queued.cancelled:
            queued.done(None if error is not None else result.result(), error)
