"""Implements `core.ports.WorkerLink`: the server's end of the connection to one worker process.

Translates jobs to messages and messages to outcomes, and enforces the protocol: the worker answers each batch once,
with one outcome per job, in the order sent unless batches run at once.  A worker that violates it is restarted.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.job import Batch
from stoker.core.measures import HandlerSample, Unmeasured
from stoker.core.polling import Polling
from stoker.core.ports import ModelTelemetry, SchedulerPort
from stoker.core.turn import current_turn
from stoker.errors import BadRequest, ServingError
from stoker.ipc import codec
from stoker.ipc.frames import MAX_PAYLOAD_BYTES, Frame, FrameError
from stoker.ipc.to_server import Hello, Loaded, LoadFailed, Metrics, Parts, Results
from stoker.ipc.to_worker import Cancel, Grant, JobHeader, Load, Predict, Stop
from stoker.pool import outcomes
from stoker.pool.busy import BusyWorkers
from stoker.pool.progress import progress_of
from stoker.pool.running_process import RunningProcess
from stoker.pool.transport import FrameTransport

_LONGEST_POLL_S = 0.0002
"""Short, because the loop serves no other connection while it polls."""


class LinkOwner(Protocol):
    """Starts and ends the process. Implemented by `pool.worker_process`."""

    def greeted(self) -> None: ...

    def loaded(self, message: Loaded | LoadFailed) -> None: ...

    def answered(self) -> None:
        """Reports that all batches ended, or that the scheduler no longer needs a draining worker."""
        ...

    def lost(self, error: FrameError | None) -> None:
        """Reports that the worker closed the connection (None) or broke the protocol."""
        ...

    def restart(self, reason: ServingError) -> None: ...


class Link:
    """``any_order``: batches may be answered in any order. ``served``: the worker has answered at least one."""

    def __init__(
        self,
        id: int,
        process: RunningProcess,
        *,
        owner: LinkOwner,
        scheduler: SchedulerPort,
        max_payload_bytes: int,
        busy: BusyWorkers,
        any_order: bool = False,
        telemetry: ModelTelemetry | None = None,
        poll_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = id
        self._telemetry: ModelTelemetry = telemetry or Unmeasured()
        self._predicted = self._telemetry.predicted
        self._owner = owner
        self._scheduler = scheduler
        self._busy = busy
        self._shares_cores = process.shares_cores
        self._any_order = any_order
        self._progress_fd = process.progress_fd
        self._last_started: int | None = None
        self._sent: deque[Batch] = deque()
        self._refused: dict[int, ServingError] = {}  # batches that could not be encoded: the worker never saw them
        self._expected: tuple[type, ...] = (Hello,)  # besides answers to batches
        self._transport = FrameTransport(
            process.sock,
            max_payload_bytes=min(max_payload_bytes, MAX_PAYLOAD_BYTES),
            on_frame=self._on_frame,
            on_lost=owner.lost,
            poll_s=self._poll_s,
        )
        self._write = self._transport.write
        self._polling = Polling(min(poll_s, _LONGEST_POLL_S))
        self._polled = False
        self._monotonic = monotonic
        self._asked_at = 0.0
        self._turn = current_turn()
        self.served = False

    # ------------------------------------------------------------------------------- for the scheduler

    def send(self, batch: Batch) -> None:
        headers: list[JobHeader] = []
        payloads: list[Buffer] = []
        for job in batch.jobs:
            inputs: list[tuple[str, str, int]] = []
            for item in job.inputs:
                payloads.append(item.value)
                inputs.append((item.name, item.content_type, len(item.value)))
            headers.append(JobHeader(job.id, inputs, dict(job.headers), job.deadline, job.tensors))
        if not self._sent:
            self._busy.record(self, at_work=True, here=self._shares_cores)
        self._sent.append(batch)
        try:
            may_poll = not self._shares_cores or self._busy.leave_a_core
            self._write(codec.encode(Predict(batch.id, headers, may_poll), payloads))
        except (FrameError, UnicodeEncodeError, msgspec.MsgspecError):  # over 4 GiB, or text that is not Unicode
            self._refused[batch.id] = BadRequest("The request cannot be sent to a worker.")
            asyncio.get_running_loop().call_soon(self._answer_refused)

    def cancel(self, batch_id: int, index: int) -> None:
        self._transport.write(codec.encode(Cancel(batch_id, index)))

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        self._transport.write(codec.encode(Grant(batch_id, index, nbytes)))

    def started(self) -> int | None:
        """Returns the id of the newest batch that the worker began; 0: none."""
        if self._progress_fd < 0:
            return self._last_started
        return progress_of(self._progress_fd)

    def drained(self) -> None:
        self._owner.answered()

    def restart(self, reason: ServingError) -> None:
        self._owner.restart(reason)

    # ------------------------------------------------------------------------------------ for the owner

    def start(self) -> None:
        self._transport.start()

    def load(self, message: Load) -> None:
        self._transport.write(codec.encode(message))

    def stop(self) -> None:
        self._transport.write(codec.encode(Stop()))

    def read_rest(self) -> None:
        """Delivers what a dead process had sent before it died."""
        self._transport.read_rest()

    def close(self) -> None:
        """Keeps the id of the newest batch that began; ignores all later messages. Idempotent."""
        self._transport.close()
        self._last_started, self._progress_fd = self.started(), -1
        self._busy.record(self, at_work=False, here=self._shares_cores)

    # ------------------------------------------------------------------------------------ from the worker

    def _poll_s(self) -> float:
        """Returns how long to poll for the answer: only for a lone batch, which may take less time than a wake-up."""
        if len(self._sent) != 1 or self._asked_at or not self._busy.only_one or self._turn.gathers:
            return 0.0
        self._asked_at = self._monotonic()
        seconds = self._polling.seconds()
        self._polled = seconds > 0.0
        return seconds

    def _record_wait(self) -> None:
        self._polling.waited(self._monotonic() - self._asked_at, polled=self._polled)
        self._asked_at = 0.0

    def _on_frame(self, frame: Frame) -> None:
        message = codec.decode_to_server(frame.header)
        if isinstance(message, Results):
            self._on_results(message, frame.payload)
        elif isinstance(message, Parts):
            self._on_parts(message, frame.payload)
        elif isinstance(message, Metrics):
            self._on_metrics(message)
        elif not isinstance(message, self._expected):
            raise FrameError(f"an unexpected {type(message).__name__}")
        elif isinstance(message, Hello):
            self._expected = (Loaded, LoadFailed)
            self._on_hello()
        else:
            self._expected = ()
            self._on_load(message)

    def _on_hello(self) -> None:
        self._owner.greeted()

    def _on_load(self, message: Loaded | LoadFailed) -> None:
        self._owner.loaded(message)

    def _on_results(self, message: Results, payload: memoryview) -> None:
        sent = self._sent
        batch = sent[0] if sent and sent[0].id == message.batch_id and not self._refused else self._batch_of(message)
        result = outcomes.of_results(message, payload, len(batch.jobs))
        sent.remove(batch)  # nearly always the first
        self.served = True
        if self._asked_at:
            self._record_wait()
        if self._predicted is not None and message.seconds >= 0:
            self._predicted(message.seconds, batch.jobs)
        self._scheduler.batch_done(self, batch.id, result, message.seconds)
        if self._refused:
            self._answer_refused()
        if not self._sent:
            self._on_idle()

    def _on_idle(self) -> None:
        self._busy.record(self, at_work=False, here=self._shares_cores)
        self._owner.answered()

    def _on_parts(self, message: Parts, payload: memoryview) -> None:
        batch = self._batch_of(message)
        self._scheduler.batch_parts(self, batch.id, outcomes.of_parts(message, payload, len(batch.jobs)))

    def _on_metrics(self, message: Metrics) -> None:
        for each in message.samples:
            self._telemetry.recorded(
                HandlerSample(each.name, each.type, each.unit, each.dimensions, each.value, each.request_ids)
            )

    def _batch_of(self, message: Results | Parts) -> Batch:
        batch_id = message.batch_id
        for batch in self._sent:
            if batch.id == batch_id and batch_id not in self._refused:
                return batch
            if not self._any_order:
                break
        raise FrameError(f"an answer for batch {batch_id}, which is not one whose turn it is")

    def _answer_refused(self) -> None:
        """Fails batches that could not be encoded, in the order sent."""
        for batch in list(self._sent):
            if batch.id in self._refused and self._progress_fd >= 0:
                self._sent.remove(batch)
                error = self._refused.pop(batch.id)
                self._scheduler.batch_done(self, batch.id, [error] * len(batch.jobs))
                if not self._sent:
                    self._on_idle()
            elif not self._any_order:
                return
