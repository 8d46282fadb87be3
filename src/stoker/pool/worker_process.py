"""Runs one worker process of a slot, from its start until it is reaped.

`WorkerProcess` handles this process only; `pool.slot` starts the next one.  However the process ends, ``error`` says
why, and `reap` leaves nothing behind: no process of its group, no zombie, no open file.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.core.measures import Unmeasured
from stoker.core.model import ModelSpec
from stoker.core.ports import ModelTelemetry, SchedulerPort
from stoker.errors import ServingError, WorkerDied
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import Loaded, LoadFailed
from stoker.pool import causes
from stoker.pool.busy import BusyWorkers
from stoker.pool.link import Link
from stoker.pool.logs import PipeLog, output_logs
from stoker.pool.out_of_memory import memory_kills
from stoker.pool.ranked_link import RankedLink
from stoker.pool.ranks import RankGroup, rank_name
from stoker.pool.repeats import Repeats
from stoker.pool.running_process import RunningProcess
from stoker.pool.spawning import WorkerOptions, WorkerSpawner, load_message

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 120.0  # for the interpreter to start, as in TorchServe
STOP_GRACE_S = 5.0  # for exit handlers, once everything is answered
_CLOSED_GRACE_S = 1.0  # a dying process closes its socket first, and its return code then says more about the cause
_KILL_WAIT_S = 10.0  # SIGKILL does not end an uninterruptible system call
_FRAME_SLACK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotConfig:
    """Options of all processes of a slot. ``name``: as in logs, ``W-9000-model_1.0``. ``devices``: for a worker with
    several GPUs, the environment variable that shows them to it; ``gpu_id`` is the first of them."""

    id: int
    name: str
    spec: ModelSpec
    options: WorkerOptions
    gpu_id: int | None
    devices: Mapping[str, str] = field(default_factory=dict)
    busy: BusyWorkers
    telemetry: ModelTelemetry = field(default_factory=Unmeasured)

    def log_extra(self, event: str) -> dict[str, Any]:
        return {
            "event": event,
            "model": self.spec.key.name,
            "version": self.spec.key.version,
            "worker": self.id,
            "thread_label": self.name,
        }


class WorkerProcess:
    """``outputs``: what the slot's workers printed to standard output and error while they loaded. ``on_pending``: as
    in `pool.remote.placement`."""

    def __init__(
        self,
        config: SlotConfig,
        *,
        scheduler: SchedulerPort,
        on_restart: Callable[[ServingError], None],
        on_pending: Callable[[str], None],
        outputs: tuple[Repeats, Repeats],
    ) -> None:
        self._config = config
        self._outputs = outputs
        self._scheduler = scheduler
        self._on_restart = on_restart
        self._on_pending = on_pending
        self._process: RunningProcess | None = None
        self._starting: asyncio.Future[RunningProcess] | None = None
        self._link: Link | None = None
        self._logs: list[PipeLog] = []
        self._timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._loaded: asyncio.Future[Loaded | LoadFailed] = loop.create_future()
        self._idle: asyncio.Future[None] | None = None
        self.error: ServingError | None = None
        self.ready = False  # the scheduler may send it batches
        self._ready_at = 0.0
        self._memory_kills_before = 0
        self.imported_torch = False
        self.started_at = 0.0

    # ---------------------------------------------------------------------------------------- state

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and not self._process.exited.done() else None

    @property
    def memory_bytes(self) -> int:
        return self._process.memory_bytes() if self._process is not None and self.pid is not None else 0

    @property
    def served(self) -> bool:
        return self._link is not None and self._link.served

    @property
    def node(self) -> str | None:
        return self._process.node if self._process is not None else None

    @property
    def node_lost(self) -> bool:
        """Tells whether the process ended because its node, or the agent there, was lost."""
        return self.node is not None and self._exited.done() and self._exited.result() is None

    @property
    def has_begun(self) -> bool:
        """Tells whether the worker has begun any batch."""
        return self._link is not None and self._link.started() != 0

    @property
    def served_for_s(self) -> float:
        return time.monotonic() - self._ready_at if self.ready else 0.0

    # ---------------------------------------------------------------------------------------- start

    async def start(self, spawner: WorkerSpawner, *, workers: int) -> bool:
        """Starts the process; False: it could not be started, see ``error``. ``workers``: how many share the machine's
        cores."""
        config = self._config
        self.started_at = time.time()
        self._memory_kills_before = memory_kills.count()
        self._starting = asyncio.ensure_future(self._spawned(spawner, workers))
        try:
            await asyncio.wait({self._starting})
        except asyncio.CancelledError:
            self._starting.cancel()
            raise
        if self._starting.cancelled():
            return False
        try:
            self._process = self._starting.result()
        except WorkerDied as error:
            self.error = error
        except OSError as error:
            log.error("Worker %s could not be started: %s", config.name, error, extra=config.log_extra("spawn_failed"))
            self.error = WorkerDied(f"the process could not be started: {error.strerror}")
        else:
            self._connect(self._process)
        return self._process is not None

    async def _spawned(self, spawner: WorkerSpawner, workers: int) -> RunningProcess:
        config, ranks = self._config, self._config.spec.ranks
        if config.spec.ray is not None:
            return await spawner.place(config.name, on_pending=self._on_pending)
        if ranks is not None:
            return await spawner.start_ranks(config.name, ranks, devices=config.devices, workers=workers)
        return await spawner.start(config.name, gpu_id=config.gpu_id, workers=workers)

    def _connect(self, process: RunningProcess) -> None:
        config = self._config
        max_payload = config.spec.batch_size * config.options.max_response_bytes + _FRAME_SLACK_BYTES
        telemetry = config.telemetry
        ranks = config.spec.ranks
        options = dict[str, Any](
            owner=self,
            scheduler=self._scheduler,
            max_payload_bytes=max_payload,
            busy=config.busy,
            any_order=config.spec.concurrent,
            telemetry=telemetry,
            poll_s=config.options.poll_us / 1e6,
        )
        if isinstance(process, RankGroup) and ranks is not None and ranks.processes > 1:
            self._link = RankedLink(config.id, process, ranks, **options)
        else:
            self._link = Link(config.id, process, **options)
        others = process.others if isinstance(process, RankGroup) else ()
        for rank, one in enumerate((process, *others)):
            self._logs += self._logs_of(one, rank)
        self._link.start()
        for pipe in self._logs:
            pipe.start()

    def _logs_of(self, process: RunningProcess, rank: int) -> list[PipeLog]:
        """Makes the logs of a rank's output. Only rank 0 records metrics, and suppresses repeated output."""
        config, node = self._config, process.node
        label = rank_name(config.name, rank)
        about = {**config.log_extra("worker_output"), "pid": process.pid}
        if node is not None:
            label, about["node"] = f"{label}@{node.split()[0]}", node
        if rank:
            return output_logs(process, label=label, about={**about, "rank": rank})
        return output_logs(process, label=label, about=about, on_metric=config.telemetry.printed, repeats=self._outputs)

    async def greet(self) -> bool:
        """Waits until the interpreter runs; False: it did not start, see ``error``."""
        return await self._wait_for(self._greeted, HELLO_TIMEOUT_S, "the process did not start within {:g} s")

    async def load(self) -> bool:
        """Has the worker load the model; False: that failed, see ``error``."""
        spec, options = self._config.spec, self._config.options
        self.link.load(load_message(spec, options, gpu_id=self._visible_gpu))
        if not await self._wait_for(
            self._loaded, spec.startup_timeout_s, "the model did not load within {:g} s (startupTimeout)"
        ):
            return False
        message = self._loaded.result()
        if isinstance(message, Loaded):
            self.imported_torch = message.torch
            for pipe in self._logs:
                pipe.loaded()
            return True
        self.error = self.error or causes.load_failure(message.number, message.message)
        await self._exits(STOP_GRACE_S)  # it exits by itself; what it prints until then is logged
        return False

    @property
    def _visible_gpu(self) -> int | None:
        """Returns the GPU's number within the worker: 0 if the worker sees only its own GPUs."""
        return 0 if self._config.devices else self._config.gpu_id

    async def _wait_for(self, wanted: asyncio.Future[Any], timeout_s: float, otherwise: str) -> bool:
        exited = self._exited
        await asyncio.wait({wanted, exited}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done() and exited.done():
            self.link.read_rest()  # handle what it sent just before it died
        if not wanted.done() and not exited.done():
            self.kill(WorkerDied(otherwise.format(timeout_s)))
        return wanted.done()

    # ---------------------------------------------------------------------------------------- end

    @property
    def _exited(self) -> asyncio.Future[int | None]:
        assert self._process is not None
        return self._process.exited

    async def wait_exit(self, or_until: asyncio.Future[None]) -> bool:
        """Returns True once the process has ended, False if ``or_until`` is done first."""
        return await self._exits(None, or_until)

    async def _exits(self, timeout_s: float | None, *others: asyncio.Future[None]) -> bool:
        wanted: list[asyncio.Future[Any]] = [self._exited, *others]
        await asyncio.wait(wanted, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return self._exited.done()

    async def drain(self, hurry: asyncio.Future[None]) -> None:
        """Lets the worker answer what it holds, then exit; kills it once ``hurry`` is done."""
        idle = self._idle = asyncio.get_running_loop().create_future()
        self._check_idle()
        if not await self._exits(None, idle, hurry) and idle.done():
            self.link.stop()
            await self._exits(STOP_GRACE_S, hurry)
        self.kill(WorkerDied("stopped by the server"))

    def is_ready(self) -> None:
        self.ready = True
        self._ready_at = time.monotonic()

    def _check_idle(self) -> None:
        if self._idle is not None and not self._idle.done() and self._scheduler.worker_idle(self.link):
            self._idle.set_result(None)

    def kill(self, reason: ServingError) -> None:
        """Kills the process group, or cancels its start. Only the first ``reason`` counts."""
        if self._process is None and self._starting is not None and not self._starting.done():
            self.error = self.error or reason
            self._starting.cancel()
        if self._process is not None and not self._process.exited.done():
            self.error = self.error or reason
            self._process.kill_group()

    async def reap(self) -> None:
        """Kills the process group, handles all that it sent, and records why it died. Call `close` next."""
        process = self._process
        if process is None:
            for output in self._outputs:
                output.failed()
            return
        process.kill_group()
        if not await self._exits(_KILL_WAIT_S):
            log.error("Worker %s cannot be killed", self._config.name, extra=self._config.log_extra("unkillable"))
        self.link.read_rest()
        self.link.close()
        for pipe in self._logs:
            pipe.close()
        if self.error is None:
            self.error = self._death(process.exited.result()) if process.exited.done() else WorkerDied()

    def _death(self, returncode: int | None) -> WorkerDied:
        assert self._process is not None
        error = self._process.death
        if error is None:
            error = causes.death_of(returncode, out_of_memory=lambda: memory_kills.explain(self._memory_kills_before))
        return causes.with_rank(error, self._process.ended_first)

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._process is not None:
            self._process.close()

    # ---------------------------------------------------------------------------------------- LinkOwner

    def greeted(self) -> None:
        if not self._greeted.done():
            self._greeted.set_result(None)

    def loaded(self, message: Loaded | LoadFailed) -> None:
        if not self._loaded.done():
            self._loaded.set_result(message)

    def answered(self) -> None:
        if self._idle is not None:
            self._check_idle()

    def lost(self, error: FrameError | None) -> None:
        if error is not None:
            log.error(
                "Worker %s broke the protocol: %s", self._config.name, error, extra=self._config.log_extra("bad_frame")
            )
            self.kill(WorkerDied("it sent an invalid message"))
            return
        reason = WorkerDied("it closed its connection to the server")
        self._timers.append(asyncio.get_running_loop().call_later(_CLOSED_GRACE_S, self.kill, reason))

    def restart(self, reason: ServingError) -> None:
        self._on_restart(reason)
        self.kill(reason)
