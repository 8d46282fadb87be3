"""Finds GPUs and assigns them to workers. Does not use torch, because importing it takes seconds and memory.

GPUs are numbered as a worker will see them: from 0, after CUDA_VISIBLE_DEVICES or its equivalent was applied.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.core.ports import GpuFigures

log = logging.getLogger(__name__)

NO_USAGE = "N/A"
_TOOL_TIMEOUT_S = 10.0
_MIB = 1 << 20

_TOOLS = {"rocm-smi": "amd", "nvidia-smi": "nvidia", "xpu-smi": "intel", "system_profiler": "apple"}
"""Vendors by the command that identifies them, in TorchServe's order."""

_VISIBLE = {"amd": "HIP_VISIBLE_DEVICES", "nvidia": "CUDA_VISIBLE_DEVICES", "intel": "XPU_VISIBLE_DEVICES"}

Handle = Any
"""A vendor library's handle of a device."""


class Devices:
    """The ``count`` GPUs of ``vendor`` (None: there are none), as found by `detect`. ``names``: as the vendor's
    variable names them."""

    def __init__(
        self,
        *,
        vendor: str | None = None,
        count: int = 0,
        usage_of: Callable[[int], str | None] | None = None,
        figures_of: Callable[[int], GpuFigures | None] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.vendor = vendor if count else None
        self.count = count
        self._usage_of = usage_of
        self._figures_of = figures_of
        self._names = names or [str(number) for number in range(count)]
        self._turns = itertools.count()
        self._complained: set[tuple[int, ...]] = set()

    @classmethod
    def detect(cls, limit: int | None = None, *, environ: Mapping[str, str] | None = None) -> Devices:
        """Finds the GPUs of this machine, at most ``limit`` (number_of_gpu)."""
        environ = os.environ if environ is None else environ
        vendor = _vendor()
        physical, usage_of = _PROBES[vendor]() if vendor else (0, None)
        visible = visible_devices(environ.get(_VISIBLE.get(vendor or "", "")), physical)
        count = len(visible) if limit is None else max(0, min(limit, len(visible)))
        if count:
            log.info("%d GPU(s) of %s", count, vendor, extra={"event": "gpus", "count": count, "vendor": vendor})
        return cls(
            names=visible,
            vendor=vendor,
            count=count,
            usage_of=usage_of and (lambda gpu: usage_of(visible[gpu])),
            figures_of=(lambda gpu: _nvidia_figures(gpu, visible[gpu])) if vendor == "nvidia" else None,
        )

    def assign(self, device_ids: Sequence[int] | None = None, *, turn: int | None = None) -> int | None:
        """Assigns a GPU to the next worker, in turn; None: this machine has no GPU.

        ``device_ids``: the only ones to choose from; a list with an id that does not exist is ignored. ``turn``: how
        many workers of the model came before (default: how many of the server).
        """
        if not self.count:
            return None
        pool = self._valid(device_ids)
        return pool[(next(self._turns) if turn is None else turn) % len(pool)]

    def assign_run(self, level: int, device_ids: Sequence[int] | None = None, *, turn: int) -> tuple[int, ...]:
        """Assigns ``level`` consecutive GPUs to the worker after ``turn`` others; none: this machine has no GPU. Starts
        over at the first GPU when too few are left."""
        if not self.count:
            return ()
        pool = self._valid(device_ids)
        first = turn % max(1, len(pool) // level) * level
        return tuple(pool[(first + number) % len(pool)] for number in range(level))

    def shown(self, gpus: Sequence[int]) -> dict[str, str]:
        """Makes the vendor's variable that shows a process only these GPUs, in this order."""
        name = _VISIBLE.get(self.vendor or "")
        return {name: ",".join(self._names[gpu] for gpu in gpus)} if name and gpus else {}

    def _valid(self, device_ids: Sequence[int] | None) -> Sequence[int]:
        everything = range(self.count)
        if not device_ids or all(number in everything for number in device_ids):
            return device_ids or everything
        if tuple(device_ids) not in self._complained:
            self._complained.add(tuple(device_ids))
            log.warning(
                "deviceIds %s are ignored: this machine has GPUs 0 to %d",
                list(device_ids),
                self.count - 1,
                extra={"event": "device_ids_ignored"},
            )
        return everything

    def figures(self) -> list[GpuFigures]:
        """Reads memory and utilisation of each GPU that reports them. Blocks for milliseconds; thread-safe."""
        if self._figures_of is None:
            return []
        return [found for gpu in range(self.count) if (found := self._figures_of(gpu)) is not None]

    def usage(self, gpu_id: int | None) -> str:
        """Formats a GPU's usage as DescribeModel shows it."""
        if gpu_id is None or self._usage_of is None:
            return NO_USAGE
        usage = self._usage_of(gpu_id)
        return NO_USAGE if usage is None else f"gpuId::{gpu_id} {usage}"


def visible_devices(setting: str | None, physical: int) -> list[str]:
    """Lists the devices that CUDA_VISIBLE_DEVICES or its equivalent leaves visible: numbers or identifiers
    (``GPU-...``, ``MIG-...``).

    Ignores everything from the first invalid or repeated entry on, as CUDA does.
    """
    if setting is None:
        return [str(number) for number in range(physical)]
    visible: list[str] = []
    for name in (part.strip() for part in setting.split(",")):
        exists = 0 <= int(name) < physical if name.lstrip("-").isdecimal() else name.startswith(("GPU-", "MIG-"))
        if not exists or name in visible:
            break
        visible.append(name)
    return visible


# ------------------------------------------------------------------------------------------------ vendors

Probe = tuple[int, Callable[[str], str | None] | None]


def _vendor() -> str | None:
    found = next((vendor for tool, vendor in _TOOLS.items() if shutil.which(tool)), None)
    if found in (None, "apple") and _nvml() is not None:  # containers often have the library without the tool
        return "nvidia"
    return found


def _nvml() -> Any | None:
    """Initialises NVIDIA's library; None where there is no driver."""
    try:
        import pynvml  # noqa: PLC0415 - only where it is needed

        pynvml.nvmlInit()
    except Exception:  # it raises its own types; after any of them no NVIDIA GPU can be used
        return None
    return pynvml


def _nvidia() -> Probe:
    nvml = _nvml()
    if nvml is None:
        return 0, None

    def usage_of(device: str) -> str | None:
        try:
            handle = _nvidia_handle(nvml, device)
            rates = nvml.nvmlDeviceGetUtilizationRates(handle)
            used = nvml.nvmlDeviceGetMemoryInfo(handle).used // _MIB
        except nvml.NVMLError:  # e.g. a MIG slice has no utilisation figures
            return None
        return f"utilization.gpu::{rates.gpu} % utilization.memory::{rates.memory} % memory.used::{used} MiB"

    return int(nvml.nvmlDeviceGetCount()), usage_of


def _nvidia_figures(index: int, device: str) -> GpuFigures | None:
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        handle = _nvidia_handle(nvml, device)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return None
    try:
        utilization: float | None = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:  # a MIG slice has none
        utilization = None
    return GpuFigures(
        index=index,
        memory_used_bytes=memory.used,
        memory_percent=memory.used * 100 / memory.total,
        utilization_percent=utilization,
    )


def _nvidia_handle(nvml: Any, device: str) -> Handle:
    if device.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(device))
    return nvml.nvmlDeviceGetHandleByUUID(device)


def _amd() -> Probe:
    return len(_json_of("rocm-smi", "--showid", "--json") or ()), None


def _intel() -> Probe:
    found = _json_of("xpu-smi", "discovery", "-j")
    devices = found.get("device_list", ()) if isinstance(found, dict) else ()
    return len(devices), None


def _apple() -> Probe:
    found = _json_of("system_profiler", "-json", "SPDisplaysDataType")
    displays = found.get("SPDisplaysDataType", ()) if isinstance(found, dict) else ()
    return min(1, len(displays)), None


def _json_of(*command: str) -> Any:
    """Parses the output of a vendor's tool; None if it fails. Runs only when the server starts."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TOOL_TIMEOUT_S, check=True)
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("%s does not report GPUs: %s", command[0], error, extra={"event": "gpu_tool_failed"})
        return None


_PROBES: dict[str, Callable[[], Probe]] = {"nvidia": _nvidia, "amd": _amd, "intel": _intel, "apple": _apple}
