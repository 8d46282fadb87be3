"""Messages to a worker. Sent by `pool.link`, read by `worker.loop`. Payloads: see each message."""

from __future__ import annotations

import msgspec

from stoker.core.tensors import PLAIN, TensorInterface
from stoker.core.warm_up import WarmUp


class Load(msgspec.Struct, tag="load", array_like=True, frozen=True, kw_only=True):
    """First message: load this model and answer `to_server.Loaded` or `to_server.LoadFailed`."""

    model_name: str
    model_dir: str
    handler: str
    envelope: str | None = None
    batch_size: int = 1
    gpu_id: int | None = None
    limit_max_image_pixels: bool = True
    decode_input_request: bool = True
    max_response_bytes: int = 6_553_500
    stream_window_bytes: int = 1 << 20
    """Limit of one job's unread bytes of parts: then the handler has to wait."""
    poll_us: int = 0
    """Longest time to poll for the next batch before sleeping."""
    metrics_config: str | None = None
    """The metrics file; None: the metrics that exist without one."""
    tensors: TensorInterface = PLAIN
    rank: int | None = None
    """The number among the ranks of a worker, of which all get the same batches and rank 0 answers; None: it has no
    ranks."""
    continuous: bool = False
    """True: requests join and leave between two calls of the handler. Each is a batch of its own; batches may end in
    any order."""
    asynchronous: bool = False
    """True: the handler is a coroutine function, called once per request with many calls at a time. Each request is
    a batch of its own; batches may end in any order."""
    warm_up: WarmUp | None = None
    """Request that the handler has to answer before the worker is ready."""


class JobHeader(msgspec.Struct, array_like=True, frozen=True):
    """``inputs``: (name, content type, length); the values follow one another in the payload.
    ``deadline``: seconds of CLOCK_MONOTONIC. ``tensors``: of the open inference protocol
    (`stoker.tensors.jobs`)."""

    request_id: str
    inputs: list[tuple[str, str, int]]
    headers: dict[str, str]
    deadline: float | None
    tensors: bytes = b""


class Predict(msgspec.Struct, tag="p", array_like=True, frozen=True):
    """One ``handle()`` call over these jobs, or one that joins those in progress (`Load.continuous`,
    `Load.asynchronous`). Payload: the input values of all jobs, in order.
    ``may_poll``: there is a core to spare for looking for the next batch."""

    batch_id: int
    jobs: list[JobHeader]
    may_poll: bool = False


class Cancel(msgspec.Struct, tag="c", array_like=True, frozen=True):
    """The job at ``index`` of a batch is no longer wanted. Unknown batches are ignored: it crossed the answer."""

    batch_id: int
    index: int


class Grant(msgspec.Struct, tag="g", array_like=True, frozen=True):
    """The consumer has read ``nbytes`` more of the stream of job ``index``."""

    batch_id: int
    index: int
    nbytes: int


class Stop(msgspec.Struct, tag="stop", array_like=True, frozen=True):
    """Finish what was sent before, then exit 0."""


ToWorker = Load | Predict | Cancel | Grant | Stop
