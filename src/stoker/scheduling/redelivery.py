"""Decides whether a job is sent again after a worker died before beginning it.  PURE.

A worker that dies between two batches may have died from receiving the next one: it did not fit into memory, or could
not be decoded.  That batch is suspected.  Its jobs are sent again one at a time, each to an idle worker, and a job
suspected a second time is failed.  A job that merely waited behind a failed batch is sent again too, but only a limited
number of times.
"""

from __future__ import annotations

from typing import NamedTuple

from stoker.core.job import Job

MOST_SUSPICIONS = 2
MOST_RETURNS = 4
"""The suspicion and the return at which a job is failed."""
_ALONE_AFTER = 2  # returns
_REMEMBERED = 10_000  # jobs


class _Past(NamedTuple):
    returns: int = 0
    suspicions: int = 0


class Redelivery:
    """Tracks only jobs that were returned recently, so that all others cost nothing."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}  # the newest last

    def allows(self, job: Job, *, suspected: bool) -> bool:
        """Records that a dead worker returned ``job``; returns whether to send it again, then perhaps alone."""
        past = self._past.pop(job.id, _Past())
        past = _Past(past.returns + 1, past.suspicions + suspected)
        if past.suspicions >= MOST_SUSPICIONS or past.returns >= MOST_RETURNS:
            return False
        if suspected or past.returns >= _ALONE_AFTER:
            job.alone = True
        self._past[job.id] = past
        if len(self._past) > _REMEMBERED:
            del self._past[next(iter(self._past))]
        return True
