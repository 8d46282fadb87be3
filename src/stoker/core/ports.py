"""Interfaces between packages. Each Protocol names who implements it and who calls it.

Everything here is called on the server's event loop.  Methods without ``async`` never wait.
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
        """Queues one request. An empty ``version`` means the default one. ``request_id``: what the handler sees as its
        id, if the client has that id already. ``tensors``: what the inputs are as tensors
        (`stoker.tensors.jobs`); the answer is tensors then too (`stoker.tensors.replies`). ``member``: what the request
        says of its sequence; None: what is found in its inputs and headers. The reply of a model with sequences is a
        `SequenceReply`.

        ``deadline``: seconds of the monotonic clock. ``streaming``: the consumer reads part by part, and the handler
        may have to wait for it. Else it may read all at the end: the handler never waits for it. ``alone``: the job
        is a batch of its own; None: if it is streaming, unless the model config says otherwise.

        Raises: ModelNotFound, ModelVersionNotFound, NoWorkers, QueueFull, WorkersUnavailable, ServerStopping,
        DeadlineExceeded: at once; nothing was queued then.
        """
        ...

    def has_sequences(self, model: str, version: str | None) -> bool:
        """Tells whether requests of the model belong to sequences; False for an unknown one."""
        ...

    def healthy(self) -> bool:
        """Applies TorchServe's rule for Ping."""
        ...

    def only_startup_model(self) -> str | None:
        """Returns the model of requests that name none: the only one that was loaded at start."""
        ...


class RepositoryEntry(NamedTuple):
    """A version that is served, or an archive of the model store that is not. ``state``: READY, LOADING or
    UNAVAILABLE; ``reason``: why, without paths."""

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
        """Returns what is counted for a version; an empty ``version`` means all, an empty ``model`` all models."""
        ...

    async def repository(self) -> list[RepositoryEntry]: ...

    async def archives(self) -> Sequence[str]:
        """Returns the names of what lies in the model store; none where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """``None`` means 'not given': archive, then settings, then defaults decide (contract of config, 5.3)."""

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
    """``None`` for ``max_workers`` means as many as ``min_workers``; ``version`` None the default one."""

    model: str
    version: str | None = None
    min_workers: int = 1
    max_workers: int | None = None
    synchronous: bool = False


SCALING_BEGUN = "Processing worker updates..."
"""Answer of `ManagementPort` while workers still start or stop."""
SCALING_UNFINISHED = "Workers scaling in progress..."
"""Its answer after waiting, if not all workers are ready."""


class Description(NamedTuple):
    """A handler's addition to a description: ``entries`` hold it, ``meta`` is status and headers for the answer."""

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
        """Returns JSON-ready entries in the contract's member order. ``version`` "all": every version."""
        ...

    async def describe_customized(
        self, model: str, version: str | None, *, headers: Mapping[str, str] | None = None
    ) -> Description:
        """Does as `describe`, with the handler's own ``customizedMetadata``. ``headers``: those that it sees."""
        ...


class Health(Enum):
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    UNKNOWN = "SERVICE_UNKNOWN"


