"""Outputs of the scheduler's pure core, which the asyncio shell carries out, and a simulation in the tests."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from stoker.core.job import Batch, Job
from stoker.core.reply import Chunk
from stoker.errors import ServingError


class Send(Struct, frozen=True):
    worker: int
    batch: Batch


class DeliverParts(Struct, frozen=True):
    """Chunks for the consumer, of ``nbytes`` in all; more will come."""

    job: Job
    chunks: Sequence[Chunk]
    nbytes: int


class Deliver(Struct, frozen=True):
    """The last chunk, or the only one: the job is over."""

    job: Job
    chunk: Chunk


class Fail(Struct, frozen=True):
    """The job is over, with an error."""

    job: Job
    error: ServingError


class CancelInWorker(Struct, frozen=True):
    worker: int
    batch_id: int
    job_index: int


class GrantCredit(Struct, frozen=True):
    worker: int
    batch_id: int
    job_index: int
    nbytes: int


class Restart(Struct, frozen=True):
    """Kills a worker and starts another. The pool reports it lost next."""

    worker: int
    reason: ServingError


class Drained(Struct, frozen=True):
    """A draining worker is no longer needed."""

    worker: int


class Wake(Struct, frozen=True):
    """Jobs wait for a model that was scaled to zero."""


Rare = DeliverParts | Fail | CancelInWorker | GrantCredit | Restart | Drained | Wake
Action = Send | Deliver | Rare
