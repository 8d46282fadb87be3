"""Runs `scheduling.core` under asyncio: supplies the time, sets one timer, and carries out the actions.

Gathers what happens within one turn of the event loop, and dispatches once at its end, so that jobs that arrive
together leave together.  No job costs a task, a timer or a switch of threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf

from stoker import errors
from stoker.core.clock import Clock
from stoker.core.job import Job
from stoker.core.measures import ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.ports import Load, Outcome, QueueStatus, WorkerLink
from stoker.core.reply import Chunk
from stoker.core.turn import Turn, current_turn
from stoker.scheduling import actions
from stoker.scheduling.core import SchedulerCore

log = logging.getLogger(__name__)


class Scheduler:
    """Implements `core.ports.SchedulerPort` for the pool and `core.reply.Producer` for frontends.

    ``max_response_bytes``: limit of a streamed answer whose parts are joined into one.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        clock: Clock,
        stream_window_bytes: int,
        stream_stall_timeout_s: float,
        torchserve_give_up: bool = False,
        max_response_bytes: int = 6_553_500,
        counters: ModelCounters | None = None,
    ) -> None:
        self._core = SchedulerCore(
            spec,
            stream_window_bytes=stream_window_bytes,
            stream_stall_timeout_s=stream_stall_timeout_s,
            max_joined_bytes=max_response_bytes,
            torchserve_give_up=torchserve_give_up,
            counters=counters,
        )
        self._now = clock.now
        self._links: dict[int, WorkerLink] = {}
        self._loop_turn: Turn | None = None
        self._turn_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._wake: Callable[[], None] | None = None

    # ---------------------------------------------------------------------------------- registry

    def submit(self, job: Job) -> None:
        """Accepts ``job``, whose reply will get exactly one end.

        Raises: NoWorkers, QueueFull, WorkersUnavailable, DeadlineExceeded, or the error given to `close_admission`.
        """
        self._core.submit(job, self._now())
        reply = job.reply
        reply.producer, reply.job = self, job
        if not self._turn_scheduled:
            self._turn()

    def queue_status(self) -> QueueStatus:
        return self._core.queue_status()

    def load(self) -> Load:
        return self._core.load(self._now())

    def let_sleep(self, wake: Callable[[], None] | None) -> None:
        """Sets what is called for a job that comes while there are no workers. None: such jobs are refused."""
        self._wake = wake
        self._core.may_sleep(wake is not None, self._now())
        self._turn()

    def close_admission(self, error: errors.ServingError) -> None:
        """Has `submit` raise ``error`` from now on; accepted jobs go on."""
        self._core.close_admission(error)

    async def wait_drained(self, timeout_s: float) -> bool:
        """Waits until every accepted job is answered and no worker runs any; False: that took too long."""
        if self._core.drained:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drain_waiters.append(waiter)
        try:
            await asyncio.wait_for(waiter, timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            self._drain_waiters.remove(waiter)
        return True

    def fail_all(self, error: errors.ServingError) -> None:
        """Fails all jobs that are left with ``error``, at once."""
        self._core.fail_all(error, self._now())
        self._carry_out()

    # ---------------------------------------------------------------------------------- consumers

    def job_cancelled(self, job: Job) -> None:
        self._core.cancel(job, self._now())
        self._turn()

    def job_consumed(self, job: Job, nbytes: int) -> None:
        self._core.consumed(job, nbytes, self._now())
        if self._core.actions:
            self._turn()

    # ---------------------------------------------------------------------------------- pool

    def worker_ready(self, worker: WorkerLink) -> None:
        self._links[worker.id] = worker
        self._core.worker_ready(worker.id)
        self._turn()

    def worker_lost(self, worker: WorkerLink, error: errors.ServingError) -> None:
        self._links.pop(worker.id, None)
        self._core.worker_lost(worker.id, error, worker.started(), self._now())
        self._turn()

    def worker_draining(self, worker: WorkerLink) -> None:
        self._core.worker_draining(worker.id)

    def worker_idle(self, worker: WorkerLink) -> bool:
        return self._core.idle(worker.id)

    def batch_parts(self, worker: WorkerLink, batch_id: int, parts: Sequence[Sequence[Chunk]]) -> None:
        self._core.parts(worker.id, batch_id, parts, self._now())
        self._turn()

    def batch_done(
        self, worker: WorkerLink, batch_id: int, outcomes: Sequence[Outcome], handler_s: float = -1.0
    ) -> None:
        self._core.done(worker.id, batch_id, outcomes, self._now(), handler_s)
        if not self._turn_scheduled:
            self._turn()

    def pool_status(self, configured: int, failure: errors.ServingError | None) -> None:
        self._core.pool_status(configured, failure, self._now())
        self._turn()

    # ---------------------------------------------------------------------------------- turns and time

    def _turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            if self._loop_turn is None:
                self._loop_turn = current_turn()
            self._loop_turn.defer(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self._turn_scheduled = False
        self._core.dispatch(self._now())
        self._carry_out()
        self._set_timer()

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        self._core.on_time(self._now())
        self._carry_out()
        self._set_timer()

    def _set_timer(self) -> None:
        """Sets the one timer, never later than needed. If it is early, it finds nothing to do and is set again."""
        wake = self._core.wake_at
        if wake >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = wake
        self._timer = asyncio.get_running_loop().call_later(max(0.0, wake - self._now()), self._on_timer)

    def _carry_out(self) -> None:
        # A consumer's callback may submit or cancel, which adds actions for the next turn.
        todo, self._core.actions = iter(self._core.actions), []
        while True:
            try:
                for action in todo:
                    if isinstance(action, actions.Deliver):  # nearly all actions are of this or the next kind
                        action.job.reply.push(action.chunk, last=True)
                    elif isinstance(action, actions.Send):
                        if (link := self._links.get(action.worker)) is not None:
                            link.send(action.batch)
                    else:
                        self._do(action)
                break
            except Exception:  # a bug in one frontend must not cost other jobs their answers
                log.exception("An action of the scheduler failed")
        if self._drain_waiters and self._core.drained:
            for waiter in self._drain_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def _do(self, action: actions.Rare) -> None:
        if isinstance(action, actions.DeliverParts):
            action.job.reply.push_parts(action.chunks, action.nbytes)
        elif isinstance(action, actions.Fail):
            action.job.reply.fail(action.error)
        elif isinstance(action, actions.Wake):
            if self._wake is not None:
                self._wake()
        elif (link := self._links.get(action.worker)) is None:
            pass  # it has died, and its jobs were dealt with then
        elif isinstance(action, actions.CancelInWorker):
            link.cancel(action.batch_id, action.job_index)
        elif isinstance(action, actions.GrantCredit):
            link.grant(action.batch_id, action.job_index, action.nbytes)
        elif isinstance(action, actions.Drained):
            link.drained()
        else:
            link.restart(action.reason)
