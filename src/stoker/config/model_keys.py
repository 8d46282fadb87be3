"""Lists everything that can be configured per model: ONE table of keys for model-config.yaml, some also for `models`.
PURE.

A converter takes a parsed value (of YAML or JSON) and returns it in our units, `None` for 'not given', or raises
`ValueError` with what was expected (`OutOfRange` for a number of more than 32 bits).  Times become seconds.  Other
modules give the keys their effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from stoker.config import open_inference, ray_keys
from stoker.config import ranks as rank_keys
from stoker.config import warm_up as warm_up_key
from stoker.core.ranks import Ranks
from stoker.core.tensors import TensorInterface
from stoker.core.warm_up import WarmUp


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelValues:
    """Values given for a model. ``None``: not given, or ignored. Times are seconds."""

    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay_s: float | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    max_retry_timeout_s: float | None = None
    client_timeout_s: float | None = None
    job_queue_size: int | None = None
    device_type: str | None = None
    device_ids: tuple[int, ...] | None = None
    batching: str | None = None
    stream_batching: bool | None = None
    share_weights: bool | None = None
    use_venv: bool | None = None
    parallel_type: str | None = None
    parallel_level: int | None = None
    torchrun: Mapping[str, Any] | None = None
    use_job_ticket: bool | None = None
    continuous_batching: bool | None = None
    sequence_batching: bool | None = None
    sequence_max_idle_s: float | None = None
    sequence_timeout_s: float | None = None
    max_sequence_job_queue_size: int | None = None
    max_num_sequence: int | None = None
    sequence_unknown: str | None = None
    async_communication: bool | None = None
    async_concurrency: int | None = None
    tensors: TensorInterface | None = None
    autoscale: bool | None = None
    autoscale_target_wait_s: float | None = None
    unload_after_s: float | None = None
    warm_up: WarmUp | None = None
    placement: str | None = None
    ray_resources: Mapping[str, float] | None = None
    ray_spread: bool | None = None

    @property
    def contradiction(self) -> str | None:
        """Returns why these values cannot be served together."""
        if self.async_communication and (self.sequence_batching or self.continuous_batching):
            other = "sequenceBatching" if self.sequence_batching else "continuousBatching"
            return f"{other} and asyncCommunication call a handler in different ways: choose one."
        if self.async_communication and self.share_weights:
            return "shareWeights and asyncCommunication exclude each other: an event loop cannot be forked."
        if self.warm_up and (state := self._keeps_state):
            return f"warmUp and {state} exclude each other: let the handler warm up in initialize()."
        if self.sequence_batching and self.sequence_max_idle_s is None:
            return "sequenceBatching needs sequenceMaxIdleMSec, which must be more than 0."
        return None if self.ranks is None else self._refused_ranks(self.ranks)

    @property
    def _keeps_state(self) -> str | None:
        """Names what makes calls of the handler depend on each other, or on other processes."""
        several = self.ranks is not None and self.ranks.processes > 1
        named: dict[str, bool | None] = {
            "asyncCommunication": self.async_communication,
            "continuousBatching": self.continuous_batching,
            "sequenceBatching": self.sequence_batching,
            "several ranks": several,
        }
        return next((name for name, on in named.items() if on), None)

    def _refused_ranks(self, ranks: Ranks) -> str | None:
        if ranks.processes > 1 and (self.async_communication or self.continuous_batching):
            other = "asyncCommunication" if self.async_communication else "continuousBatching"
            return f"{other} and several ranks exclude each other: all ranks run the same batches, one after the other."
        if self.share_weights:
            return "shareWeights and parallelType exclude each other: a worker with several devices is not forked."
        return rank_keys.refusal(ranks, self.torchrun)

    @property
    def ranks(self) -> Ranks | None:
        """How each worker is spread over devices and processes; None: it is not."""
        return rank_keys.ranks_of(self.parallel_type, self.parallel_level, self.torchrun)


T = TypeVar("T", bound=ModelValues)

MAX_WORKERS = 4096
_SMALLEST, _LARGEST = -(2**31), 2**31 - 1


def over(values: T, fallback: ModelValues) -> dict[str, Any]:
    """Returns, per field, what ``values`` sets, else what ``fallback`` sets."""
    own = {key.field: getattr(values, key.field) for key in MODEL_KEYS}
    return {field: getattr(fallback, field) if value is None else value for field, value in own.items()}


class OutOfRange(ValueError):
    """A number out of any server's range: an error, where a value of a wrong type is only ignored."""


class Unusable(OutOfRange):
    """A section that only stoker reads, and that contradicts itself or is not understood."""


# ------------------------------------------------------------------------------------- converters


def _count(value: Any) -> int:
    return max(1, _whole(value))


def _workers(value: Any) -> int:
    check_workers(count := 0 if _whole(value) == 0 else _count(value))
    return count


