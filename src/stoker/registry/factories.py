"""Makes factories for the scheduler and the worker pool of a model version, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stoker.config.sequence_names import sequence_names, worker_environment
from stoker.config.settings import Settings
from stoker.core.clock import Clock
from stoker.core.model import ModelSpec
from stoker.core.ports import ModelTelemetryOf, SchedulerPort
from stoker.pool.busy import BusyWorkers
from stoker.pool.devices import Devices
from stoker.pool.ids import WorkerIds
from stoker.pool.pool import WorkerPool
from stoker.pool.remote.placement import Placement
from stoker.pool.spawning import WorkerOptions, usable_cores
from stoker.registry.entry import PoolFactory, SchedulerFactory
from stoker.scheduling.scheduler import Scheduler


def scheduler_factory(settings: Settings, clock: Clock, telemetry: ModelTelemetryOf) -> SchedulerFactory:
    def make(spec: ModelSpec) -> Scheduler:
        return Scheduler(
            spec,
            clock=clock,
            stream_window_bytes=settings.stream_window,
            stream_stall_timeout_s=settings.stream_stall_timeout_s,
            torchserve_give_up=_give_up(settings),
            max_response_bytes=settings.max_response_size,
            counters=telemetry(spec.key).counters,
        )

    return make


def pool_factory(
    settings: Settings,
    devices: Devices,
    clock: Clock,
    telemetry: ModelTelemetryOf,
    placement: Placement | None = None,
) -> PoolFactory:
    """Returns a factory whose pools share worker ids, devices, cores and ``placement``."""
    options = worker_options(settings)
    ids = WorkerIds(settings.initial_worker_port)
    busy = BusyWorkers(usable_cores())

    def make(spec: ModelSpec, *, scheduler: SchedulerPort, python: str, on_change: Callable[[], None]) -> WorkerPool:
        return WorkerPool(
            spec,
            scheduler=scheduler,
            options=replace(options, python=python),
            devices=devices,
            ids=ids,
            busy=busy,
            on_change=on_change,
            clock=clock,
            telemetry=telemetry(spec.key),
            placement=placement,
        )

    return make


def worker_options(settings: Settings) -> WorkerOptions:
    options = WorkerOptions(
        python=settings.python,
        limit_max_image_pixels=settings.limit_max_image_pixels,
        decode_input_request=settings.decode_input_request,
        max_response_bytes=settings.max_response_size,
        stream_window_bytes=settings.stream_window,
        poll_us=settings.worker_poll_us,
        give_up=_give_up(settings),
        template=settings.worker_template,
        blacklist_env_vars=settings.blacklist_env_vars,
        extra_env={**_ipex(settings), **worker_environment(sequence_names(settings))},
        metrics_config=_metrics_config(settings),
        compile_cache=settings.compile_cache,
    )
    home = settings.model_server_home
    return options if home is None else replace(options, server_home=home)


def _metrics_config(settings: Settings) -> str | None:
    """Returns the metrics file; None if it is missing: a missing file does not keep workers from loading."""
    file = settings.metrics_config
    return str(file) if file is not None and file.exists() else None


def _ipex(settings: Settings) -> dict[str, str]:
    switches = {"TS_IPEX_ENABLE": settings.ipex_enable, "TS_IPEX_GPU_ENABLE": settings.ipex_gpu_enable}
    return {name: "true" for name, on in switches.items() if on}


def _give_up(settings: Settings) -> bool:
    return settings.worker_give_up == "torchserve"
