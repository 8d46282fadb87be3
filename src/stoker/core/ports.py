"""Defines the interfaces between packages. Each Protocol names who implements it and who calls it.

All calls are made on the server's event loop.  Methods without ``async`` never wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from stoker.core.job import Batch, Input, Job, ModelKey
from stoker.core.measures import HandlerSample, ModelCounters
from stoker.core.model import ModelSpec
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.core.sequences import Membership
from stoker.errors import ServingError

# ------------------------------------------------------------------------- frontends -> registry


class InferencePort(Protocol):
    """Implemented by the registry, called by the frontends for each request: the hot path."""

    def submit(
        self,
        model: str,
        version: str | None,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        streaming: bool = False,
        alone: bool | None = None,
        request_id: str | None = None,
        tensors: bytes = b"",
        member: Membership | None = None,
    ) -> ReplyStream:
        """Queues one request. An empty ``version`` means the default one. ``request_id``: the id that the handler sees,
        if the client knows it already; None: a new one. ``tensors``: describes the inputs as tensors
        (`stoker.tensors.jobs`); then the answer holds tensors too (`stoker.tensors.replies`). ``member``: the sequence
        that the request names; None: read it from inputs and headers. The reply of a model with sequences is a
        `SequenceReply`.

        ``deadline``: seconds of the monotonic clock. ``streaming``: the consumer reads part by part, and the handler
        may have to wait for it; otherwise the parts are kept, and the handler never waits. ``alone``: the job is a
        batch of its own; None: if it is streaming, unless the model config says otherwise.

        Raises: ModelNotFound, ModelVersionNotFound, NoWorkers, QueueFull, WorkersUnavailable, ServerStopping,
        DeadlineExceeded: nothing was queued.
        """
        ...

    def has_sequences(self, model: str, version: str | None) -> bool:
        """Tells whether requests of the model belong to sequences; False for an unknown one."""
        ...

    def healthy(self) -> bool:
        """Applies TorchServe's rule for Ping."""
        ...

    def only_startup_model(self) -> str | None:
        """Returns the model for requests that name none: the only one loaded at start. None: not exactly one was."""
        ...


class RepositoryEntry(NamedTuple):
    """A version that is served, or an archive in the model store that is not. ``state``: READY, LOADING or UNAVAILABLE.
    ``reason``: for that state, without paths."""

    name: str
    version: str
    state: str
    reason: str


class TensorPort(Protocol):
    """Implemented by the registry, called by the open inference protocol.

    Its methods raise ModelNotFound and ModelVersionNotFound; an empty ``version`` means the default one.
    """

    def model_spec(self, model: str, version: str | None) -> ModelSpec: ...

    def versions(self, model: str) -> Sequence[str]:
        """Returns every version, in the order of registration."""
        ...

    def version_ready(self, model: str, version: str | None) -> bool: ...

    def takes_more_rows(self, model: str, version: str | None) -> bool:
        """Tells whether a request may queue another row now: the last place in the queue is left to other requests."""
        ...

    def counters(self, model: str, version: str | None) -> Sequence[tuple[ModelKey, ModelCounters | None]]:
        """Returns the counters of a version; an empty ``version`` means all versions, an empty ``model`` all models."""
        ...

    async def repository(self) -> list[RepositoryEntry]: ...

    async def archives(self) -> Sequence[str]:
        """Returns the names of the archives in the model store; none if it cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """``None`` means 'not given': archive, settings and defaults decide then, see `registry.merge`."""

    url: str
    model_name: str | None = None
    handler: str | None = None
    runtime: str | None = None
    batch_size: int | None = None
    max_batch_delay_s: float | None = None
    initial_workers: int | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    synchronous: bool = False
    s3_sse_kms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRequest:
    """``max_workers``: None: as many as ``min_workers``. ``version``: None: the default one."""

    model: str
    version: str | None = None
    min_workers: int = 1
    max_workers: int | None = None
    synchronous: bool = False


SCALING_BEGUN = "Processing worker updates..."
"""Answer of `ManagementPort` that does not wait for workers to start or stop."""
SCALING_UNFINISHED = "Workers scaling in progress..."
"""Answer of `ManagementPort` that has waited, if not all workers are ready."""


class Description(NamedTuple):
    """Entries of a description, including what the handler added. ``meta``: status and headers that the handler set."""

    entries: list[dict[str, Any]]
    meta: ResponseMeta | None = None


class ManagementPort(Protocol):
    """Implemented by the registry, called by the frontends.  Each method that changes something returns
    TorchServe's sentence for the reply.  A caller that is cancelled does not stop the operation."""

    async def register(self, request: RegisterRequest) -> str: ...

    async def scale(self, request: ScaleRequest) -> str: ...

    async def set_default(self, model: str, version: str) -> str: ...

    async def unregister(self, model: str, version: str | None) -> str: ...

    def list_models(self, limit: int, offset: int) -> dict[str, Any]:
        """Returns ``{"nextPageToken"?: str, "models": [{"modelName", "modelUrl"}]}``, sorted by name."""
        ...

    def describe(self, model: str, version: str | None) -> list[dict[str, Any]]:
        """Returns entries ready for JSON, with members in TorchServe's order. ``version``: "all": every version."""
        ...

    async def describe_customized(
        self, model: str, version: str | None, *, headers: Mapping[str, str] | None = None
    ) -> Description:
        """Does as `describe`, and adds the handler's ``customizedMetadata``. ``headers``: for the handler."""
        ...


