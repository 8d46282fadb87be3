"""Runs blocking work off the event loop, and ends it when nothing waits for it any more.

A thread cannot be killed.  So the work gets an event to check, and a cancelled caller sets the event and waits until
the thread has cleaned up: after the await, nothing of the work remains, however it ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """The caller no longer wants the result. Never leaves this package."""


class Stop:
    """A stop request, set once, which the work checks between steps. ``on_set`` wakes work that waits in the kernel."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None

    def set(self) -> None:
        with self._lock:
            self._event.set()
            if self._wake is not None:
                self._wake()

    def on_set(self, wake: Callable[[], None] | None) -> None:
        """Replaces the callback, which may run at once or on another thread. None: nothing to wake."""
        with self._lock:
            self._wake = wake
            if wake is not None and self._event.is_set():
                wake()

    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        if self._event.is_set():
            raise Stopped


async def run_stoppable(
    executor: Executor, work: Callable[[Stop], T], *, undo: Callable[[T], None], timeout_s: float | None = None
) -> T:
    """Runs ``work`` in a thread; ``undo`` takes back a result that comes after the caller left. Raises Stopped."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(executor, work, stop)
    timer = None if timeout_s is None else loop.call_later(timeout_s, stop.set)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await _wait_settled(future)
        if not future.cancelled() and future.exception() is None:
            await _wait_settled(loop.run_in_executor(executor, undo, future.result()))
        raise
    finally:
        if timer is not None:
            timer.cancel()


async def _wait_settled(future: asyncio.Future[Any]) -> None:
    """Waits through further cancellations; the outcome no longer matters."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # already cancelled; leaving now would leave files behind
    if not future.cancelled():
        future.exception()
