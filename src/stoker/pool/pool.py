"""Scales the workers of one model version, and reports changes to the scheduler and the registry."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping

from stoker.core.clock import Clock, MonotonicClock
from stoker.core.measures import Unmeasured
from stoker.core.model import ModelSpec
from stoker.core.ports import ModelTelemetry, SchedulerPort, WorkerStatus
from stoker.errors import ServingError
from stoker.pool.busy import BusyWorkers
from stoker.pool.devices import NO_USAGE, Devices
from stoker.pool.forking import templates
from stoker.pool.ids import WorkerIds
from stoker.pool.remote.placement import Placement
from stoker.pool.retry_turns import RetryTurns
from stoker.pool.slot import Slot
from stoker.pool.slot_states import State, failure_of_all
from stoker.pool.spawning import WorkerOptions, WorkerSpawner, usable_cores
from stoker.pool.watchdog import watchdog
from stoker.pool.worker_process import SlotConfig

log = logging.getLogger(__name__)


class WorkerPool:
    """Not thread-safe; methods without ``async`` never wait. ``on_change`` is called whenever `statuses` may have
    changed. ``placement``: starts workers on other machines."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        scheduler: SchedulerPort,
        options: WorkerOptions,
        devices: Devices,
        ids: WorkerIds,
        on_change: Callable[[], None],
        busy: BusyWorkers | None = None,
        clock: Clock | None = None,
        telemetry: ModelTelemetry | None = None,
        placement: Placement | None = None,
    ) -> None:
        self._spec = spec
        self._telemetry: ModelTelemetry = telemetry or Unmeasured()
        self._scheduler = scheduler
        self._options = options
        self._spawner = WorkerSpawner(spec, options, on_metric=self._telemetry.printed, placement=placement)
        self._devices = devices
        self._ids = ids
        self._busy = busy if busy is not None else BusyWorkers(usable_cores())
        self._on_change = on_change
        self._clock = clock or MonotonicClock()
        self._turns = RetryTurns(self._clock)  # not used with worker_give_up=torchserve: there each slot is on its own
        self._slots: list[Slot] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: dict[int, int] = {}  # where each worker has several GPUs: the number of its run of GPUs, by slot
        self._device_turns = itertools.count()
        self._target = 0
        self._published: tuple[int, ServingError | None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._watched = False
        self._closing: asyncio.Task[None] | None = None

    # ---------------------------------------------------------------------------------------- for the registry

    def scale(self, count: int) -> None:
        """Sets the number of workers. Does nothing on a closed pool."""
        if self._closing is not None:
            return
        self._target = max(0, count)
        self._watch()
        active = self._active()
        for slot in sorted(active, key=_least_useful_first)[: max(0, len(active) - self._target)]:
            # Its batch ends within the response timeout; a stream that takes longer is cut off.
            slot.retire(self._spec.response_timeout_s)
        for _ in range(self._target - len(active)):
            self._add_slot()
        self._changed()

    async def wait_settled(self) -> None:
        """Returns when every slot is ready or its latest start failed, and every retired one is gone."""
        if not self._settled():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def statuses(self) -> list[WorkerStatus]:
        """Lists slots by id, retired ones too until their process is gone."""
        return [slot.status() for slot in sorted(self._slots, key=lambda slot: slot.id)]

    def states(self) -> Mapping[str, int]:
        """Counts slots by state, including states that no slot has. Cheaper than `statuses`."""
        counted = Counter(slot.state for slot in self._slots)
        return {state.name: counted[state] for state in State if state is not State.STOPPED}

    async def close(self, grace_s: float) -> None:
        """Lets running batches end for ``grace_s``, then kills the workers; goes on if the caller is cancelled.
        Idempotent: a second call can only shorten the grace period."""
        self._target = 0
        for slot in list(self._slots):
            slot.retire(grace_s)
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._changed()
        await self._spawner.close()
        if self._watched:
            await templates.release()
            await watchdog.release()

    # ---------------------------------------------------------------------------------------- slots

    def _active(self) -> list[Slot]:
        return [slot for slot in self._slots if not slot.retired]

    def _watch(self) -> None:
        if self._target and not self._watched:
            self._watched = True
            watchdog.acquire()
            templates.acquire()

    def _add_slot(self) -> None:
        number = self._ids.take()
        spec = self._spec
        gpu_id, devices = self._gpus(number)
        config = SlotConfig(
            id=number,
            name=f"W-{number}-{spec.key.name}_{spec.key.version}",
            spec=spec,
            options=self._options,
            gpu_id=gpu_id,
            devices=devices,
            busy=self._busy,
            telemetry=self._telemetry,
        )
        slot = Slot(
            config,
            spawner=self._spawner,
            scheduler=self._scheduler,
            clock=self._clock,
            workers=lambda: self._target,
            gpu_usage=self._devices.usage if spec.ray is None else _unknown_usage,
            turns=RetryTurns(self._clock) if self._options.give_up else self._turns,
            on_change=self._changed,
        )
        self._slots.append(slot)
        task = slot.start()
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _gpus(self, slot: int) -> tuple[int | None, Mapping[str, str]]:
        """Returns a worker's first GPU and, if it has several, the variable that shows it its own."""
        spec = self._spec
        if spec.ray is not None:  # Ray sets the variable on the node
            return (0 if spec.ray.gpus else None), {}
        if spec.ranks is None or spec.device_type == "cpu":
            return self._gpu_id(), {}
        taken = set(self._runs.values())
        turn = self._runs[slot] = next(number for number in itertools.count() if number not in taken)
        run = self._devices.assign_run(spec.ranks.level, spec.device_ids, turn=turn)
        return (run[0] if run else None), self._devices.shown(run)

    def _gpu_id(self) -> int | None:
        if self._spec.device_type == "cpu":
            return None
        ids = self._spec.device_ids
        return self._devices.assign(ids, turn=next(self._device_turns) if ids else None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("The supervisor of %s failed", task.get_name(), exc_info=task.exception())
        self._changed()

    # ---------------------------------------------------------------------------------------- reports

    def _changed(self) -> None:
        self._forget_stopped()
        self._publish()
        if self._settled():
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        try:
            self._on_change()
        except Exception:
            log.exception("A listener to the workers of %s failed", self._spec.key)

    def _forget_stopped(self) -> None:
        for slot in [slot for slot in self._slots if slot.state is State.STOPPED]:
            self._slots.remove(slot)
            self._runs.pop(slot.id, None)
            self._ids.give_back(slot.id)

    def _publish(self) -> None:
        active = self._active()
        failure = failure_of_all(slot.lifecycle for slot in active)
        status = (len(active), failure)
        if self._published is None or status[0] != self._published[0] or failure is not self._published[1]:
            self._published = status
            self._scheduler.pool_status(*status)

    def _settled(self) -> bool:
        return all(slot.settled for slot in self._slots)


def _unknown_usage(gpu_id: int | None) -> str:
    """Describes a GPU of another machine."""
    return NO_USAGE


def _least_useful_first(slot: Slot) -> tuple[bool, bool, int]:
    return slot.ready, slot.in_use, -slot.id
