"""Runs batches one after the other, in the order they came, and answers each exactly once.

Before a batch starts, jobs that are cancelled or late are left out: they answer `DROPPED`.  The answers of quick
handlers are held back for a moment, so that several leave in one write; never while there is nothing to do, and
never while a handler runs that is not quick on average.  Behind a call that takes long all the same, they leave from
the flusher's thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from stoker.core.buffer import Buffer
from stoker.core.polling import Polling
from stoker.ipc.to_server import Failure, Results
from stoker.worker import calling, results, rows
from stoker.worker.connection import Connection, leave
from stoker.worker.exceptions import JobCancelled, ServerGone
from stoker.worker.flusher import Flusher
from stoker.worker.inbox import POLL_AGAIN_S, Batch, Inbox
from stoker.worker.loading import LoadedModel
from stoker.worker.metrics_export import export
from stoker.worker.progress import Progress
from stoker.worker.streaming import PartSender
from stoker.worker.tensors import TensorCodec

_HOLD_S = 0.001
_OVERDUE_S = 0.01
_HOLD_BYTES = 64 << 10
_SLOW_S = 0.0003
_LARGE_BATCH_BYTES = 16 << 10
_WEIGHT = 0.05  # of the newest batch: a slow one counts for some dozens, one that merely lost the processor does not


class Loop:
    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        sender: PartSender,
        model: LoadedModel,
        progress: Progress,
        *,
        tensors: TensorCodec,
        max_response_bytes: int,
        decode_input_request: bool = True,
        poll_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._sender = sender
        self._entry_point = model.entry_point
        self._context = model.context
        self._progress = progress
        self._tensors = tensors
        self._max_response = max_response_bytes
        self._decode = decode_input_request
        self._polling = Polling(poll_s)
        self._flusher = Flusher(self._flush_overdue, pause_s=_OVERDUE_S)
        self._monotonic = monotonic
        self._expected_s = 0.0
        self._held_since = 0.0
        self._spent = -1.0
        self._now = 0.0  # one reading of the clock per batch: when the last one ended, or when news came

    def run(self) -> None:
        """Returns when `Stop` came and everything before it was answered.

        Raises:
            ServerGone: the server closed its end.
            FrameError: the server sent something else than messages.
        """
        while (batch := self._next()) is not None:
            self._run(batch)

    def _next(self) -> Batch | None:
        inbox = self._inbox
        while not inbox.waiting:
            self._connection.flush()
            if inbox.stopping:
                return None
            self._wait()
            self._now = inbox.read_at
        if self._now - inbox.read_at > POLL_AGAIN_S:
            inbox.poll()  # a cancellation may have come while the last batch ran
        return inbox.waiting.popleft()

    def _wait(self) -> None:
        """Waits for the next message. Polls for it before sleeping, while that pays."""
        inbox, polling = self._inbox, self._polling
        since = self._monotonic()
        seconds = polling.seconds() if inbox.may_poll else 0.0
        if not seconds or not inbox.busy_poll(seconds):
            inbox.read(wait=True)
        polling.waited(inbox.read_at - since, polled=seconds > 0)

    def _run(self, batch: Batch) -> None:
        data = self._rows(batch)
        self._spent = -1.0
        outputs = self._call(batch, data) if data else []
        if batch.has_tensors and isinstance(outputs, list):
            outputs = self._tensors.answers([batch.jobs[index] for index in batch.indices], outputs)
        answer, payloads = results.make(batch, outputs, max_bytes=self._max_response, seconds=self._spent)
        self._reply(answer, payloads)

    def _rows(self, batch: Batch) -> list[dict[str, Any]]:
        return rows.begin(batch, self._now, decode=self._decode, tensors=self._tensors)

    def _call(self, batch: Batch, data: list[dict[str, Any]]) -> list[Any] | Failure:
        inbox, connection = self._inbox, self._connection
        self._point_context_at(batch)
        if connection.pending_bytes and (self._expected_s > _SLOW_S or batch.payload_bytes > _LARGE_BATCH_BYTES):
            connection.flush()
        inbox.current = batch
        self._progress.begin(batch.id)
        try:
            outputs = calling.invoke(self._entry_point, data, self._context)
        except JobCancelled:
            outputs = calling.RAISED  # seen only by jobs that are not cancelled: the handler raised it by itself
        finally:
            with inbox.lock:  # a thread of the handler may be sending a part right now
                self._sender.held.queue(batch)
                inbox.current = None
        if connection.abandoned:
            leave(1 if isinstance(outputs, Failure) else 0)
        started, self._now = self._now, self._monotonic()
        spent = self._now - started
        self._expected_s += (spent - self._expected_s) * (_WEIGHT if self._expected_s else 1.0)
        if type(outputs) is list:
            self._spent = spent
        return outputs

    def _point_context_at(self, batch: Batch) -> None:
        context = self._context
        context.request_ids = batch.request_ids
        context.request_processor = batch.processors
        context.cl_socket = self._sender
        metrics = context.metrics
        if metrics is not None:
            metrics.set_request_ids(batch.request_ids)

    def _reply(self, answer: Results, payloads: list[Buffer]) -> None:
        connection = self._connection
        if not connection.pending_bytes:
            self._held_since = self._now
            if self._inbox.waiting:
                self._flusher.watch()
        if export.waiting:
            export.queue(connection)
        connection.queue(answer, payloads)
        if connection.pending_bytes >= _HOLD_BYTES or self._now - self._held_since >= _HOLD_S:
            connection.flush()

    def _flush_overdue(self) -> None:
        """Runs in the flusher's thread. Between two calls of the handler, the connection is the loop's alone."""
        inbox, connection = self._inbox, self._connection
        if not connection.pending_bytes:
            return  # an idle loop holds the lock
        with inbox.lock:
            if inbox.current is None:
                self._flusher.watch()
            elif not connection.abandoned:
                with contextlib.suppress(ServerGone):  # the loop will find out
                    connection.flush()