def check_workers(count: int) -> None:
    """Checks the number of workers. Raises OutOfRange."""
    if count > MAX_WORKERS:
        raise OutOfRange(f"{count} is out of range: more than {MAX_WORKERS}")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("not a whole number")
    if not _SMALLEST <= value <= _LARGEST:
        shown = str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
        limit = f"less than {_SMALLEST}" if value < 0 else f"more than {_LARGEST}"
        raise OutOfRange(f"{shown} is out of range: {limit}")
    return value


def _positive(value: Any) -> int | None:
    """Converts a number; 0 means 'not given'."""
    if _whole(value) < 0:
        raise ValueError("less than 0")
    return _whole(value) or None


def _seconds(value: Any) -> float | None:
    whole = _positive(value)
    return None if whole is None else float(whole)


def _milliseconds(value: Any) -> float | None:
    whole = _positive(value)
    return None if whole is None else whole / 1000.0


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _word(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"none of: {', '.join(words)}")
        return value.strip().lower()

    return convert


def _device_ids(value: Any) -> tuple[int, ...]:
    """Converts a list of numbers; one invalid number discards the whole list."""
    if not isinstance(value, list) or any(_whole(v) < 0 for v in value):
        raise ValueError("not a list of device numbers")
    return tuple(value)


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a map of keys")
    return value


