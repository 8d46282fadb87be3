"""Figures of the machine and of processes, as TorchServe's collector script prints them (`ts.metrics.system_metrics`,
`process_memory_metric`, `metric_collector`).  For users' scripts and tests; the server samples in its own process.

It reads GPUs through the driver's library and never imports torch.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TextIO

import psutil

from stoker.worker.metrics_legacy import Metric
from stoker.worker.metrics_types import Dimension

log = logging.getLogger(__name__)

system_metrics: list[Metric] = []
dimension = [Dimension("Level", "Host")]

_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30
_COLLECTORS = (
    "cpu_utilization",
    "disk_available",
    "disk_used",
    "disk_utilization",
    "memory_available",
    "memory_used",
    "memory_utilization",
)


def cpu_utilization() -> None:
    """Measures percent since the previous call in this process."""
    _add("CPUUtilization", psutil.cpu_percent(), "percent")


def memory_used() -> None:
    _add("MemoryUsed", psutil.virtual_memory().used / _MEGABYTE, "MB")


def memory_available() -> None:
    _add("MemoryAvailable", psutil.virtual_memory().available / _MEGABYTE, "MB")


def memory_utilization() -> None:
    _add("MemoryUtilization", psutil.virtual_memory().percent, "percent")


def disk_used() -> None:
    _add("DiskUsage", psutil.disk_usage("/").used / _GIGABYTE, "GB")


def disk_utilization() -> None:
    _add("DiskUtilization", psutil.disk_usage("/").percent, "percent")


def disk_available() -> None:
    _add("DiskAvailable", psutil.disk_usage("/").free / _GIGABYTE, "GB")


def collect_gpu_metrics(num_of_gpu: int) -> None:
    """Measures utilisation and memory of the first ``num_of_gpu`` NVIDIA GPUs; none if the driver does not answer."""
    if num_of_gpu <= 0:
        return
    import pynvml  # noqa: PLC0415 - only where there are GPUs

    try:
        with _nvml(pynvml):
            for index in range(num_of_gpu):
                _add_gpu(pynvml, index)
    except pynvml.NVMLError as error:
        log.warning("GPU figures are not available: %s", error)


gpu_utilization = collect_gpu_metrics


def collect_all(mod: ModuleType, num_of_gpu: int) -> None:
    """Runs every collector of ``mod`` and prints one line per metric, then an empty line."""
    for name in _COLLECTORS:
        collect: Callable[[], None] = getattr(mod, name)
        collect()
    mod.collect_gpu_metrics(num_of_gpu)
    for metric in mod.system_metrics:
        sys.stdout.write(f"{metric}\n")
    sys.stdout.write("\n")
    sys.stdout.flush()
    mod.system_metrics.clear()


def get_cpu_usage(pid: int | str) -> int:
    """Returns resident memory of a process in bytes (the name is TorchServe's), 0 when it is gone."""
    try:
        return int(psutil.Process(int(pid)).memory_info().rss)
    except (psutil.Error, ValueError) as error:
        log.error("No memory figure for process %s: %s", pid, error)
        return 0


def check_process_mem_usage(stdin: TextIO) -> None:
    """Reads process ids, separated by commas, and prints ``<pid>:<bytes>`` for each."""
    for pid in filter(None, (each.strip() for each in stdin.readline().split(","))):
        sys.stdout.write(f"{pid}:{get_cpu_usage(pid)}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the collector script."""
    parser = argparse.ArgumentParser(description="Prints figures of this machine and of the processes given on stdin.")
    parser.add_argument("--gpu", type=int, default=0, help="number of GPUs to report")
    options = parser.parse_args(arguments)
    collect_all(sys.modules[__name__], options.gpu)
    check_process_mem_usage(sys.stdin)


def _add(name: str, value: float, unit: str, labels: Sequence[Dimension] | None = None) -> None:
    system_metrics.append(Metric(name, value, unit, labels or dimension))


@contextmanager
def _nvml(pynvml: Any) -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _add_gpu(pynvml: Any, index: int) -> None:
    labels = [*dimension, Dimension("device_id", index)]
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    _add("GPUMemoryUtilization", memory.used * 100 / memory.total, "percent", labels)
    _add("GPUMemoryUsed", memory.used / _MEGABYTE, "MB", labels)
    _add("GPUUtilization", pynvml.nvmlDeviceGetUtilizationRates(handle).gpu, "percent", labels)
