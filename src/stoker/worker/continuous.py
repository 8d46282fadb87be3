"""Runs a handler that batches continuously: requests join and leave its rows between two calls.

A call of the handler is a step.  Its rows are the requests in progress, in their old order, then the new ones; one that
is known already comes as an empty row.  After the step the handler's criteria say whose answer has ended (`is_last`);
the others take part in the next step.  Each request is a batch of one job on the wire.

Invariants: a request takes part in every step from its first one to its end; a step has at least one row; what a step
gave leaves before the next one begins, unless steps are so quick that it is held (`held_parts`).  No step begins while
all readers are behind and none waits to join, since a row cannot be left out: the server ends the stream of a reader
that makes others outrun it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from stoker.core.buffer import Buffer
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import DROPPED, Failure, Results
from stoker.worker import calling, results, rows
from stoker.worker.connection import Connection
from stoker.worker.exceptions import JobCancelled, PredictionException
from stoker.worker.inbox import Batch, Inbox
from stoker.worker.loading import LoadedModel
from stoker.worker.metrics_export import export
from stoker.worker.outputs import is_last
from stoker.worker.progress import Progress
from stoker.worker.streaming import StepSender
from stoker.worker.tensors import TensorCodec


class Row:
    """A request in progress. ``data``: its values, until the handler has got them. ``plain``: one output is its whole
    answer, whatever the criteria. ``seconds``: how long its steps took so far."""

    __slots__ = ("batch", "data", "plain", "seconds")

    def __init__(self, batch: Batch, data: dict[str, Any]) -> None:
        self.batch = batch
        self.data: dict[str, Any] | None = data
        self.plain = batch.processors[0].get_request_property("describe") is not None
        self.seconds = 0.0

    @property
    def id(self) -> str:
        return self.batch.jobs[0].request_id

    def take_data(self) -> dict[str, Any]:
        data, self.data = self.data, None
        return data if data is not None else {}


class ContinuousLoop:
    """``window_bytes``: as many bytes of a request's parts may be unread before its reader is behind."""

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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._sender = sender
        self._entry_point = model.entry_point
        self._context = model.context
        self._progress = progress
        self._tensors = tensors
        self._window = window_bytes
        self._max_response = max_response_bytes
        self._decode = decode_input_request
        self._monotonic = monotonic
        self._rows: list[Row] = []
        self._newest = 0  # batch that joined
        self._gone: set[str] = set()  # ended, but not by the handler, which does not know it yet

    def run(self) -> None:
        """Returns when `Stop` came and all before it was answered. Raises ServerGone, FrameError."""
        try:
            while self._gather():
                self._step()
        finally:
            with self._inbox.lock:  # the handler may have ended the process
                self._sender.held.queue_all()

    def _gather(self) -> bool:
        """Waits until there are rows for a step; False: none will come any more."""
        inbox = self._inbox
        with inbox.lock:  # threads of the handler may ask and send
            inbox.poll()
            while True:
                self._drop_unwanted()
                self._join()
                if self._rows and not all(self._is_behind(row) for row in self._rows):
                    self._connection.flush()
                    return True
                self._sender.held.flush()
                if not self._rows and inbox.stopping:
                    return False
                inbox.read(wait=True)

    def _drop_unwanted(self) -> None:
        """Ends the requests whose client left or whose time is over."""
        now, kept = self._monotonic(), list[Row]()
        for row in self._rows:
            deadline = row.batch.jobs[0].deadline
            if row.batch.cancelled or (deadline is not None and deadline < now):
                self._answer(row.batch, Results(row.batch.id, [DROPPED]))
                self._gone.add(row.id)
            else:
                kept.append(row)
        self._keep(kept)

    def _join(self) -> None:
        waiting, now, joined = self._inbox.waiting, self._monotonic(), list[Row]()
        while waiting:
            batch = waiting.popleft()
            self._newest = batch.id
            if len(batch.jobs) != 1:
                raise FrameError("a request that joins the others comes alone")
            if data := rows.begin(batch, now, decode=self._decode, tensors=self._tensors):
                joined.append(Row(batch, data[0]))
            else:
                self._answer(batch, Results(batch.id, [DROPPED]))
        self._keep(self._rows + joined)

    def _keep(self, those: list[Row]) -> None:
        self._rows = those
        self._inbox.running = [row.batch for row in those]

    def _is_behind(self, row: Row) -> bool:
        return row.batch.unread.get(0, 0) >= self._window

    def _step(self) -> None:
        started = self._monotonic()
        outputs = self._call([row.take_data() for row in self._rows])
        spent = self._monotonic() - started
        with self._inbox.lock:  # a thread of the handler may be sending a part right now
            if export.waiting:
                export.queue(self._connection)
            if isinstance(outputs, Failure):
                outputs = [outputs] * len(self._rows)
            # Criteria are the handler's code, which may send parts: ask them all before any answer ends.
            found = [self._result(number, row, outputs[number]) for number, row in enumerate(self._rows)]
            kept = list[Row]()
            for number, (row, result) in enumerate(zip(self._rows, found, strict=True)):
                row.seconds += spent
                if self._sends_part(number, row, *result):
                    kept.append(row)
            self._keep(kept)
            self._connection.flush()

    def _call(self, data: list[dict[str, Any]]) -> list[Any] | Failure:
        self._point_context_at(self._rows)
        self._progress.begin(self._newest)
        try:
            outputs = calling.invoke(self._entry_point, data, self._context)
        except JobCancelled:
            outputs = calling.RAISED  # the handler raised it by itself
        self._connection.leave_if_forked(1 if isinstance(outputs, Failure) else 0)
        return outputs

    def _point_context_at(self, those: list[Row]) -> None:
        context = self._context
        context.request_ids = {number: row.id for number, row in enumerate(those)}
        context.request_processor = [row.batch.processors[0] for row in those]
        context.cl_socket = self._sender
        context.cancelled = frozenset(self._gone)
        self._gone.clear()
        if context.metrics is not None:
            context.metrics.set_request_ids(context.request_ids)

    def _sends_part(self, number: int, row: Row, item: Any, more: bool) -> bool:
        """Queues what the step gave for a row. True: a part, and more will come. False: the answer has ended."""
        batch = row.batch
        if more and not batch.failures:
            self._sender.held.add(batch, batch.indices, [(0, number)], [item], self._monotonic())
            return True
        outcome = item if isinstance(item, Failure) else [item]
        answer, payloads = results.make(batch, outcome, max_bytes=self._max_response, seconds=row.seconds)
        self._answer(batch, answer, payloads)
        if answer.failures:
            self._gone.add(row.id)
        return False

    def _answer(self, batch: Batch, answer: Results, payloads: Sequence[Buffer] = ()) -> None:
        self._sender.held.queue(batch)
        self._connection.queue(answer, payloads)

    def _result(self, number: int, row: Row, output: Any) -> tuple[Any, bool]:
        """Returns the bytes or the failure that the step gave for a row, and whether more will come."""
        if isinstance(output, Failure):
            return output, False
        try:
            ends = row.plain or isinstance(output, PredictionException)
            more = not ends and is_last(self._context.stopping_criteria, number, output) is False
        except calling.ENDING:
            raise
        except BaseException as error:
            return calling.failure_of(error), False
        outputs = [output]
        if row.batch.has_tensors:
            outputs = self._tensors.answers(row.batch.jobs, outputs)
        items = calling.items_of(outputs, max_bytes=self._max_response)
        item = items if isinstance(items, Failure) else items[0]
        return item, more and not isinstance(item, Failure)
