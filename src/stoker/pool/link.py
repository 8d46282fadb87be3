"""The server's end of the connection to one worker process: `core.ports.WorkerLink`.

Translates jobs to messages and messages to outcomes, and holds the worker to the protocol: batches are answered
once, in the order sent, one outcome per job.  A worker that breaks it is restarted.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from typing import NamedTuple, Protocol

import msgspec

from stoker.core.buffer import Buffer
from stoker.core.job import Batch, Job
from stoker.core.measures import HandlerSample, Unmeasured
from stoker.core.ports import ModelTelemetry, SchedulerPort
from stoker.errors import BadRequest, ServingError
from stoker.ipc import codec
from stoker.ipc.frames import MAX_PAYLOAD_BYTES, Frame, FrameError
from stoker.ipc.to_server import Hello, Loaded, LoadFailed, Metrics, Parts, Results
from stoker.ipc.to_worker import Cancel, Grant, JobHeader, Load, Predict, Stop
from stoker.pool import outcomes
from stoker.pool.busy import BusyWorkers
from stoker.pool.child_process import PROGRESS_BYTES, ChildProcess
from stoker.pool.transport import FrameTransport

_PROGRESS = struct.Struct("<Q")


class LinkOwner(Protocol):
    """Starts and ends the process (`pool.worker_process`)."""

    def greeted(self) -> None: ...

    def loaded(self, message: Loaded | LoadFailed) -> None: ...

    def answered(self) -> None:
        """A batch ended."""
        ...

    def lost(self, error: FrameError | None) -> None:
        """Reading has ended: the worker closed the connection (None) or broke the protocol."""
        ...

    def restart(self, reason: ServingError) -> None: ...


class _Sent(NamedTuple):
    batch_id: int
    jobs: list[Job]
    refused: ServingError | None  # it could not be put into a frame, so the worker never saw it


class Link:
    """``served``: the worker has answered at least one batch."""

    def __init__(
        self,
        id: int,
        process: ChildProcess,
        *,
        owner: LinkOwner,
        scheduler: SchedulerPort,
        max_payload_bytes: int,
        busy: BusyWorkers,
        telemetry: ModelTelemetry | None = None,
    ) -> None:
        self._id = id
        self._telemetry: ModelTelemetry = telemetry or Unmeasured()
        self._owner = owner
        self._scheduler = scheduler
        self._busy = busy
        self._progress_fd = process.progress_fd
        self._last_started: int | None = None
        self._sent: deque[_Sent] = deque()
        self._expected: tuple[type, ...] = (Hello,)  # apart from answers to batches
        self._transport = FrameTransport(
            process.sock,
            max_payload_bytes=min(max_payload_bytes, MAX_PAYLOAD_BYTES),
            on_frame=self._on_frame,
            on_lost=owner.lost,
        )
        self.served = False

    # ------------------------------------------------------------------------------- for the scheduler

    @property
    def id(self) -> int:
        return self._id

    def send(self, batch: Batch) -> None:
        headers: list[JobHeader] = []
        payloads: list[Buffer] = []
        for job in batch.jobs:
            inputs = [(item.name, item.content_type, len(item.value)) for item in job.inputs]
            payloads += [item.value for item in job.inputs]
            headers.append(JobHeader(job.id, inputs, dict(job.headers), job.deadline, job.tensors))
        refused: ServingError | None = None
        if not self._sent:
            self._busy.begins(self)
        predict = Predict(batch.id, headers, self._busy.leave_a_core)
        try:
            self._transport.write(codec.encode(predict, payloads))
        except (FrameError, UnicodeEncodeError, msgspec.MsgspecError):  # over 4 GiB, or text that is not Unicode
            refused = BadRequest("The request cannot be sent to a worker.")
            asyncio.get_running_loop().call_soon(self._answer_refused)
        self._sent.append(_Sent(batch.id, batch.jobs, refused))

    def cancel(self, batch_id: int, index: int) -> None:
        self._transport.write(codec.encode(Cancel(batch_id, index)))

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        self._transport.write(codec.encode(Grant(batch_id, index, nbytes)))

    def started(self) -> int | None:
        """Id of the newest batch that the worker began; 0: none."""
        if self._progress_fd < 0:
            return self._last_started
        data = os.pread(self._progress_fd, PROGRESS_BYTES, 0)
        return int(_PROGRESS.unpack(data)[0]) if len(data) == PROGRESS_BYTES else None

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
        """Delivers what a dead process had answered before."""
        self._transport.read_rest()

    def close(self) -> None:
        """Records the newest batch that began; drops all later messages. Idempotent."""
        self._transport.close()
        self._last_started, self._progress_fd = self.started(), -1
        self._busy.rests(self)

    # ------------------------------------------------------------------------------------ from the worker

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
            self._owner.greeted()
        else:
            self._expected = ()
            self._owner.loaded(message)

    def _on_results(self, message: Results, payload: memoryview) -> None:
        sent = self._running(message.batch_id)
        result = outcomes.of_results(message, payload, len(sent.jobs))
        self._sent.popleft()
        if not self._sent:
            self._busy.rests(self)
        self.served = True
        if message.seconds >= 0:
            self._telemetry.predicted(message.seconds, sent.jobs)
        self._scheduler.batch_done(self, sent.batch_id, result)
        self._answer_refused()
        self._owner.answered()

    def _on_parts(self, message: Parts, payload: memoryview) -> None:
        sent = self._running(message.batch_id)
        self._scheduler.batch_parts(self, sent.batch_id, outcomes.of_parts(message, payload, len(sent.jobs)))

    def _on_metrics(self, message: Metrics) -> None:
        for each in message.samples:
            self._telemetry.recorded(
                HandlerSample(each.name, each.type, each.unit, each.dimensions, each.value, each.request_ids)
            )

    def _running(self, batch_id: int) -> _Sent:
        if not self._sent or self._sent[0].batch_id != batch_id:
            raise FrameError(f"an answer for batch {batch_id}, which is not the one whose turn it is")
        return self._sent[0]

    def _answer_refused(self) -> None:
        """Answers batches that no frame could carry, in their turn."""
        while self._sent and self._sent[0].refused is not None and self._progress_fd >= 0:
            batch_id, jobs, error = self._sent.popleft()
            if not self._sent:
                self._busy.rests(self)
            assert error is not None
            self._scheduler.batch_done(self, batch_id, [error] * len(jobs))
            self._owner.answered()
