"""Runs an asynchronous handler: many calls at a time in one event loop, one request each.

The event loop exists before the handler is initialised, and is its current one there, so that tasks may be made and
`run_until_complete` may be called.  What is queued in one turn of the loop leaves in one write.

Invariants: a call's error, cancellation or end changes no other call; each request is answered once, when its call
ends.  A call that runs on after its cancellation is answered after `_CANCEL_S`, and its result is dropped: the answer
shows the server that the loop is alive.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from stoker.ipc import frames
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import Failure
from stoker.worker import calling, results, rows
from stoker.worker.connection import Connection
from stoker.worker.context import Context
from stoker.worker.exceptions import ServerGone
from stoker.worker.inbox import POLL_AGAIN_S, Batch, Inbox
from stoker.worker.job_channel import JobChannel
from stoker.worker.loading import LoadedModel
from stoker.worker.metrics_export import export
from stoker.worker.progress import Progress
from stoker.worker.streaming import StepSender
from stoker.worker.tensors import TensorCodec

log = logging.getLogger(__name__)

_CANCEL_S = 1.0  # how long a cancelled call may run before its request is answered without it
_HOLD_S = 0.001
_HOLD_BYTES = frames.DIRECT_READ_BYTES  # a larger payload is not copied yet: the handler may change it


class Call:
    """One request in progress. ``seconds``: when it began."""

    __slots__ = ("batch", "began", "cancelled", "channel", "task")

    def __init__(self, batch: Batch, channel: JobChannel, task: asyncio.Task[Any], began: float) -> None:
        self.batch = batch
        self.channel = channel
        self.task = task
        self.began = began
        self.cancelled = False


def make_event_loop() -> asyncio.AbstractEventLoop:
    """Makes the loop of this worker and its current one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


