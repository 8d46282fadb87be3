"""Blocking work off the event loop that really ends when nobody waits for it any more.

A thread cannot be killed.  So the work gets an event to look at, and the waiting coroutine, when it is cancelled, sets
the event and stays until the thread has cleaned up: after the await nothing of the work is left, however it ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Whoever wanted the result is gone. Never leaves this package."""


class Stop:
    """Asked by the work between two steps; set once. ``on_set`` wakes work that waits in the kernel."""

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
        """Replaces what is called, possibly at once, on another thread. None: nothing to wake any more."""
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
    """``undo`` (blocking too) takes back a result that came although the caller had left.

    Raises:
        Stopped: ``timeout_s`` passed first.
    """
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
    """Also through further cancellations; the outcome no longer interests anyone."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # we are on our way out already; leaving now would leave files behind
    if not future.cancelled():
        future.exception()
