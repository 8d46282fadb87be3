"""Supervises one worker slot: keeps a process running in it, and replaces one that ends, until the slot is retired.

`_supervise` starts a process, waits until it ends, waits for a growing delay, and starts the next one.
`pool.slot_states` defines the transitions; `pool.worker_process` is one process.  Log lines are TorchServe's where it
has one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from stoker.core.clock import Clock
from stoker.core.ports import SchedulerPort, WorkerStatus
from stoker.errors import ResponseTimeout, ServingError, WorkerDied
from stoker.pool.remote.placement import same_shortage
from stoker.pool.repeats import Repeats
from stoker.pool.retry_turns import STEADY_S, RetryTurns
from stoker.pool.slot_states import UNSETTLED, Event, Lifecycle, Recovery, State, backoff_s
from stoker.pool.spawning import WorkerSpawner
from stoker.pool.worker_process import SlotConfig, WorkerProcess

log = logging.getLogger(__name__)

_TORCHSERVE_STATES = {
    State.STARTING: "WORKER_STARTED",
    State.PENDING: "WORKER_STARTED",
    State.LOADING: "WORKER_STARTED",
    State.READY: "WORKER_MODEL_LOADED",
    State.DRAINING: "WORKER_SCALED_DOWN",
}


class Slot:
    """``on_change`` is called whenever the slot's state may have changed. ``workers``: returns how many workers of the
    model share the machine's cores. ``turns``: shared by the model's slots."""

    def __init__(
        self,
        config: SlotConfig,
        *,
        spawner: WorkerSpawner,
        scheduler: SchedulerPort,
        clock: Clock,
        workers: Callable[[], int],
        gpu_usage: Callable[[int | None], str],
        turns: RetryTurns,
        on_change: Callable[[], None],
    ) -> None:
        self._config = config
        self._spawner = spawner
        self._scheduler = scheduler
        self._clock = clock
        self._workers = workers
        self._gpu_usage = gpu_usage
        self._turns = turns
        self._on_change = on_change
        self._recovery = Recovery(max_retry_s=config.spec.max_retry_timeout_s)
        self._worker: WorkerProcess | None = None
        self._error: ServingError | None = None
        self._outputs = Repeats(), Repeats()
        self._same_failures = 1
        self._timeouts = 0
        self._grace_timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        self._retired: asyncio.Future[None] = loop.create_future()
        self._grace_over: asyncio.Future[None] = loop.create_future()
        self.lifecycle = Lifecycle()

    @property
    def id(self) -> int:
        return self._config.id

    @property
    def state(self) -> State:
        return self.lifecycle.state

    @property
    def retired(self) -> bool:
        return self._retired.done()

    @property
    def ready(self) -> bool:
        return self.state is State.READY

    @property
    def in_use(self) -> bool:
        """Tells whether its worker runs batches or holds the state of open sequences."""
        worker = self._worker if self.ready else None
        return worker is not None and not self._scheduler.worker_idle(worker.link)

    @property
    def settled(self) -> bool:
        return self.state not in UNSETTLED

    def status(self) -> WorkerStatus:
        worker = self._worker
        healthy = self.ready and worker is not None and worker.served
        return WorkerStatus(
            id=self.id,
            state=self.state.name,
            ready=self.ready,
            failing_since_s=self._recovery.since,
            started_at=worker.started_at if worker is not None else 0.0,
            pid=worker.pid if worker is not None else None,
            memory_bytes=worker.memory_bytes if worker is not None else 0,
            gpu_id=self._config.gpu_id,
            gpu_usage=self._gpu_usage(self._config.gpu_id),
            error=None if healthy else self._error,
            node=worker.node if worker is not None else None,
        )

    # ---------------------------------------------------------------------------------------- for the pool

    def start(self) -> asyncio.Task[None]:
        """Starts the task, which ends when the slot is STOPPED."""
        return asyncio.get_running_loop().create_task(self._supervise(), name=self._config.name)

    def retire(self, grace_s: float) -> None:
        """Ends the slot. Its worker has ``grace_s`` to answer what it holds; a later call can only shorten that."""
        if self.state is State.STOPPED:
            return
        if not self._retired.done():
            self._retire()
        if grace_s <= 0:
            self._end_grace()
        else:
            self._grace_timers.append(asyncio.get_running_loop().call_later(grace_s, self._end_grace))

    def _retire(self) -> None:
        was_ready = self.ready
        self._retired.set_result(None)
        self._turns.forget(self.id)
        self._enter(Event.RETIRE)
        if self._worker is None:
            return
        if was_ready:
            self._scheduler.worker_draining(self._worker.link)
        else:
            self._worker.kill(WorkerDied("stopped by the server"))

    def _end_grace(self) -> None:
        if not self._grace_over.done():
            self._grace_over.set_result(None)

    # ---------------------------------------------------------------------------------------- supervision

    async def _supervise(self) -> None:
        try:
            while not self.retired:
                worker = self._worker = WorkerProcess(
                    self._config,
                    scheduler=self._scheduler,
                    on_restart=self._on_restart,
                    on_pending=self._on_pending,
                    outputs=self._outputs,
                )
                await self._run_guarded(worker)
                if not self.retired:
                    await self._back_off(worker)
        finally:
            for timer in self._grace_timers:
                timer.cancel()

    async def _run_guarded(self, worker: WorkerProcess) -> None:
        try:
            await self._run_once(worker)
        except Exception:  # a bug in a listener must not end the supervision
            log.exception("Worker %s: unexpected error", self._config.name, extra=self._config.log_extra("bug"))

    async def _run_once(self, worker: WorkerProcess) -> None:
        for output in self._outputs:
            output.begin()
        if not self._recovery.running:  # otherwise `_log_retry` has announced this attempt
            self._log(logging.INFO, "worker_starting", "Starting worker %s", self._config.name)
        try:
            if await worker.start(self._spawner, workers=self._workers()):
                self._on_pending("")
                if await self._load(worker):
                    await self._serve(worker)
        except Exception:
            worker.kill(WorkerDied("internal error"))
            raise
        finally:
            await worker.reap()
            self._ended(worker)

    def _on_pending(self, shortage: str) -> None:
        """Records what the cluster lacks for the process; empty: it has room now."""
        if shortage and self.state in (State.STARTING, State.PENDING):
            before, self._error = self._error, WorkerDied(shortage)
            if self.state is State.STARTING or before is None or not same_shortage(before.cause, shortage):
                text = "Worker %s is waiting for room: %s"
                self._log(logging.WARNING, "worker_pending", text, self._config.name, shortage)
            self._enter(Event.NO_ROOM, self._error)
        elif not shortage and self.state is State.PENDING:
            self._error = None
            self._enter(Event.ROOM)

    async def _load(self, worker: WorkerProcess) -> bool:
        if not await worker.greet() or self.retired:
            return False
        self._enter(Event.GREETED)
        return await worker.load() and not self.retired

    async def _serve(self, worker: WorkerProcess) -> None:
        if self._recovery.running:
            self._log(logging.INFO, "recovered", "Auto recovery succeeded, reset recoveryStartTS")
        self._recovery.loaded()
        if worker.imported_torch:
            self._spawner.torch_is_used()
        self._log(logging.INFO, "worker_ready", "Worker %s is ready", self._config.name)
        self._config.telemetry.worker_loaded(self._config.name, time.time() - worker.started_at)
        worker.is_ready()
        self._scheduler.worker_ready(worker.link)
        self._enter(Event.LOADED)
        steady = self._turns.loaded(self.id)
        try:
            if not await worker.wait_exit(or_until=self._retired):
                await worker.drain(self._grace_over)
        finally:
            if steady is not None:
                steady.cancel()

    def _ended(self, worker: WorkerProcess) -> None:
        """Reports that the process was reaped: to the scheduler first, and by the state last, so that listeners see
        both."""
        error = worker.error or WorkerDied()
        try:
            if worker.ready:
                self._scheduler.worker_lost(worker.link, error)
            if self.retired:
                self._log(logging.INFO, "worker_stopped", "Worker %s stopped", self._config.name)
            else:
                self._record_death(error, self.state)
        finally:
            worker.close()
            self._enter(Event.EXITED, error)

    def _record_death(self, error: ServingError, was: State) -> None:
        before, self._error = self._error, error
        same = before is not None and before.cause == error.cause and all(output.again for output in self._outputs)
        if same and was is not State.READY:
            self._same_failures += 1
            return  # `_back_off` logs it
        self._same_failures = 1
        self._log(logging.WARNING, "worker_died", "%s Worker disconnected. %s", self.id, _TORCHSERVE_STATES[was])
        verb = "died" if was is State.READY else "failed to start"
        self._log(logging.ERROR, "worker_died", "Worker %s %s: %s", self._config.name, verb, error.cause)

    async def _back_off(self, worker: WorkerProcess) -> None:
        first = not self._recovery.running
        now = self._clock.now()
        failures = self._recovery.failed(now)
        if first:
            self._log(logging.INFO, "recovery", "Auto recovery start timestamp: %d", time.time() * 1000)
        elif self._same_failures == 1:
            self._log(logging.WARNING, "recovery", "Auto recovery failed again")
        if self._config.options.give_up and self._recovery.exhausted(now):
            await self._give_up()
            return
        await self._wait(worker, failures)
        if not self.retired:
            self._enter(Event.RETRY)

    async def _wait(self, worker: WorkerProcess, failures: int) -> None:
        if worker.ready and (worker.has_begun or worker.served_for_s >= STEADY_S):
            self._turns.steady(self.id)
            delay_s = 0 if worker.node_lost and failures == 1 else backoff_s(failures)
            self._log_retry(delay_s)
            await asyncio.wait({self._retired}, timeout=delay_s)
        else:
            self._log_retry(self._turns.failed(self.id, failures, after_load=worker.ready))
            await self._turns.wait(self.id, self._retired)

    def _log_retry(self, delay_s: int) -> None:
        if self._same_failures == 1 or self._error is None:
            self._log(logging.INFO, "retry", "Retry worker: %s in %s seconds.", self.id, delay_s)
            return
        self._log(
            logging.ERROR,
            "retry",
            "Auto recovery failed again: worker %s failed to start the same way, %d times in a row: %s. "
            "Retry worker: %s in %s seconds.",
            self._config.name,
            self._same_failures,
            self._error.cause.rstrip("."),
            self.id,
            delay_s,
        )

    async def _give_up(self) -> None:
        self._log(logging.ERROR, "given_up", "Worker %s will not be restarted again", self._config.name)
        self._enter(Event.GIVE_UP)
        await asyncio.wait({self._retired})

    # ---------------------------------------------------------------------------------------- log and state

    def _on_restart(self, reason: ServingError) -> None:
        self._timeouts = 1 if self._worker is not None and self._worker.served else self._timeouts + 1
        if not isinstance(reason, ResponseTimeout):
            self._log(logging.WARNING, "worker_restart", "Worker %s is restarted: %s", self._config.name, reason)
            return
        self._log(logging.INFO, "response_timeout", "Number or consecutive unsuccessful inference %d", self._timeouts)
        self._log(
            logging.ERROR,
            "response_timeout",
            "Backend worker error: org.pytorch.serve.wlm.WorkerInitializationException: "
            "Backend worker did not respond in given time",
        )

    def _enter(self, event: Event, error: ServingError | None = None) -> None:
        self.lifecycle.enter(event, error)
        self._on_change()

    def _log(self, level: int, event: str, text: str, *values: object) -> None:
        log.log(level, text, *values, extra=self._config.log_extra(event))
