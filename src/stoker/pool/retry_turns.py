"""Has slots wait for their turn to start another process: the asyncio shell around `pool.retries`."""

from __future__ import annotations

import asyncio

from stoker.core.clock import Clock
from stoker.pool.retries import Retries

STEADY_S = 10.0
"""A worker that dies sooner after it was ready, and has begun no batch, counts as failed to start."""


class RetryTurns:
    """Shared by all slots of a model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._retries = Retries()
        self._waiting: set[asyncio.Future[None]] = set()

    def failed(self, slot: int, failures: int, *, after_load: bool) -> int:
        """Does as `Retries.failed`."""
        delay_s = self._retries.failed(slot, failures, self._clock.now(), after_load=after_load)
        self._wake()
        return delay_s

    async def wait(self, slot: int, retired: asyncio.Future[None]) -> None:
        """Returns when ``slot`` may try again, or once ``retired`` is done."""
        while not retired.done():
            wait_s = self._retries.wait_s(slot, self._clock.now())
            if wait_s is not None and wait_s <= 0:
                self._retries.trying(slot)
                return
            await self._change({retired}, wait_s)

    async def _change(self, others: set[asyncio.Future[None]], timeout_s: float | None) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(change)
        try:
            await asyncio.wait({change, *others}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(change)

    def loaded(self, slot: int) -> asyncio.TimerHandle | None:
        """Records that the slot's worker has loaded. Returns a timer for the caller to cancel if it dies; None: none is
        needed."""
        if self._retries.loaded(slot):
            self._wake()
            return None
        return asyncio.get_running_loop().call_later(STEADY_S, self.steady, slot)

    def steady(self, slot: int) -> None:
        self._retries.steady(slot)
        self._wake()

    def forget(self, slot: int) -> None:
        self._retries.forget(slot)
        self._wake()

    def _wake(self) -> None:
        for change in self._waiting:
            if not change.done():
                change.set_result(None)