class Health(Enum):
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    UNKNOWN = "SERVICE_UNKNOWN"


class HealthPort(Protocol):
    """Implemented by the registry, called by the gRPC health service and readiness probes.

    Names: ``""`` (the server), ``MODEL``, ``MODEL/VERSION``, ``workflow:NAME``. A model is SERVING if at least
    max(1, minWorkers) workers are ready, a workflow if all of its nodes are.
    """

    def health(self, name: str) -> Health: ...

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` whenever the result of `health` may have changed; returns a function to unsubscribe."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """``models``: those that lack workers, as MODEL/VERSION, and those that could not be loaded, as the settings name
    them. ``reason``: why the server is not ready, in words."""

    ready: bool
    reason: str = ""
    models: Sequence[str] = ()


class ReadinessPort(Protocol):
    """Implemented by the registry, called by the probes of orchestrators."""

    def readiness(self) -> Readiness:
        """Tells whether every startup model is loaded, and every version has its minimum of ready workers."""
        ...


# ------------------------------------------------------------------------------ scheduling <-> pool


class Dropped(Enum):
    """Outcome of a job that the worker did not run, because it was cancelled or late."""

    DROPPED = "dropped"


Outcome = Chunk | ServingError | Dropped
"""Result of one job of a batch."""


class WorkerLink(Protocol):
    """A ready worker process. Implemented by the pool, called by the scheduler. Messages are buffered, and leave in one
    write at the end of the event loop's turn."""

    @property
    def id(self) -> int: ...

    def send(self, batch: Batch) -> None:
        """Sends a batch. Batches run one after the other, in the order sent, unless the model runs several at once."""
        ...

    def cancel(self, batch_id: int, index: int) -> None:
        """Cancels the job at ``index``. Does nothing if it has been answered already."""
        ...

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        """Allows the worker to send ``nbytes`` more of a stream, because its consumer has read as many."""
        ...

    def started(self) -> int | None:
        """Returns the id of the newest batch that the worker has begun, also if it is dead; None: unknown."""
        ...

    def drained(self) -> None:
        """Lets a draining worker stop that became idle without answering a batch."""
        ...

    def restart(self, reason: ServingError) -> None:
        """Kills the process and starts another, as after a response timeout; `SchedulerPort.worker_lost` follows."""
        ...


class SchedulerPort(Protocol):
    """Receives events about the workers of one model version. Implemented by the scheduler, called by the pool."""

    def worker_ready(self, worker: WorkerLink) -> None: ...

    def worker_lost(self, worker: WorkerLink, error: ServingError) -> None:
        """Records that the process has died. ``error``: for the callers of the batches that it had begun."""
        ...

    def worker_draining(self, worker: WorkerLink) -> None:
        """Stops sending new jobs to a worker that is scaled down. It finishes what it holds; see `worker_idle`."""
        ...

    def worker_idle(self, worker: WorkerLink) -> bool:
        """Tells whether the worker is no longer needed if it drains: it holds no batch and no open sequence."""
        ...

    def batch_parts(self, worker: WorkerLink, batch_id: int, parts: Sequence[Sequence[Chunk]]) -> None:
        """Takes intermediate parts of a batch. ``parts``: those of each job, in order."""
        ...

    def batch_done(
        self, worker: WorkerLink, batch_id: int, outcomes: Sequence[Outcome], handler_s: float = -1.0
    ) -> None:
        """Takes the final outcome of each job of a batch, in order.

        ``handler_s``: how long the handler ran; negative: it was not called or failed.
        """
        ...

    def pool_status(self, configured: int, failure: ServingError | None) -> None:
        """``configured``: worker slots that exist (0 = scaled to zero). ``failure``: why no worker can run at present,
        see `pool.slot_states.failure_of_all`; None: one runs or may come back."""
        ...


@dataclass(frozen=True, slots=True)
class QueueStatus:
    pending: int
    remaining: int


class Handled(NamedTuple):
    """Sums over the batches whose handler succeeded. Each batch of n jobs that took t seconds adds 1, n, n * n, t,
    n * t and t * t."""

    batches: float = 0.0
    jobs: float = 0.0
    jobs_squared: float = 0.0
    seconds: float = 0.0
    jobs_seconds: float = 0.0
    seconds_squared: float = 0.0


class Load(NamedTuple):
    """The load of a model. ``waiting``: jobs in the queue. ``running``: jobs that workers hold. ``busy``: workers that
    hold any. ``held``: workers whose state open sequences need.

    Totals that only grow: ``ended``: jobs of all batches that ended. ``handled``. ``waits``: numbers of answered jobs
    by time in the queue, with the bounds of `measures.SECONDS`.
    """

    waiting: int = 0
    oldest_wait_s: float = 0.0
    running: int = 0
    busy: int = 0
    ended: int = 0
    handled: Handled = Handled()
    waits: tuple[int, ...] = ()
    held: int = 0


# -------------------------------------------------------------------------- registry -> pool / describe


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker slot as DescribeModel shows it. ``state``: a name of `pool.slot_states.State`. ``error``: why the last
    process ended, could not load, or waits for room; None: it works. ``node``: where the process runs; None: on this
    machine, or nowhere."""

    id: int
    state: str
    ready: bool
    failing_since_s: float | None
    started_at: float
    pid: int | None
    memory_bytes: int
    gpu_id: int | None
    gpu_usage: str | None
    error: ServingError | None
    node: str | None = None

    @property
    def failure(self) -> str | None:
        """Returns the cause of ``error``, which has no paths; None: there is no error."""
        return None if self.error is None else self.error.cause


# ------------------------------------------------------------------------- frontends -> their helpers


class TokenScope(Enum):
    """The kind of key that a listener requires."""

    INFERENCE = "inference"
    MANAGEMENT = "management"


class Authorizer(Protocol):
    """Authorizes calls. Implemented by `frontend.auth`, called by every listener before anything else.

    ``authorization``: the value of the header or metadata entry of that name, as sent by the client.
    """

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        """Raises TokenRejected. Does nothing if tokens are off."""
        ...

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        """Replaces the key of ``kind``. Raises TokenRejected: the call does not have the API key; ResourceNotFound:
        tokens are off."""
        ...


class MetricsPort(Protocol):
    """Implemented by telemetry, called by the metrics listener."""

    def exposition(self, names: Sequence[str] = ()) -> bytes:
        """Returns Prometheus text 0.0.4. ``names``: the only samples to include; empty: all."""
        ...


class RequestTelemetry(Protocol):
    """Counts requests. Implemented by telemetry, called by the frontends once per turn of the loop."""

    def answered(self, http_status: int, count: int = 1) -> None:
        """Counts answered requests; a gRPC code counts as the HTTP status with the same meaning."""
        ...


class ModelTelemetry(Protocol):
    """Records metrics of one model version. Implemented by telemetry, called by the pool. Nothing here raises or
    waits. ``counters``: incremented by registry and scheduler directly; None where metrics are off."""

    @property
    def counters(self) -> ModelCounters | None: ...

    @property
    def predicted(self) -> Callable[[float, Sequence[Job]], object] | None:
        """Returns what records a handler call that succeeded, before its results are delivered; None: nothing does."""
        ...

    def recorded(self, sample: HandlerSample) -> None:
        """Records a value that a handler recorded."""
        ...

    def printed(self, line: str) -> bool:
        """Records the metric in a printed line that begins with ``[METRICS]``. False: there is none."""
        ...

    def worker_loaded(self, worker: str, seconds: float) -> None: ...


ModelTelemetryOf = Callable[[ModelKey], ModelTelemetry]
"""Returns the telemetry of a model version: the same object even after it was registered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Current figures of one registered model version. ``waiting``: jobs in the queue. ``workers``: how many are in
    each state. ``nodes``: how many are ready on each node of a cluster. ``wanted``: how many autoscaling wants;
    ``changes``: how often it changed that, by kind; None: it is off."""

    key: ModelKey
    waiting: int
    workers: Mapping[str, int]
    nodes: Mapping[str, int] = field(default_factory=dict)
    wanted: int | None = None
    changes: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFigures:
    """One GPU. ``index``: as workers number it. ``utilization_percent``: None: the driver does not report it."""

    index: int
    memory_used_bytes: int
    memory_percent: float
    utilization_percent: float | None


AccessRecord = tuple[float, str, str, int, int, str]
"""One finished call: when it ended (seconds since the epoch), peer, request, status, milliseconds, and its request id,
as its handler sees it or as in the answer's ``x-request-id``; empty: it has none."""


class AccessLog(Protocol):
    """Writes one line per finished call. Implemented by telemetry, called by the frontends."""

    def record(self, calls: Sequence[AccessRecord], /) -> None:
        """Takes the calls that ended in one turn of the loop."""
        ...
