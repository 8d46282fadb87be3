"""Messages from a worker. Sent by `worker.loop`, read by `pool.link`. Payloads: see each message."""

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
    """The handler could not be loaded; the process exits next. ``message``: one line for clients, without
    paths; the traceback went to the worker's stderr."""

    number: int
    message: str


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """Status, reason phrase and headers that a handler set for one job."""

    status: int
    reason: str
    headers: dict[str, str]


@final
class Failure(msgspec.Struct, array_like=True, frozen=True):
    """Reason why one job has no result. ``kind``: raised | refused | resources | output | too_large.

    ``size`` and ``limit``: bytes of a result that is too large.
    """

    kind: str
    number: int
    message: str
    size: int = 0
    limit: int = 0


DROPPED = -1
"""A length that says: the worker did not run this job, it was cancelled or late."""


MOST_PARTS = 4096
"""For one job in one message."""


class Parts(msgspec.Struct, tag="t", array_like=True, frozen=True):
    """Intermediate parts: a length per job for the first part, then as many for the next one, and so on (`DROPPED` for
    a job that gets none). Payload: the parts, in this order. ``metas`` hold for all of them."""

    batch_id: int
    lengths: list[int]
    metas: dict[int, Meta] = {}


class Results(msgspec.Struct, tag="r", array_like=True, frozen=True):
    """The end of a batch: one length per job (`DROPPED` for those not run, 0 for failed ones).
    Payload: the results, in order. ``failures`` and ``metas`` are keyed by the job's index.
    ``seconds``: how long the handler ran; negative when it was not called or did not end well."""

    batch_id: int
    lengths: list[int]
    failures: dict[int, Failure] = {}
    metas: dict[int, Meta] = {}
    seconds: float = -1.0


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """A value that the handler recorded through its metrics. ``request_ids``: joined with commas."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    dimensions: list[tuple[str, str]]
    value: float
    request_ids: str


class Metrics(msgspec.Struct, tag="m", array_like=True, frozen=True):
    """Travels in front of the part or the results that leave next, in the same write."""

    samples: list[Sample]


ToServer = Hello | Loaded | LoadFailed | Parts | Results | Metrics
