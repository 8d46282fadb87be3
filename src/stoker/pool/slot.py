"""One worker slot: keeps a process alive, one after the other, until the slot is retired.

The story is `_supervise`: a process lives, the slot waits a growing while, the next one lives.  What may happen
when stands in `pool.slot_states`; one process is `pool.worker_process`.  The log lines are
TorchServe's where it has one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from stoker.core.clock import Clock
from stoker.core.ports import SchedulerPort, WorkerStatus
from stoker.errors import ResponseTimeout, ServingError, WorkerDied
from stoker.pool.repeats import Repeats
from stoker.pool.retry_turns import STEADY_S, Turns
from stoker.pool.slot_states import UNSETTLED, Event, Life, Recovery, State, backoff_s
from stoker.pool.spawning import Births
from stoker.pool.worker_process import Facts, WorkerRun

logger = logging.getLogger(__name__)

_TORCHSERVE_STATES = {
    State.STARTING: "WORKER_STARTED",
    State.LOADING: "WORKER_STARTED",
    State.READY: "WORKER_MODEL_LOADED",
    State.DRAINING: "WORKER_SCALED_DOWN",
}


class WorkerHandle:
    """``on_change`` is told that something about the slot is new. ``turns``: shared by the slots of the model."""

    def __init__(
        self,
        facts: Facts,
        *,
        births: Births,
        scheduler: SchedulerPort,
        clock: Clock,
        workers: Callable[[], int],
        gpu_usage: Callable[[int | None], str],
        turns: Turns,
        on_change: Callable[[], None],
    ) -> None:
        self._facts = facts
        self._births = births
        self._scheduler = scheduler
        self._clock = clock
        self._workers = workers
        self._gpu_usage = gpu_usage
        self._turns = turns
        self._on_change = on_change
        self._recovery = Recovery(max_retry_s=facts.spec.max_retry_timeout_s)
        self._run: WorkerRun | None = None
        self._error: ServingError | None = None
        self._outputs = Repeats(), Repeats()
        self._same_failures = 1
        self._timeouts = 0
        self._grace_timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        self._retired: asyncio.Future[None] = loop.create_future()
        self._hurry: asyncio.Future[None] = loop.create_future()
        self.life = Life()

    @property
    def id(self) -> int:
        return self._facts.id

    @property
    def state(self) -> State:
        return self.life.state

    @property
    def retired(self) -> bool:
        return self._retired.done()

    @property
    def ready(self) -> bool:
        return self.state is State.READY

    @property
    def settled(self) -> bool:
        return self.state not in UNSETTLED

    def status(self) -> WorkerStatus:
        run = self._run
        all_is_well = self.ready and run is not None and run.served
        return WorkerStatus(
            id=self.id,
            state=self.state.name,
            ready=self.ready,
            failing_since_s=self._recovery.since,
            started_at=run.started_at if run is not None else 0.0,
            pid=run.pid if run is not None else None,
            memory_bytes=run.memory_bytes if run is not None else 0,
            gpu_id=self._facts.gpu_id,
            gpu_usage=self._gpu_usage(self._facts.gpu_id),
            error=None if all_is_well else self._error,
        )

    # ---------------------------------------------------------------------------------------- asked by the pool

    def start(self) -> asyncio.Task[None]:
        """The task ends when the slot is STOPPED."""
        return asyncio.get_running_loop().create_task(self._supervise(), name=self._facts.name)

    def retire(self, grace_s: float) -> None:
        """Ends the slot: what its worker holds may still be answered for ``grace_s``. A later, shorter grace counts."""
        if self.state is State.STOPPED:
            return
        if not self._retired.done():
            self._retire()
        if grace_s <= 0:
            self._be_quick()
        else:
            self._grace_timers.append(asyncio.get_running_loop().call_later(grace_s, self._be_quick))

    def _retire(self) -> None:
        was_ready = self.ready
        self._retired.set_result(None)
        self._turns.forget(self.id)
        self._enter(Event.RETIRE)
        if self._run is None:
            return
        if was_ready:
            self._scheduler.worker_draining(self._run.link)
        else:
            self._run.kill(WorkerDied("stopped by the server"))

    def _be_quick(self) -> None:
        if not self._hurry.done():
            self._hurry.set_result(None)

    # ---------------------------------------------------------------------------------------- the story

    async def _supervise(self) -> None:
        try:
            while not self.retired:
                run = self._run = WorkerRun(
                    self._facts, scheduler=self._scheduler, on_restart=self._restarting, outputs=self._outputs
                )
                await self._live_guarded(run)
                if not self.retired:
                    await self._back_off(run)
        finally:
            for timer in self._grace_timers:
                timer.cancel()

    async def _live_guarded(self, run: WorkerRun) -> None:
        try:
            await self._live(run)
        except Exception:  # a defect of whoever was told must not end the supervision
            logger.exception("Worker %s: unexpected error", self._facts.name, extra=self._facts.log_extra("bug"))

    async def _live(self, run: WorkerRun) -> None:
        for output in self._outputs:
            output.begin()
        if not self._recovery.running:  # else the line about the failure announced this try
            self._log(logging.INFO, "worker_starting", "Starting worker %s", self._facts.name)
        try:
            if await run.begin(self._births, workers=self._workers()) and await self._load(run):
                await self._serve(run)
        except Exception:
            run.kill(WorkerDied("internal error"))
            raise
        finally:
            await run.bury()
            self._over(run)

    async def _load(self, run: WorkerRun) -> bool:
        if not await run.greet() or self.retired:
            return False
        self._enter(Event.GREETED)
        return await run.load() and not self.retired

    async def _serve(self, run: WorkerRun) -> None:
        if self._recovery.running:
            self._log(logging.INFO, "recovered", "Auto recovery succeeded, reset recoveryStartTS")
        self._recovery.loaded()
        if run.imported_torch:
            self._births.torch_is_used()
        self._log(logging.INFO, "worker_ready", "Worker %s is ready", self._facts.name)
        self._facts.telemetry.worker_loaded(self._facts.name, time.time() - run.started_at)
        run.is_ready()
        self._scheduler.worker_ready(run.link)
        self._enter(Event.LOADED)
        steady = self._turns.loaded(self.id)
        try:
            if not await run.wait_exit(or_until=self._retired):
                await run.drain(self._hurry)
        finally:
            if steady is not None:
                steady.cancel()

    def _over(self, run: WorkerRun) -> None:
        """The process is buried: tell everybody, in an order in which nobody sees a half truth."""
        error = run.error or WorkerDied()
        try:
            if run.ready:
                self._scheduler.worker_lost(run.link, error)
            if self.retired:
                self._log(logging.INFO, "worker_stopped", "Worker %s stopped", self._facts.name)
            else:
                self._mourn(error, self.state)
        finally:
            run.close()
            self._enter(Event.EXITED, error)

    def _mourn(self, error: ServingError, was: State) -> None:
        before, self._error = self._error, error
        same = before is not None and before.cause == error.cause and all(output.again for output in self._outputs)
        if same and was is not State.READY:
            self._same_failures += 1
            return  # `_back_off` says so
        self._same_failures = 1
        self._log(logging.WARNING, "worker_died", "%s Worker disconnected. %s", self.id, _TORCHSERVE_STATES[was])
        verb = "died" if was is State.READY else "failed to start"
        self._log(logging.ERROR, "worker_died", "Worker %s %s: %s", self._facts.name, verb, error.cause)

    async def _back_off(self, run: WorkerRun) -> None:
        first = not self._recovery.running
        now = self._clock.now()
        failures = self._recovery.failed(now)
        if first:
            self._log(logging.INFO, "recovery", "Auto recovery start timestamp: %d", time.time() * 1000)
        elif self._same_failures == 1:
            self._log(logging.WARNING, "recovery", "Auto recovery failed again")
        if self._facts.options.give_up and self._recovery.exhausted(now):
            await self._give_up()
            return
        await self._wait(run, failures)
        if not self.retired:
            self._enter(Event.RETRY)

    async def _wait(self, run: WorkerRun, failures: int) -> None:
        if run.ready and (run.has_begun or run.served_for_s >= STEADY_S):
            self._turns.steady(self.id)
            delay_s = backoff_s(failures)
            self._log_retry(delay_s)
            await asyncio.wait({self._retired}, timeout=delay_s)
        else:
            self._log_retry(self._turns.failed(self.id, failures, after_load=run.ready))
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
            self._facts.name,
            self._same_failures,
            self._error.cause.rstrip("."),
            self.id,
            delay_s,
        )

    async def _give_up(self) -> None:
        self._log(logging.ERROR, "given_up", "Worker %s is not restarted any more", self._facts.name)
        self._enter(Event.GIVE_UP)
        await asyncio.wait({self._retired})

    # ---------------------------------------------------------------------------------------- small things

    def _restarting(self, reason: ServingError) -> None:
        self._timeouts = 1 if self._run is not None and self._run.served else self._timeouts + 1
        if not isinstance(reason, ResponseTimeout):
            self._log(logging.WARNING, "worker_restart", "Worker %s is restarted: %s", self._facts.name, reason)
            return
        self._log(logging.INFO, "response_timeout", "Number or consecutive unsuccessful inference %d", self._timeouts)
        self._log(
            logging.ERROR,
            "response_timeout",
            "Backend worker error: org.pytorch.serve.wlm.WorkerInitializationException: "
            "Backend worker did not respond in given time",
        )

    def _enter(self, event: Event, error: ServingError | None = None) -> None:
        self.life.enter(event, error)
        self._on_change()

    def _log(self, level: int, event: str, text: str, *values: object) -> None:
        logger.log(level, text, *values, extra=self._facts.log_extra(event))