class AsyncLoop:
    """``window_bytes``: as many bytes of a request's parts may be unread before `Context.drain` waits. ``event_loop``:
    None: the current one."""

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        sender: StepSender,
        model: LoadedModel,
        progress: Progress,
        *,
        tensors: TensorCodec,
        window_bytes: int,
        max_response_bytes: int,
        decode_input_request: bool = True,
        event_loop: asyncio.AbstractEventLoop | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._sender = sender
        self._entry_point = model.entry_point
        self._context = model.context
        self._progress = progress
        self._event_loop = event_loop or asyncio.get_event_loop()
        self._tensors = tensors
        self._window = window_bytes
        self._max_response = max_response_bytes
        self._decode = decode_input_request
        self._monotonic = monotonic
        self._calls: dict[int, Call] = {}  # not answered yet, by batch
        self._overrunning: set[asyncio.Task[Any]] = set()  # answered already; asyncio's references are weak
        self._thread = 0
        self._flush_due = False
        self._flushed_at = 0.0

    def run(self) -> None:
        """Returns when `Stop` came and all before it was answered. Raises ServerGone, FrameError."""
        loop = self._event_loop
        self._thread = threading.get_ident()
        self._over: asyncio.Future[None] = loop.create_future()
        self._inbox.on_news = self._on_news
        loop.add_reader(self._connection.fileno(), self._read)
        loop.call_soon(self._read)  # what came with the first message
        self._connection.flush()
        try:
            loop.run_until_complete(self._over)
        finally:
            with self._inbox.lock:  # the handler may have ended the process
                self._sender.held.queue_all()
            if not self._connection.abandoned:
                loop.remove_reader(self._connection.fileno())
        self._connection.flush()
        self._cancel_tasks()

    def _cancel_tasks(self) -> None:
        """Lets the handler's own tasks end, such as those of an engine."""
        tasks = asyncio.all_tasks(self._event_loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._event_loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_S))

    # ------------------------------------------------------------------------------------ messages

    def _read(self) -> None:
        try:
            self._inbox.poll()
            self._begin_queued()
        except (ServerGone, FrameError) as error:
            self._end(error)

    def _poll(self) -> None:
        """Reads the socket for a handler that asks or sends in between, unless that was just done."""
        if threading.get_ident() == self._thread and self._monotonic() - self._inbox.read_at > POLL_AGAIN_S:
            self._inbox.poll()
            self._event_loop.call_soon(self._read)

    def _begin_queued(self) -> None:
        waiting = self._inbox.waiting
        while waiting:
            self._begin(waiting.popleft())
        if self._inbox.stopping and not self._calls:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    def _on_news(self, batch: Batch) -> None:
        """Cancels the call if its client left, and wakes it if it waits for its reader."""
        call = self._calls.get(batch.id)
        if call is None:
            return
        if batch.cancelled and not call.cancelled:
            call.cancelled = True
            call.task.cancel()
            self._event_loop.call_later(_CANCEL_S, self._answer_overrunning, call)
        call.channel.wake()

    # ------------------------------------------------------------------------------------ calls

    def _begin(self, batch: Batch) -> None:
        if len(batch.jobs) != 1:
            raise FrameError("a request of an asynchronous handler comes alone")
        began = self._monotonic()
        data = rows.begin(batch, began, decode=self._decode, tensors=self._tensors)
        if not data:
            self._answer(batch, [], -1.0)
            return
        channel = JobChannel(
            self._sender, batch, window_bytes=self._window, poll=self._poll, flush_soon=self._flush_soon
        )
        task = self._event_loop.create_task(self._call(batch, data, self._context_of(batch, channel)))
        call = self._calls[batch.id] = Call(batch, channel, task, began)
        self._inbox.running.append(batch)
        task.add_done_callback(partial(self._ended, call))

    async def _call(self, batch: Batch, data: list[dict[str, Any]], context: Context) -> Any:
        self._progress.begin(batch.id)
        return await self._entry_point(data, context)

    def _context_of(self, batch: Batch, channel: JobChannel) -> Context:
        """Makes the call's own view of the worker's context: what initialize stored there is shared, not copied."""
        context = copy.copy(self._context)
        context.request_ids = batch.request_ids
        context.request_processor = batch.processors
        context.cl_socket = channel
        if context.metrics is not None:
            context.metrics = copy.copy(context.metrics)
            context.metrics.set_request_ids(batch.request_ids)
        return context

    def _ended(self, call: Call, task: asyncio.Task[Any]) -> None:
        self._overrunning.discard(task)
        outputs = _outcome(task, cancelled=call.cancelled)
        self._connection.leave_if_forked(1 if isinstance(outputs, Failure) else 0)
        if call.channel.answered:
            return
        batch = call.batch
        if batch.has_tensors and isinstance(outputs, list):
            outputs = self._tensors.answers(batch.jobs, outputs)
        self._finish(call, outputs)

    def _answer_overrunning(self, call: Call) -> None:
        if not call.channel.answered:
            log.warning("A handler call is still running %g s after its request was cancelled", _CANCEL_S)
            self._overrunning.add(call.task)
            self._finish(call, calling.RAISED)

    def _finish(self, call: Call, outputs: list[Any] | Failure) -> None:
        with self._inbox.lock:  # a thread of the handler may be sending a part right now
            call.channel.answered = True
            self._inbox.running.remove(call.batch)
            del self._calls[call.batch.id]
        call.channel.wake()
        self._answer(call.batch, outputs, self._monotonic() - call.began)
        if self._inbox.stopping and not self._calls:
            self._end(None)

    # ------------------------------------------------------------------------------------ answers

    def _answer(self, batch: Batch, outputs: list[Any] | Failure, seconds: float) -> None:
        answer, payloads = results.make(batch, outputs, max_bytes=self._max_response, seconds=seconds)
        with self._inbox.lock:
            self._sender.held.queue(batch)
            if export.waiting:
                export.queue(self._connection)
            self._connection.queue(answer, payloads)
            self._schedule_flush()

    def _flush_soon(self) -> None:
        """Writes what is queued now, unless it is little and something was written a moment ago: then at the end of
        the turn."""
        pending = self._connection.pending_bytes
        if not pending:
            return
        if pending > _HOLD_BYTES or self._monotonic() - self._flushed_at >= _HOLD_S:
            self._write()
        else:
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if self._flush_due:
            return
        self._flush_due = True
        own = threading.get_ident() == self._thread
        (self._event_loop.call_soon if own else self._event_loop.call_soon_threadsafe)(self._flush)

    def _flush(self) -> None:
        with self._inbox.lock:
            self._flush_due = False
            try:
                self._write()
            except ServerGone as error:
                self._end(error)

    def _write(self) -> None:
        self._flushed_at = self._monotonic()
        self._connection.flush()


def _outcome(task: asyncio.Task[Any], *, cancelled: bool) -> list[Any] | Failure:
    """Returns what a call returned, or its failure. ``cancelled``: by the server; else a cancellation is the handler's
    own."""
    error: BaseException | None
    try:
        error = task.exception()
    except asyncio.CancelledError as own:
        if cancelled:
            return calling.RAISED
        error = own
    if error is None:
        return calling.checked(task.result(), 1)
    return calling.failure_of(error)
