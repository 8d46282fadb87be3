"""Sends the parts of one request of an asynchronous handler, and lets the handler wait for its reader.

Invariant: `JobChannel.send` never waits, since that would stop every other request of the worker.  A handler that
awaits `Context.drain` after its parts goes no faster than its reader; one that does not is ended by the server once it
is several windows ahead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stoker.worker.inbox import Batch
from stoker.worker.streaming import Channel, StepSender


class JobChannel(Channel):
    """``poll``: reads what the server sent, if this thread may; ``flush_soon``: has what is queued written soon."""

    def __init__(
        self,
        sender: StepSender,
        batch: Batch,
        *,
        window_bytes: int,
        poll: Callable[[], None],
        flush_soon: Callable[[], None],
    ) -> None:
        self._sender = sender
        self._batch = batch
        self._window = window_bytes
        self._poll = poll
        self._flush_soon = flush_soon
        self._news: asyncio.Event | None = None
        self.answered = False

    def is_cancelled(self, row: int) -> bool:
        """Returns whether the client left."""
        self._poll()
        return row == 0 and bool(self._batch.cancelled)

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        """Sends one part. Drops it if the client left: the call is cancelled at its next ``await``, not here.

        Raises: InvalidPart: ``ret`` breaks a rule of outputs; the request fails unless the handler goes on.
        """
        batch = self._batch
        with self._sender.lock:
            if self.answered:
                return
            for row, name in req_id_map.items():
                if name == batch.jobs[0].request_id:
                    self._sender.queue_part(batch, row, ret, message, code)
            self._flush_soon()

    async def drain(self) -> None:
        """Waits while the reader is a window behind."""
        batch = self._batch
        while batch.unread.get(0, 0) >= self._window and not (batch.cancelled or self.answered):
            if self._news is None:
                self._news = asyncio.Event()
            self._news.clear()
            with self._sender.lock:
                self._sender.held.queue(batch)
                self._flush_soon()
            await self._news.wait()

    def wake(self) -> None:
        """Makes `drain` check again. Call it in the event loop's thread."""
        if self._news is not None:
            self._news.set()