class HealthPort(Protocol):
    """Implemented by the registry, called by the gRPC health service and readiness probes.

    Names: ``""`` (the server), ``MODEL``, ``MODEL/VERSION``. SERVING = at least max(1, minWorkers) ready.
    ``workflow:NAME``: every node of it is SERVING.
    """

    def health(self, name: str) -> Health: ...

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` after anything that `health` reads may have changed; returns the unsubscriber."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """``models``: MODEL/VERSION of those that lack workers, and what could not be loaded, as the settings name it.
    ``reason``: why the server as a whole is not ready, in words."""

    ready: bool
    reason: str = ""
    models: Sequence[str] = ()


class ReadinessPort(Protocol):
    """Implemented by the registry, called by the probes of orchestrators."""

    def readiness(self) -> Readiness:
        """Tells whether every model of the start is loaded, and every version has its minimum of ready workers."""
        ...


# ------------------------------------------------------------------------------ scheduling <-> pool


class Dropped(Enum):
    """A job of a batch that the worker did not run: it was cancelled or late when its turn came."""

    DROPPED = "dropped"


Outcome = Chunk | ServingError | Dropped
"""Result of one job of a batch."""


class WorkerLink(Protocol):
    """One ready worker process. Implemented by the pool, called by the scheduler. Nothing here waits:
    messages are buffered and leave in one write at the end of the event loop's turn."""

    @property
    def id(self) -> int: ...

    def send(self, batch: Batch) -> None:
        """Batches run one after the other, in the order sent."""
        ...

    def cancel(self, batch_id: int, index: int) -> None:
        """Cancels the job at ``index``; never an error, even when it is answered already."""
        ...

    def grant(self, batch_id: int, index: int, nbytes: int) -> None:
        """Lets the worker send ``nbytes`` more of a stream, because its consumer has read as many."""
        ...

    def started(self) -> int | None:
        """Returns the id of the newest batch that the worker began, dead or alive; None when it is unknown."""
        ...

    def drained(self) -> None:
        """Lets a draining worker stop that has not answered a batch just before."""
        ...

    def restart(self, reason: ServingError) -> None:
        """Kills the process and starts another (a response timeout); `SchedulerPort.worker_lost` follows."""
        ...


class SchedulerPort(Protocol):
    """Receives events of the workers of one model version. Implemented by the scheduler, called by the pool."""

    def worker_ready(self, worker: WorkerLink) -> None: ...

    def worker_lost(self, worker: WorkerLink, error: ServingError) -> None:
        """Records that the process is gone. ``error`` goes to the callers of the batch that it had started."""
        ...

    def worker_draining(self, worker: WorkerLink) -> None:
        """Sends no new batch to a worker that is scaled down; it finishes what it has; see `worker_idle`."""
        ...

    def worker_idle(self, worker: WorkerLink) -> bool:
        """Returns whether nothing is in flight there, so that the process can be stopped."""
        ...

    def batch_parts(self, worker: WorkerLink, batch_id: int, parts: Sequence[Sequence[Chunk]]) -> None:
        """Takes one intermediate part for each job of the batch, in order."""
        ...

    def batch_done(
        self, worker: WorkerLink, batch_id: int, outcomes: Sequence[Outcome], handler_s: float = -1.0
    ) -> None:
        """Takes the final outcome of each job of the batch, in order.

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
    """Totals of batches whose handler succeeded: how many, their jobs, the squares of their sizes, what they took, that
    times their sizes, and its squares."""

    batches: float = 0.0
    jobs: float = 0.0
    jobs_squared: float = 0.0
    seconds: float = 0.0
    jobs_seconds: float = 0.0
    seconds_squared: float = 0.0


class Load(NamedTuple):
    """Load of a model's workers. ``running``: jobs that workers have, ``busy``: workers that have any,
    ``held``: workers whose state open sequences need.
    Totals that only grow: ``ended``: jobs of all batches that ended; ``handled``; ``waits``: how many of the answered
    waited how long, by the bounds of `measures.SECONDS`."""

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
    """One worker slot as DescribeModel shows it. ``state``: a name of `pool.slot_states.State`.
    ``error``: why the last process ended, could not load, or has no place; None when all is well. ``node``: where it
    is; None: on this machine, or nowhere."""

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
        """``error`` as a sentence without paths."""
        return None if self.error is None else self.error.cause


# ------------------------------------------------------------------------- frontends -> their helpers


class TokenScope(Enum):
    """The kind of key that a listener asks for."""

    INFERENCE = "inference"
    MANAGEMENT = "management"


class Authorizer(Protocol):
    """Authorizes calls. Implemented by `frontend.auth`, called by every listener before anything else.

    ``authorization``: the value of the header or metadata entry of that name, as the client sent it.
    """

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        """Raises TokenRejected. Does nothing where tokens are off."""
        ...

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        """Makes a key of ``kind`` for who shows the API key. Raises TokenRejected, ResourceNotFound (tokens off)."""
        ...


class MetricsPort(Protocol):
    """Implemented by telemetry, called by the metrics listener."""

    def exposition(self, names: Sequence[str] = ()) -> bytes:
        """Prometheus text 0.0.4; only samples of these exact names, if any are given."""
        ...


class RequestTelemetry(Protocol):
    """Implemented by telemetry, called by the frontends for all requests that were answered in a turn of the loop."""

    def answered(self, http_status: int, count: int = 1) -> None:
        """Counts answered requests; gRPC codes as the HTTP status of the same meaning."""
        ...


class ModelTelemetry(Protocol):
    """Records metrics of one model version. Implemented by telemetry, called by the pool. Nothing here raises or
    waits. ``counters``: incremented by registry and scheduler directly; None where metrics are off."""

    @property
    def counters(self) -> ModelCounters | None: ...

    def predicted(self, seconds: float, jobs: Sequence[Job]) -> None:
        """Counts a handler call that ended well, before its results."""
        ...

    def recorded(self, sample: HandlerSample) -> None:
        """Counts a value that a handler recorded."""
        ...

    def printed(self, line: str) -> bool:
        """Counts a printed line that begins with ``[METRICS]``. False: it is no metric."""
        ...

    def worker_loaded(self, worker: str, seconds: float) -> None: ...


ModelTelemetryOf = Callable[[ModelKey], ModelTelemetry]
"""The same object for the same model version, also when it is registered anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Current figures of one registered model version. ``workers``: number in each state.
    ``nodes``: number ready on each node of a cluster. ``wanted``: how many autoscaling wants, ``changes``: how
    often it changed that, by kind; None: it is off."""

    key: ModelKey
    waiting: int
    workers: Mapping[str, int]
    nodes: Mapping[str, int] = field(default_factory=dict)
    wanted: int | None = None
    changes: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFigures:
    """One GPU as a worker numbers it. ``utilization_percent``: None where the driver does not say."""

    index: int
    memory_used_bytes: int
    memory_percent: float
    utilization_percent: float | None


AccessRecord = tuple[float, str, str, int, int, str]
"""One finished call: when it ended (since the epoch), peer, request, status, milliseconds, and its request id: as
its handler sees it, or its answer's ``x-request-id``; empty where there is none."""


class AccessLog(Protocol):
    """One line per finished call. Implemented by telemetry, called by the frontends."""

    def record(self, calls: Sequence[AccessRecord], /) -> None:
        """Takes the calls that ended in one turn of the loop."""
        ...
