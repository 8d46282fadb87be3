"""Merges what request, archive and settings say about how to serve a model version.  PURE.

Precedence (the first source that has a value wins):
  batch size, batch delay      request, model-config.yaml, setting `models`, default
  response, startup timeout    request, model-config.yaml, setting `models`, setting `default_*_timeout`
  min and max workers          the snapshot that is resumed, model-config.yaml, request, setting `models` (at start),
                               `default_workers_per_model`, one per GPU or else per CPU (at start), none
  handler, runtime             request, manifest (runtime: setting `models`), `default_service_handler`
  everything else              model-config.yaml, setting `models`, default
With the setting `debug` there are no timeouts, and the default at start is one worker.

Invariant: a model that cannot be served as configured is refused here, at registration, and does not fail later.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TypeVar

from stoker import errors
from stoker.archive.manifest import Manifest, handler_is_outside
from stoker.archive.names import shown
from stoker.config import ray_keys
from stoker.config.model_config import ModelConfig
from stoker.config.model_defaults import ModelDefaults
from stoker.config.model_keys import MAX_WORKERS
from stoker.config.ranks import warn_of_unknown
from stoker.config.sequence_names import sequence_names
from stoker.config.settings import Settings
from stoker.core.job import ModelKey
from stoker.core.model import RUNTIMES, ModelSpec
from stoker.core.ports import RegisterRequest
from stoker.core.ranks import Ranks
from stoker.core.remote import RayNeeds
from stoker.core.sequences import SequenceLimits
from stoker.core.tensors import PLAIN
from stoker.registry import names

T = TypeVar("T")
log = logging.getLogger(__name__)

_DEFAULT_BATCH_DELAY_S = 0.1
_DEFAULT_RETRY_TIMEOUT_S = 300.0
_DEFAULT_TARGET_WAIT_S = 0.2
_FOREVER_S = 2.0**31 - 1
_DEFAULT_ASYNC_JOBS = 256


@dataclass(frozen=True, slots=True)
class Machine:
    gpus: int
    cpus: int

    @property
    def processors(self) -> int:
        return self.gpus or self.cpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All inputs. ``workers``: minimum and maximum of a model that is resumed. ``fewest_workers``: minimum of a
    workflow's node, whose maximum is the request's ``initial_workers``. ``fallback_name``: for a manifest without a
    name, if the model is loaded at start."""

    request: RegisterRequest
    manifest: Manifest
    config: ModelConfig
    settings: Settings
    machine: Machine
    at_startup: bool = False
    workers: tuple[int, int] | None = None
    fewest_workers: int | None = None
    fallback_name: str | None = None


def model_spec(sources: Sources, *, url: str, model_dir: str) -> ModelSpec:
    """``url``: without credentials, because clients see it. Raises BadRequest, InvalidArchive, MissingDevices."""
    request, settings = sources.request, sources.settings
    key, defaults, handler, runtime = _identity(sources)
    config = sources.config.over(defaults)
    _check_supported(config)
    _check_yaml_workers(sources.config)
    autoscale = _first(config.autoscale, settings.autoscaling == "on")
    ray = _ray(config, settings)
    min_workers, max_workers = _worker_bounds(sources, defaults, autoscale, 1 if ray else sources.machine.processors)
    ranks = config.ranks
    warn_of_unknown(config.torchrun)
    device_type = _device_type(config, sources.machine, ray)
    device_ids = _device_ids(config, device_type, sources.machine, ray)
    if ranks is not None and device_type == "gpu" and ray is None:
        most = _workers_for(ranks, len(device_ids or ()) or sources.machine.gpus)
        min_workers, max_workers = min(min_workers, most), min(max_workers, most)
    return ModelSpec(
        key=key,
        url=url,
        model_dir=model_dir,
        handler=handler,
        envelope=settings.service_envelope,
        runtime=runtime,
        batch_size=_first(request.batch_size or None, config.batch_size, 1),
        max_batch_delay_s=_first(request.max_batch_delay_s, config.max_batch_delay_s, _DEFAULT_BATCH_DELAY_S),
        min_workers=min_workers,
        max_workers=max_workers,
        response_timeout_s=_timeout(
            settings, request.response_timeout_s, config.response_timeout_s, settings.default_response_timeout_s
        ),
        startup_timeout_s=_timeout(
            settings, request.startup_timeout_s, config.startup_timeout_s, settings.default_startup_timeout_s
        ),
        max_retry_timeout_s=_first(config.max_retry_timeout_s, _DEFAULT_RETRY_TIMEOUT_S),
        client_timeout_s=_first(config.client_timeout_s, 0.0),
        job_queue_size=_first(config.job_queue_size, settings.job_queue_size),
        batching=_batching(config),
        stream_batching=_first(config.stream_batching, False),
        continuous=_first(config.continuous_batching, False),
        async_jobs=_first(config.async_concurrency, _DEFAULT_ASYNC_JOBS) if config.async_communication else 0,
        job_tickets=_first(config.use_job_ticket, False),
        share_weights=_shares_weights(config, ray),
        use_venv=_first(config.use_venv, False),
        ray=ray,
        device_type=device_type,
        device_ids=device_ids,
        ranks=ranks,
        loaded_at_startup=sources.at_startup,
        tensors=_first(config.tensors, PLAIN),
        sequences=_sequences(config, settings),
        autoscale=autoscale,
        autoscale_target_wait_s=_first(config.autoscale_target_wait_s, _DEFAULT_TARGET_WAIT_S),
        unload_after_s=_first(config.unload_after_s, 0.0),
        warm_up=config.warm_up,
        yaml_config=config.raw,
    )


