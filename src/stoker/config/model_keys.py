"""Lists everything that can be configured per model: ONE table of keys for model-config.yaml, some also for `models`.
PURE.

A converter takes a parsed value (of YAML or JSON) and returns it in our units, `None` for 'not given', or raises
`ValueError` with what was expected (`OutOfRange` for a number of more than 32 bits).  Times become seconds.  Other
modules give the keys their effect.
"""

# ruff: noqa: RUF009 - `_key()` is a dataclass field specifier, as `field()` is
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, TypeVar

from stoker.config import open_inference, ray_keys
from stoker.config import ranks as rank_keys
from stoker.config import warm_up as warm_up_key
from stoker.core.ranks import Ranks
from stoker.core.tensors import TensorInterface
from stoker.core.warm_up import WarmUp

MAX_WORKERS = 4096
_SMALLEST, _LARGEST = -(2**31), 2**31 - 1


class OutOfRange(ValueError):
    """A number that is too large or too small: it refuses the model; a value of the wrong type is only ignored."""


class Unusable(OutOfRange):
    """An invalid value of a key that only stoker reads: it refuses the model, too."""


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


def _device_ids(value: Any) -> tuple[int, ...]:
    """Converts a list of numbers; one invalid number discards the whole list."""
    if not isinstance(value, list) or any(_whole(v) < 0 for v in value):
        raise ValueError("not a list of device numbers")
    return tuple(value)


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a map of keys")
    return value


# ------------------------------------------------------------------------------------------ the table


