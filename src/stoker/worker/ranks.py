"""Runs batches where a worker has several ranks: each rank runs the same batches, whole.

Invariant: nothing interrupts one rank alone, because the others would wait for it in a collective operation. So a
request that is cancelled or late is run to its end, its parts are dropped, and `is_cancelled` is never true.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

from stoker.ipc.to_server import Failure, Results
from stoker.worker import rows
from stoker.worker.exceptions import JobCancelled
from stoker.worker.inbox import Batch
from stoker.worker.loop import Loop
from stoker.worker.streaming import PartSender


class RankSender(PartSender):
    def is_cancelled(self, row: int) -> bool:
        return False

    def send(self, ret: Any, req_id_map: Mapping[int, str], message: str, code: int) -> None:
        try:
            super().send(ret, req_id_map, message, code)
        except JobCancelled:
            pass  # the batch runs to its end


class RankLoop(Loop):
    """The loop of rank 0, which answers."""

    def _rows(self, batch: Batch) -> list[dict[str, Any]]:
        cancelled, batch.cancelled = batch.cancelled, frozenset()
        made = rows.begin(batch, -inf, decode=self._decode, tensors=self._tensors)
        batch.cancelled = cancelled
        return made


class FollowerLoop(RankLoop):
    """The loop of the other ranks, which report that they ran a batch, or why they could not. Their outputs are
    ignored."""

    def _run(self, batch: Batch) -> None:
        outputs = self._call(batch, self._rows(batch))
        failures: dict[int, Failure] = {}
        if isinstance(outputs, Failure) and outputs.kind != "output":
            failures = dict.fromkeys(range(len(batch.jobs)), outputs)
        self._reply(Results(batch.id, [0] * len(batch.jobs), failures), [])
