"""Outputs of the scheduler's pure core, which the asyncio shell, or a simulation, carries out."""

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
    """Delivers intermediate chunks to the consumer, ``nbytes`` in all."""

    job: Job
    chunks: Sequence[Chunk]
    nbytes: int


class Deliver(Struct, frozen=True):
    """Delivers the last chunk, or the only one, and ends the job."""

    job: Job
    chunk: Chunk


class Fail(Struct, frozen=True):
    """Ends the job with an error."""

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
    """Kills a worker and starts another. The pool then reports the worker lost."""

    worker: int
    reason: ServingError


class Drained(Struct, frozen=True):
    """Lets a draining worker stop: it is no longer needed."""

    worker: int


class Wake(Struct, frozen=True):
    """Wakes the model: jobs wait for it, and it was scaled to zero."""


Rare = DeliverParts | Fail | CancelInWorker | GrantCredit | Restart | Drained | Wake
Action = Send | Deliver | Rare
