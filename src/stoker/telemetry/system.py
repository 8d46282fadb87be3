"""Samples system metrics in this process, off the event loop.

CPU utilisation covers the time since the last sample.  TorchServe starts a new process each time, which cannot know it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

import psutil

from stoker.core.ports import GpuFigures
from stoker.telemetry.family import Labels

log = logging.getLogger(__name__)

_FIRST_INTERVAL_S = 0.1  # the first sample has no previous one
_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30
_HOST = "Host"

Update = Callable[[str, Labels, float], None]
Sample = tuple[str, Labels, float]


class SystemMetrics:
    """Samples at ``__aenter__`` and then every ``interval_s``, until ``__aexit__``."""

    def __init__(self, *, update: Update, interval_s: float, gpus: Callable[[], Sequence[GpuFigures]] = tuple) -> None:
        self._update = update
        self._interval_s = interval_s
        self._gpus = gpus
        self._task: asyncio.Task[None] | None = None
        self._cpu_interval_s: float | None = _FIRST_INTERVAL_S

    async def __aenter__(self) -> SystemMetrics:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="system-metrics")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                for name, labels, value in await asyncio.to_thread(self.sample):
                    self._update(name, labels, value)
            except Exception:  # a figure that is unavailable now may be available next time
                log.exception("System metrics could not be measured", extra={"event": "system_metrics"})
            await asyncio.sleep(self._interval_s)

    def sample(self) -> list[Sample]:
        """Returns all figures. Runs in the executor's thread."""
        interval_s, self._cpu_interval_s = self._cpu_interval_s, None
        return [*_machine(interval_s), *_gpus(self._gpus())]


def _machine(cpu_interval_s: float | None) -> Iterator[Sample]:
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    for name, value in (
        ("CPUUtilization", psutil.cpu_percent(cpu_interval_s)),
        ("DiskAvailable", disk.free / _GIGABYTE),
        ("DiskUsage", disk.used / _GIGABYTE),
        ("DiskUtilization", disk.percent),
        ("MemoryAvailable", memory.available / _MEGABYTE),
        ("MemoryUsed", memory.used / _MEGABYTE),
        ("MemoryUtilization", memory.percent),
    ):
        yield name, (_HOST,), float(value)


def _gpus(figures: Sequence[GpuFigures]) -> Iterator[Sample]:
    for gpu in figures:
        labels = (_HOST, str(gpu.index))
        yield "GPUMemoryUtilization", labels, gpu.memory_percent
        yield "GPUMemoryUsed", labels, gpu.memory_used_bytes / _MEGABYTE
        if gpu.utilization_percent is not None:
            yield "GPUUtilization", labels, gpu.utilization_percent
