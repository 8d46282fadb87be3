"""Lets operations outlive their callers: a client that leaves does not stop what it has started.

Each operation runs as a task; cancelling its caller only ends the wait for it. `cancel_all` is for the end of the
server; callers that still wait get `ServerStopping`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from stoker import errors

T = TypeVar("T")
log = logging.getLogger(__name__)


class KeptTasks:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, operation: Coroutine[Any, Any, T]) -> T:
        """Runs the operation to its end, even if the caller is cancelled. Raises ServerStopping."""
        task = self.start(operation)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.add_done_callback(_log_outcome)  # the caller is gone
            raise
        if task.cancelled():
            raise errors.ServerStopping()
        return task.result()

    def start(self, operation: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(operation)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel_all(self) -> None:
        """Cancels all operations, and waits until they have cleaned up. Idempotent."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _log_outcome(task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        log.info("An operation whose client had disconnected is done: %s", task.result())
    elif isinstance(error, errors.StokerError):
        log.warning("An operation whose client had disconnected failed: %s", error)
    else:
        log.error("An operation whose client had disconnected failed", exc_info=error)
