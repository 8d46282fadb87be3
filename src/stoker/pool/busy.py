"""How many workers of the whole server are at work, and so whether there is a core to spare.  PURE.

Laws: a worker looks for its next batch only while the busy ones, itself among them, leave a core to the server; the
server looks for the answer of a worker only while no other is busy, and never takes the only core.
"""

from __future__ import annotations


class BusyWorkers:
    """Shared by all pools of a server. Workers are told apart by identity."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._busy: set[object] = set()
        self._count()

    def begins(self, worker: object) -> None:
        self._busy.add(worker)
        self._count()

    def rests(self, worker: object) -> None:
        self._busy.discard(worker)
        self._count()

    def _count(self) -> None:
        busy = len(self._busy)
        self.leave_a_core = busy < self._cores
        self.only_one = busy == 1 < self._cores