def check_workers(min_workers: int, max_workers: int) -> None:
    """Raises BadRequest."""
    if min_workers < 0:
        raise errors.BadRequest("min_worker cannot be less than 0.")
    if max_workers < min_workers:
        raise errors.BadRequest("max_worker cannot be less than min_worker.")
    if min_workers > MAX_WORKERS:
        raise errors.BadRequest(f"One model cannot have more than {MAX_WORKERS} workers.")


# ------------------------------------------------------------------------------------------- single values


def _identity(sources: Sources) -> tuple[ModelKey, ModelDefaults, str, str]:
    """Returns name and version, their entry in the setting `models`, handler, runtime."""
    request, settings = sources.request, sources.settings
    manifest = sources.manifest.effective(
        model_name=request.model_name,
        handler=request.handler,
        runtime=request.runtime,
        default_model_name=sources.fallback_name,
        default_handler=settings.default_service_handler,
    )
    assert manifest.model_name is not None  # `effective` promises it
    key = ModelKey(manifest.model_name, manifest.model_version)
    defaults = settings.models.get(key.name, {}).get(key.version, ModelDefaults())
    if manifest.handler is None:
        raise errors.InvalidArchive("Model handler is not defined.")
    return key, defaults, manifest.handler, _runtime(request.runtime or defaults.runtime or manifest.runtime)


def _runtime(runtime: str | None) -> str:
    if runtime not in RUNTIMES:
        raise errors.BadRequest(f"Invalid RuntimeType value: {runtime}")
    if runtime == "LSP":
        raise errors.BadRequest("Runtime LSP (the C++ backend) is not supported by this server.")
    return runtime


def _first(*values: T | None) -> T:
    """Returns the first value that is not None; the last one never is."""
    return next(value for value in values if value is not None)


def _timeout(settings: Settings, *values: float | None) -> float:
    """Returns the timeout: the first of ``values``, or none with the setting `debug`."""
    return _FOREVER_S if settings.debug else _first(*values)


def _worker_bounds(sources: Sources, defaults: ModelDefaults, may_sleep: bool, processors: int) -> tuple[int, int]:
    """Returns minimum and maximum. ``may_sleep``: model-config.yaml may set a minimum of 0. ``processors``: the default
    at start."""
    config, settings = sources.config, sources.settings
    if sources.workers is not None:
        check_workers(*sources.workers)
        return sources.workers
    if config.min_workers is not None and config.max_workers is not None:
        return max(config.min_workers, 0 if may_sleep else 1), config.max_workers
    if (given := sources.request.initial_workers) is not None:
        return (given if sources.fewest_workers is None else min(sources.fewest_workers, given)), given
    if sources.at_startup and defaults.min_workers is not None:
        return defaults.min_workers, max(defaults.min_workers, defaults.max_workers or 0)
    count = settings.default_workers_per_model
    if sources.at_startup and settings.debug:
        count = 1
    elif sources.at_startup and not count:
        count = processors
    return count, count


def _batching(config: ModelConfig) -> str:
    if config.use_job_ticket and config.batching == "fixed":
        log.warning("batching: fixed is ignored: with useJobTicket no request waits")
        return "adaptive"
    return _first(config.batching, "adaptive")


