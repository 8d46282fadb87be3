"""Defines the objects that make up a request: `ModelKey`, `Input`, `Job`, `Place`, `Batch`.  Does no I/O."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from msgspec import Struct, field

from stoker.core.buffer import Buffer
from stoker.core.measures import RequestTotals
from stoker.core.reply import ReplyStream

_PREFIX = str(uuid.uuid4())[:24]
_LAST_DIGITS = [f"{digits:03x}" for digits in range(1 << 12)]


def _request_ids(digits: int) -> Iterator[str]:
    """Makes the 4,096 ids that begin with the same ``digits``."""
    return map(f"{_PREFIX}{digits:09x}".__add__, _LAST_DIGITS)


new_request_id = itertools.chain.from_iterable(map(_request_ids, itertools.count(secrets.randbits(35)))).__next__
"""Makes a UUID: a random prefix per process, then a counter; thirty times faster than ``str(uuid.uuid4())``.
The counter lasts for 2 ** 47 ids and more.

Unique, because a collision of the prefix's 74 random bits is negligible; but not secret.
"""


class ModelKey(NamedTuple):
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


class Input(Struct, frozen=True):
    """One named value of a request, e.g. ``("data", "", b"...")``. ``content_type``: empty: unknown."""

    name: str
    content_type: str
    value: Buffer


class Place(Enum):
    """The place of a job that is in no batch; see the table in `scheduling.core`."""

    NEW = "new"  # not submitted, or refused
    QUEUED = "queued"
    OVER = "over"  # answered


QUEUED, OVER = Place.QUEUED, Place.OVER


class Job(Struct, eq=False):
    """One request on its way to a worker and back.

    ``deadline``: in seconds of the monotonic clock.  ``streaming``: the consumer reads part by part (otherwise
    parts are kept and joined).  ``alone``: the job is a batch of its own (streams, describe).  ``totals``: where the
    job is counted; None: nowhere.  ``named_version``: the version that the request named; None: it meant the default.
    ``tensors``: describes the inputs of the open inference protocol (`stoker.tensors.jobs`); empty: the request does
    not use it.  Only the scheduler sets ``accepted_at`` and ``place``.
    """

    key: ModelKey
    inputs: Sequence[Input]
    headers: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None
    streaming: bool = False
    alone: bool = False
    id: str = field(default_factory=new_request_id)
    reply: ReplyStream = field(default_factory=ReplyStream)
    totals: RequestTotals | None = None
    named_version: str | None = None
    tensors: bytes = b""
    accepted_at: float = 0.0
    place: Place | Batch = Place.NEW


class Batch(Struct, eq=False):
    """Jobs for one ``handle()`` call. ``id`` increases from batch to batch of a model version."""

    id: int
    jobs: list[Job]
