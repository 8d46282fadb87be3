"""Reads large requests on the loop, one slice in each of its turns.

A thread would not do: what makes numbers holds the interpreter's lock, for which the loop would wait at each of its
system calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from stoker.core.per_loop import one_per_loop
from stoker.frontend.budget import RequestBudget, Share
from stoker.frontend.client_queue import ClientQueue, Queued
from stoker.frontend.exchange import Exchange

Steps = Generator[None, None, Any]
"""Yields wherever the loop may go on."""


class Slices(ClientQueue[Steps]):
    """Runs the work of one loop (`current_slices`); cancelled work stops at its next step."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def read(self, exchange: Exchange, steps: Steps, *, size: int, budget: RequestBudget) -> Callable[[], None]:
        """Reads a request of ``size`` bytes, which count in the budget meanwhile. Returns what cancels it."""
        share = Share(budget)
        share.take(size)
        return self.run_for(exchange, steps, share)

    def _start(self, queued: Queued[Steps]) -> asyncio.Future[Any]:
        result = self._loop.create_future()
        self._loop.call_soon(self._step, queued, result)
        return result

    def _step(self, queued: Queued[Steps], result: asyncio.Future[Any]) -> None:
        try:
            if queued.cancelled:
                queued.work.close()
            next(queued.work)
        except StopIteration as end:
            result.set_result(end.value)
        except Exception as error:
            result.set_exception(error)
        else:
            self._loop.call_soon(self._step, queued, result)


current_slices = one_per_loop(Slices)