class Kind(NamedTuple):
    """A type of value. ``shown``: what may be given, in words."""

    convert: Callable[[Any], Any]
    shown: str
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A key. ``ours``: unknown to TorchServe."""

    name: str
    field: str
    convert: Callable[[Any], Any]
    kind: str
    default_text: str
    meaning: str
    unit: str = ""
    ours: bool = False


def _key(name: str, kind: Kind, default_text: str, meaning: str, *, ours: bool = False) -> Any:
    """Declares a field with its row."""
    row = partial(
        ModelRow,
        name=name,
        convert=kind.convert,
        kind=kind.shown,
        unit=kind.unit,
        default_text=default_text,
        meaning=meaning,
        ours=ours,
    )
    return field(default=None, metadata={"row": row})


def _word(*words: str) -> Kind:
    def convert(value: Any) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"not one of: {', '.join(words)}")
        return value.strip().lower()

    return Kind(convert, ", ".join(words))


def _strict(kind: Kind) -> Kind:
    """Makes a kind for keys that only stoker reads: a value that it cannot convert is an error, not ignored."""

    def convert(value: Any) -> Any:
        try:
            return kind.convert(value)
        except ValueError as error:
            raise Unusable(str(error)) from None

    return kind._replace(convert=convert)


_COUNT = Kind(_count, "number")
_WORKERS = Kind(_workers, "number")
_WHOLE = Kind(_whole, "number")
_POSITIVE = Kind(_positive, "number")
_SECONDS = Kind(_seconds, "number", "s")
_MILLISECONDS = Kind(_milliseconds, "number", "ms")
_SWITCH = Kind(_switch, "true, false")
_MAP = Kind(_map, "map")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelValues:
    """Values given for a model. ``None``: not given, or ignored. Times are seconds."""

    min_workers: int | None = _key(
        "minWorkers", _WORKERS, "-", "fewest workers; needs maxWorkers; 0 counts as 1 without autoscale"
    )
    max_workers: int | None = _key("maxWorkers", _POSITIVE, "-", "most workers; needs minWorkers")
    autoscale: bool | None = _key(
        "autoscale",
        _SWITCH,
        "autoscaling",
        "change the number of workers between minWorkers and maxWorkers as the load needs; see "
        "[autoscaling.md](autoscaling.md)",
        ours=True,
    )
    autoscale_target_wait_s: float | None = _key(
        "autoscaleTargetWaitMs",
        _MILLISECONDS,
        "200",
        "with autoscale: how long requests may wait in the queue",
        ours=True,
    )
    unload_after_s: float | None = _key(
        "unloadAfterMs",
        _MILLISECONDS,
        "never",
        "with autoscale: after this time without a request all workers stop when memory is short (memory_low_percent)",
        ours=True,
    )
    batch_size: int | None = _key("batchSize", _COUNT, "1", "most requests per call of the handler")
    max_batch_delay_s: float | None = _key(
        "maxBatchDelay",
        _MILLISECONDS,
        "100",
        "longest wait for a batch to fill; with adaptive batching an idle worker never waits",
    )
    response_timeout_s: float | None = _key(
        "responseTimeout",
        _SECONDS,
        "default_response_timeout",
        "longest time for one batch; then the worker is restarted",
    )
    startup_timeout_s: float | None = _key(
        "startupTimeout",
        _SECONDS,
        "default_startup_timeout",
        "longest time for a worker to become ready; then it is restarted",
    )
    max_retry_timeout_s: float | None = _key(
        "maxRetryTimeoutInSec",
        _SECONDS,
        "300",
        "with worker_give_up=torchserve: how long a failing worker is restarted",
    )
    client_timeout_s: float | None = _key("clientTimeoutInMills", _MILLISECONDS, "none", "longest life of a request")
    job_queue_size: int | None = _key("jobQueueSize", _POSITIVE, "job_queue_size", "most waiting requests")
    device_type: str | None = _key("deviceType", _word("cpu", "gpu"), "gpu if there is one", "device of the workers")
    device_ids: tuple[int, ...] | None = _key(
        "deviceIds", Kind(_device_ids, "list of numbers"), "all", "GPUs of the workers, in turn"
    )
    use_venv: bool | None = _key("useVenv", _SWITCH, "false", "give the model a virtual environment of its own")
    batching: str | None = _key(
        "batching",
        _word("adaptive", "fixed"),
        "adaptive",
        "fixed: always wait for a full batch or for maxBatchDelay, as TorchServe does",
        ours=True,
    )
    stream_batching: bool | None = _key(
        "streamBatching", _SWITCH, "false", "let streaming requests share a batch", ours=True
    )
    share_weights: bool | None = _key(
        "shareWeights",
        _SWITCH,
        "false",
        "initialize the handler once and fork the workers from that process",
        ours=True,
    )
    parallel_type: str | None = _key(
        "parallelType",
        _word("pp", "tp", "pptp", "custom"),
        "none",
        "spread each worker over several devices, with a process for each (custom: one for all); see "
        "[ranks.md](ranks.md)",
    )
    parallel_level: int | None = _key("parallelLevel", _WHOLE, "0", "devices per worker; needs parallelType")
    torchrun: Mapping[str, Any] | None = _key(
        "torchrun", _MAP, "-", "nproc-per-node sets parallelLevel, OMP_NUMBER_THREADS the threads of a rank"
    )
    use_job_ticket: bool | None = _key(
        "useJobTicket", _SWITCH, "false", "refuse a request that no worker can begin at once, instead of queueing it"
    )
    continuous_batching: bool | None = _key(
        "continuousBatching",
        _SWITCH,
        "false",
        "let requests join and leave the batch between two calls of the handler, which must be written for it",
    )
    sequence_batching: bool | None = _key(
        "sequenceBatching",
        _SWITCH,
        "false",
        "send the requests of one sequence to one worker, in order; see [sequences.md](sequences.md)",
    )
    sequence_max_idle_s: float | None = _key(
        "sequenceMaxIdleMSec", _MILLISECONDS, "none", "how long a sequence may stay idle; needed with sequenceBatching"
    )
    sequence_timeout_s: float | None = _key(
        "sequenceTimeoutMSec", _MILLISECONDS, "none", "longest life of a sequence; one that is busy may live longer"
    )
    max_sequence_job_queue_size: int | None = _key(
        "maxSequenceJobQueueSize", _POSITIVE, "1", "most waiting requests per sequence"
    )
    max_num_sequence: int | None = _key("maxNumSequence", _POSITIVE, "1", "most sequences at the same time")
    sequence_unknown: str | None = _key(
        "sequenceUnknown",
        _word("open", "refuse"),
        "open",
        "refuse: a request with an unknown id is refused unless it has the start flag",
        ours=True,
    )
    async_communication: bool | None = _key(
        "asyncCommunication",
        _SWITCH,
        "false",
        "call an asynchronous handler with many requests at once; see [async-handlers.md](async-handlers.md)",
    )
    async_concurrency: int | None = _key(
        "asyncConcurrency",
        _COUNT,
        "256",
        "with asyncCommunication: most requests that a worker has at a time",
        ours=True,
    )
    tensors: TensorInterface | None = _key(
        "openInference",
        _strict(Kind(open_inference.interface, "map")),
        "-",
        "tensors that the model takes and gives; see [open-inference.md](open-inference.md)",
        ours=True,
    )
    warm_up: WarmUp | None = _key(
        "warmUp",
        _strict(Kind(warm_up_key.warm_up, "file, or map of request and batchSizes")),
        "-",
        "a request that each worker answers before it is ready, in batches of 1 and batchSize; see "
        "[performance.md](performance.md#what-to-tune)",
        ours=True,
    )
    placement: str | None = _key(
        "placement",
        _strict(_word(*ray_keys.PLACES)),
        "worker_placement",
        "where workers run: on the server's machine, or on nodes of a Ray cluster; see [ray.md](ray.md)",
        ours=True,
    )
    ray_resources: Mapping[str, float] | None = _key(
        "rayResources",
        _strict(Kind(ray_keys.resources, "map")),
        "CPU: 1, and GPU: 1 with deviceType gpu",
        "with placement ray: what each process of a worker takes: CPU, GPU, memory (bytes, or 2g), the cluster's own",
        ours=True,
    )
    ray_spread: bool | None = _key(
        "raySpread",
        _strict(_SWITCH),
        "true; false with parallelType",
        "with placement ray: spread workers, or the ranks of a worker, over the nodes instead of filling a few",
        ours=True,
    )

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
        """Returns how each worker is spread over devices and processes; None: it is not."""
        return rank_keys.ranks_of(self.parallel_type, self.parallel_level, self.torchrun)


MODEL_KEYS: tuple[ModelRow, ...] = tuple(each.metadata["row"](field=each.name) for each in fields(ModelValues))
"""Every key of a model, in the order of the reference."""

BY_NAME: Mapping[str, ModelRow] = {key.name: key for key in MODEL_KEYS}
T = TypeVar("T", bound=ModelValues)


def over(values: T, fallback: ModelValues) -> dict[str, Any]:
    """Returns, per field, what ``values`` sets, else what ``fallback`` sets."""
    own = {key.field: getattr(values, key.field) for key in MODEL_KEYS}
    return {field: getattr(fallback, field) if value is None else value for field, value in own.items()}
