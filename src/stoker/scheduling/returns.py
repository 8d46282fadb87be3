"""Decides how often a job is sent again after workers died before they began it.  PURE.

A worker that dies between two batches, with one in hand that it had not begun, may have died of receiving it: too large
for its memory, or nothing it can decode.  Such a batch is suspected, and its jobs are sent again one by one, each to an
idle worker; the job that loses a second worker in this way is given up.  A job that only waited behind a batch that
failed is sent again like any other, but not for ever.
"""

from __future__ import annotations

from typing import NamedTuple

from stoker.core.job import Job

MOST_SUSPICIONS = 2
MOST_RETURNS = 4
_ALONE_AFTER = 2
_REMEMBERED = 10_000


class _Past(NamedTuple):
    returns: int = 0
    suspicions: int = 0


class Returns:
    """Tracks only jobs that came back lately, so that those whose workers live cost nothing."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}  # the newest last

    def may_go_again(self, job: Job, *, suspected: bool) -> bool:
        """Notes that ``job`` came back. False: it has cost enough workers."""
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
