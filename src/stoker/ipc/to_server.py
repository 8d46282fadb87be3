"""Messages from a worker, sent by `worker.loop` and read by `pool.link`. A message has a payload where it says so."""

from __future__ import annotations

from typing import Literal, final

import msgspec


class Hello(msgspec.Struct, tag="hello", array_like=True, frozen=True, kw_only=True):
    """The interpreter runs and the socket works."""

    pid: int
    python: str


class Loaded(msgspec.Struct, tag="loaded", array_like=True, frozen=True, kw_only=True):
    """The handler is initialised. ``torch``: whether torch is imported in this process."""

    seconds: float
    torch: bool


class LoadFailed(msgspec.Struct, tag="load_failed", array_like=True, frozen=True, kw_only=True):
    """The handler could not be loaded; the process exits next. ``number``: an HTTP status. ``message``: one line for
    clients, without paths; the worker has printed the traceback to stderr."""

    number: int
    message: str


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """Status, reason phrase and headers that a handler set for one job."""

    status: int
    reason: str
    headers: dict[str, str]


@final
class Failure(msgspec.Struct, array_like=True, frozen=True):
    """The reason why a job has no result. ``kind``: raised | refused | resources | output | too_large.

    ``size`` and ``limit``: in bytes, of a result that is too large.
    """

    kind: str
    number: int
    message: str
    size: int = 0
    limit: int = 0


DROPPED = -1
"""Stands for the length of a job that the worker did not run, because it was cancelled or late."""


MOST_PARTS = 4096
"""Limit of one job's parts in one message."""


class Parts(msgspec.Struct, tag="t", array_like=True, frozen=True):
    """Intermediate parts of a batch. ``lengths``: one per job for the first parts, then one per job for the second
    ones, and so on (`DROPPED`: no part for this job). Payload: the parts, in this order. ``metas`` apply to all parts
    of a job."""

    batch_id: int
    lengths: list[int]
    metas: dict[int, Meta] = {}


class Results(msgspec.Struct, tag="r", array_like=True, frozen=True):
    """Ends a batch. ``lengths``: one per job (`DROPPED` for those not run, 0 for failed ones). Payload: the results, in
    order. ``failures`` and ``metas`` are keyed by the job's index. ``seconds``: how long the handler ran; negative if
    it was not called or failed."""

    batch_id: int
    lengths: list[int]
    failures: dict[int, Failure] = {}
    metas: dict[int, Meta] = {}
    seconds: float = -1.0


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """A value that the handler recorded as a metric. ``request_ids``: joined with commas."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    dimensions: list[tuple[str, str]]
    value: float
    request_ids: str


class Metrics(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """Metrics that the handler recorded. Precedes the next `Parts` or `Results`, in the same write."""

    samples: list[Sample]


ToServer = Hello | Loaded | LoadFailed | Parts | Results | Metrics