def _device_type(config: ModelConfig, machine: Machine, ray: RayNeeds | None) -> str:
    if ray is not None:
        return "gpu" if ray.gpus else "cpu"
    return "gpu" if machine.gpus and config.device_type != "cpu" else "cpu"


def _device_ids(
    config: ModelConfig, device_type: str, machine: Machine, ray: RayNeeds | None
) -> tuple[int, ...] | None:
    """Returns the configured ids; ignores a list with an id that does not exist, as TorchServe does."""
    if not config.device_ids or device_type == "cpu":
        return None
    if ray is not None:
        log.warning("deviceIds is ignored: Ray chooses the devices of workers that it places")
        return None
    if all(0 <= number < machine.gpus for number in config.device_ids):
        return tuple(config.device_ids)
    log.warning("deviceIds %s are ignored: there are %d GPUs", list(config.device_ids), machine.gpus)
    return None


def _ray(config: ModelConfig, settings: Settings) -> RayNeeds | None:
    """Returns what the workers need from the Ray cluster; None: they are local. Raises InvalidArchive."""
    if _first(config.placement, settings.worker_placement) == "local":
        if config.ray_resources is not None or config.ray_spread is not None:
            log.warning("rayResources and raySpread are ignored: workers are on the server's machine")
        return None
    if not settings.uses_ray:
        raise _invalid("placement: ray needs the server's setting ray_address.")
    if config.use_venv:
        raise _invalid("useVenv and placement: ray exclude each other: a virtual environment cannot move to a node.")
    return ray_keys.placement(
        config.ray_resources, config.ray_spread, device_type=config.device_type, ranks=config.ranks
    )


def _shares_weights(config: ModelConfig, ray: RayNeeds | None) -> bool:
    if config.share_weights and ray is not None:
        log.warning("shareWeights is ignored: each worker that Ray places loads the model itself")
        return False
    return _first(config.share_weights, False)


def _workers_for(ranks: Ranks, gpus: int) -> int:
    """Returns how many workers fit on ``gpus`` GPUs. Raises MissingDevices: none does."""
    if (most := gpus // ranks.level) == 0:
        raise errors.MissingDevices()
    return most


def _sequences(config: ModelConfig, settings: Settings) -> SequenceLimits | None:
    if not config.sequence_batching or config.sequence_max_idle_s is None:
        return None
    return SequenceLimits(
        max_idle_s=config.sequence_max_idle_s,
        max_life_s=_first(config.sequence_timeout_s, 0.0),
        most=_first(config.max_num_sequence, 1),
        waiting=_first(config.max_sequence_job_queue_size, 1),
        refuse_unknown=config.sequence_unknown == "refuse",
        names=sequence_names(settings),
    )


# ------------------------------------------------------------------------------------------------- refusals


def check_request(request: RegisterRequest) -> None:
    """Checks what can be checked before anything is fetched. Raises BadRequest."""
    if not request.url:
        raise errors.BadRequest("Parameter url is required.")
    if request.model_name:
        names.check_requested(request.model_name)
    if request.handler and handler_is_outside(request.handler):
        raise errors.BadRequest(
            f"handler names a file outside the model's directory: {shown(request.handler)}. "
            "The setting default_service_handler may."
        )
    if request.runtime:
        _runtime(request.runtime)
    for name in ("batch_size", "max_batch_delay_s", "initial_workers", "response_timeout_s", "startup_timeout_s"):
        value = getattr(request, name)
        if value is not None and value < 0:
            raise errors.BadRequest(f"{name.removesuffix('_s')} cannot be less than 0.")
    check_workers(request.initial_workers or 0, request.initial_workers or 0)


def _check_supported(config: ModelConfig) -> None:
    """Refuses keys that contradict each other: ignoring one of them could give wrong answers."""
    if config.contradiction is not None:
        raise _invalid(config.contradiction)


def _check_yaml_workers(config: ModelConfig) -> None:
    fewest, most = config.min_workers, config.max_workers
    if fewest is None or most is None:
        if fewest is not most:
            log.warning("minWorkers and maxWorkers are ignored: only one of them is given")
        return
    if most < fewest:
        raise _invalid(f"maxWorkers ({most}) is less than minWorkers ({fewest}).")


def _invalid(sentence: str) -> errors.InvalidArchive:
    return errors.InvalidArchive(f"model-config.yaml: {sentence}")
