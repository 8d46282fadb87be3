"""The nouns of a request: `ModelKey`, `Input`, `Job`, `Place`, `Batch`.  No method here does I/O."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from stoker.core.buffer import Buffer
from stoker.core.measures import RequestTotals
from stoker.core.reply import ReplyStream


class ModelKey(NamedTuple):
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


class Input(Struct, frozen=True):
    """One named value of a request, e.g. ``("data", "", b"...")``. No content type is the empty string."""

    name: str
    content_type: str
    value: Buffer


class Place(Enum):
    """Where a job is outside of batches; see the table in `scheduling.core`."""

    NEW = "new"  # not submitted, or refused
    QUEUED = "queued"
    OVER = "over"  # answered


class Job:
    """One request on its way to a worker and back.

    ``deadline`` is in seconds of the monotonic clock.  ``streaming``: the consumer reads part by part (otherwise
    parts are kept and joined).  ``alone``: the job is a batch of its own (streams, describe).  The scheduler owns
    ``accepted_at`` and ``place``.  ``totals``: where the job is counted; None: nowhere.
    ``named_version``: the version as the request named it; None: the request meant the default one.  ``tensors``:
    what its inputs are in the open inference protocol (`stoker.tensors.jobs`); empty: it does not speak it.
    """

    __slots__ = (
        "accepted_at",
        "alone",
        "deadline",
        "headers",
        "id",
        "inputs",
        "key",
        "named_version",
        "place",
        "reply",
        "streaming",
        "tensors",
        "totals",
    )

    def __init__(
        self,
        key: ModelKey,
        inputs: Sequence[Input],
        *,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        streaming: bool = False,
        alone: bool = False,
        request_id: str | None = None,
        reply: ReplyStream | None = None,
        totals: RequestTotals | None = None,
        named_version: str | None = None,
        tensors: bytes = b"",
    ) -> None:
        self.key = key
        self.inputs = inputs
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.deadline = deadline
        self.streaming = streaming
        self.alone = alone
        self.id = request_id or new_request_id()
        self.reply = reply if reply is not None else ReplyStream()
        self.totals = totals
        self.named_version = named_version
        self.tensors = tensors
        self.accepted_at = 0.0
        self.place: Place | Batch = Place.NEW


class Batch:
    """Jobs that one ``handle()`` call gets. ``id`` counts up per worker pool, so a worker sees it rise."""

    __slots__ = ("id", "jobs")

    def __init__(self, id: int, jobs: list[Job]) -> None:
        self.id = id
        self.jobs = jobs


_PREFIX = str(uuid.uuid4())[:24]
_START = secrets.randbits(47)
_count = itertools.count(_START)  # 2 ** 47 ids and more before the last group is used up


def new_request_id() -> str:
    """Makes a UUID: random for this process, then counted, twenty times faster than `uuid.uuid4`.

    Unique: a collision of the 74 random bits of the prefix is negligible; not a secret.
    """
    return f"{_PREFIX}{next(_count):012x}"