def _own(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Converts a key that only stoker reads: there what is not understood is an error."""

    def strictly(value: Any) -> Any:
        try:
            return convert(value)
        except ValueError as error:
            raise Unusable(str(error)) from None

    return strictly


# ------------------------------------------------------------------------------------------ the table


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """``ours``: unknown to TorchServe."""

    name: str
    field: str
    convert: Callable[[Any], Any]
    kind: str
    default_text: str
    meaning: str
    unit: str = ""
    ours: bool = False


def _row(
    name: str,
    field: str,
    convert: Callable[[Any], Any],
    kind: str,
    default_text: str,
    meaning: str,
    **declared: Any,
) -> ModelRow:
    return ModelRow(
        name=name, field=field, convert=convert, kind=kind, default_text=default_text, meaning=meaning, **declared
    )


MODEL_KEYS: tuple[ModelRow, ...] = (
    _row(
        "minWorkers",
        "min_workers",
        _workers,
        "number",
        "-",
        "fewest workers; needs maxWorkers; 0 counts as 1 without autoscale",
    ),
    _row("maxWorkers", "max_workers", _positive, "number", "-", "most workers; needs minWorkers"),
    _row(
        "autoscale",
        "autoscale",
        _switch,
        "true, false",
        "autoscaling",
        "change the number of workers between minWorkers and maxWorkers as the load needs; see "
        "[autoscaling.md](autoscaling.md)",
        ours=True,
    ),
    _row(
        "autoscaleTargetWaitMs",
        "autoscale_target_wait_s",
        _milliseconds,
        "number",
        "200",
        "with autoscale: how long requests may wait in the queue",
        unit="ms",
        ours=True,
    ),
    _row(
        "unloadAfterMs",
        "unload_after_s",
        _milliseconds,
        "number",
        "never",
        "with autoscale: after this time without a request all workers stop when memory is short (memory_low_percent)",
        unit="ms",
        ours=True,
    ),
    _row("batchSize", "batch_size", _count, "number", "1", "most requests per call of the handler"),
    _row(
        "maxBatchDelay",
        "max_batch_delay_s",
        _milliseconds,
        "number",
        "100",
        "longest wait for a batch to fill; with adaptive batching an idle worker never waits",
        unit="ms",
    ),
    _row(
        "responseTimeout",
        "response_timeout_s",
        _seconds,
        "number",
        "default_response_timeout",
        "longest time for one batch; then the worker is restarted",
        unit="s",
    ),
    _row(
        "startupTimeout",
        "startup_timeout_s",
        _seconds,
        "number",
        "default_startup_timeout",
        "longest time for a worker to become ready; then it is restarted",
        unit="s",
    ),
    _row(
        "maxRetryTimeoutInSec",
        "max_retry_timeout_s",
        _seconds,
        "number",
        "300",
        "with worker_give_up=torchserve: how long a failing worker is restarted",
        unit="s",
    ),
    _row(
        "clientTimeoutInMills",
        "client_timeout_s",
        _milliseconds,
        "number",
        "none",
        "longest life of a request",
        unit="ms",
    ),
    _row("jobQueueSize", "job_queue_size", _positive, "number", "job_queue_size", "most waiting requests"),
    _row("deviceType", "device_type", _word("cpu", "gpu"), "cpu, gpu", "gpu if there is one", "device of the workers"),
    _row("deviceIds", "device_ids", _device_ids, "list of numbers", "all", "GPUs of the workers, in turn"),
    _row("useVenv", "use_venv", _switch, "true, false", "false", "give the model a virtual environment of its own"),
    _row(
        "batching",
        "batching",
        _word("adaptive", "fixed"),
        "adaptive, fixed",
        "adaptive",
        "fixed: always wait for a full batch or for maxBatchDelay, as TorchServe does",
        ours=True,
    ),
    _row(
        "streamBatching",
        "stream_batching",
        _switch,
        "true, false",
        "false",
        "let streaming requests share a batch",
        ours=True,
    ),
    _row(
        "shareWeights",
        "share_weights",
        _switch,
        "true, false",
        "false",
        "initialize the handler once and fork the workers from that process",
        ours=True,
    ),
    _row(
        "parallelType",
        "parallel_type",
        _word("pp", "tp", "pptp", "custom"),
        "pp, tp, pptp, custom",
        "none",
        "spread each worker over several devices, with a process for each (custom: one for all); see "
        "[ranks.md](ranks.md)",
    ),
    _row("parallelLevel", "parallel_level", _whole, "number", "0", "devices per worker; needs parallelType"),
    _row(
        "torchrun",
        "torchrun",
        _map,
        "map",
        "-",
        "nproc-per-node is parallelLevel, OMP_NUMBER_THREADS the threads of a rank",
    ),
    _row(
        "useJobTicket",
        "use_job_ticket",
        _switch,
        "true, false",
        "false",
        "refuse a request that no worker can begin at once, instead of queueing it",
    ),
    _row(
        "continuousBatching",
        "continuous_batching",
        _switch,
        "true, false",
        "false",
        "let requests join and leave the batch between two calls of a handler made for it",
    ),
    _row(
        "sequenceBatching",
        "sequence_batching",
        _switch,
        "true, false",
        "false",
        "send the requests of one sequence to one worker, in order; see [sequences.md](sequences.md)",
    ),
    _row(
        "sequenceMaxIdleMSec",
        "sequence_max_idle_s",
        _milliseconds,
        "number",
        "none",
        "how long a sequence may stay idle; needed with sequenceBatching",
        unit="ms",
    ),
    _row(
        "sequenceTimeoutMSec",
        "sequence_timeout_s",
        _milliseconds,
        "number",
        "none",
        "longest life of a sequence; one that is busy may live longer",
        unit="ms",
    ),
    _row(
        "maxSequenceJobQueueSize",
        "max_sequence_job_queue_size",
        _positive,
        "number",
        "1",
        "most waiting requests per sequence",
    ),
    _row("maxNumSequence", "max_num_sequence", _positive, "number", "1", "most sequences at the same time"),
    _row(
        "sequenceUnknown",
        "sequence_unknown",
        _word("open", "refuse"),
        "open, refuse",
        "open",
        "refuse: a request with an unknown id is refused unless it has the start flag",
        ours=True,
    ),
    _row(
        "asyncCommunication",
        "async_communication",
        _switch,
        "true, false",
        "false",
        "call an asynchronous handler with many requests at once; see [async-handlers.md](async-handlers.md)",
    ),
    _row(
        "asyncConcurrency",
        "async_concurrency",
        _count,
        "number",
        "256",
        "with asyncCommunication: most requests that a worker has at a time",
        ours=True,
    ),
    _row(
        "openInference",
        "tensors",
        _own(open_inference.interface),
        "map",
        "-",
        "tensors that the model takes and gives; see [open-inference.md](open-inference.md)",
        ours=True,
    ),
    _row(
        "warmUp",
        "warm_up",
        _own(warm_up_key.warm_up),
        "file, or map of request and batchSizes",
        "-",
        "a request that each worker answers before it is ready, in batches of 1 and batchSize; see "
        "[performance.md](performance.md#what-to-tune)",
        ours=True,
    ),
    _row(
        "placement",
        "placement",
        _own(_word(*ray_keys.PLACES)),
        "local, ray",
        "worker_placement",
        "where workers run: on the server's machine, or on nodes of a Ray cluster; see [ray.md](ray.md)",
        ours=True,
    ),
    _row(
        "rayResources",
        "ray_resources",
        _own(ray_keys.resources),
        "map",
        "CPU: 1, and GPU: 1 with deviceType gpu",
        "with placement ray: what each process of a worker takes: CPU, GPU, memory (bytes, or 2g), the cluster's own",
        ours=True,
    ),
    _row(
        "raySpread",
        "ray_spread",
        _own(_switch),
        "true, false",
        "true; false with parallelType",
        "with placement ray: spread workers, or the ranks of a worker, over the nodes instead of filling a few",
        ours=True,
    ),
)
"""Every key of a model, in the order of the reference."""

BY_NAME: Mapping[str, ModelRow] = {key.name: key for key in MODEL_KEYS}
