"""Messages to a worker, sent by `pool.link` and read by `worker.loop`. A message has a payload where it says so."""

from __future__ import annotations

import msgspec

from stoker.core.tensors import PLAIN, TensorInterface
from stoker.core.warm_up import WarmUp


class Load(msgspec.Struct, tag="load", array_like=True, frozen=True, kw_only=True):
    """Comes first: asks the worker to load this model, and to answer `to_server.Loaded` or `to_server.LoadFailed`."""

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
    """Unread bytes of one job's parts at which the handler has to wait."""
    poll_us: int = 0
    """Longest time to poll for the next batch before sleeping."""
    metrics_config: str | None = None
    """The metrics file; None: the metrics that exist without one."""
    tensors: TensorInterface = PLAIN
    rank: int | None = None
    """This process's number among the ranks of its worker. All ranks get the same batches; rank 0 answers. None: the
    worker has no ranks."""
    continuous: bool = False
    """Requests join and leave between two calls of the handler. Each is a batch of its own; batches may end in any
    order."""
    asynchronous: bool = False
    """The handler is a coroutine function, called once per request, with many calls at a time. Each request is a batch
    of its own; batches may end in any order."""
    warm_up: WarmUp | None = None
    """A request that the handler must answer before the worker is ready."""


class JobHeader(msgspec.Struct, array_like=True, frozen=True):
    """``inputs``: (name, content type, length); the payload holds their values, in order. ``deadline``: seconds of
    CLOCK_MONOTONIC. ``tensors``: describes the inputs of the open inference protocol (`stoker.tensors.jobs`)."""

    request_id: str
    inputs: list[tuple[str, str, int]]
    headers: dict[str, str]
    deadline: float | None
    tensors: bytes = b""


class Predict(msgspec.Struct, tag="p", array_like=True, frozen=True):
    """Asks for one ``handle()`` call with these jobs; with `Load.continuous` or `Load.asynchronous` they join those in
    progress. Payload: the input values of all jobs, in order. ``may_poll``: a core is free to poll for the next
    batch."""

    batch_id: int
    jobs: list[JobHeader]
    may_poll: bool = False


class Cancel(msgspec.Struct, tag="c", array_like=True, frozen=True):
    """The job at ``index`` of a batch is no longer wanted. Workers ignore unknown batches: the message may cross the
    answer."""

    batch_id: int
    index: int


class Grant(msgspec.Struct, tag="g", array_like=True, frozen=True):
    """The consumer has read ``nbytes`` more of the stream of the job at ``index``."""

    batch_id: int
    index: int
    nbytes: int


class Stop(msgspec.Struct, tag="stop", array_like=True, frozen=True):
    """Asks the worker to finish what was sent before, then to exit with code 0."""


ToWorker = Load | Predict | Cancel | Grant | Stop
