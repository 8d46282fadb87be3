"""How many workers of the whole server are at work, and so whether there is a core to spare.  PURE.

Law: a worker looks for its next batch only while the busy ones, itself among them, leave a core to the server.
"""

from __future__ import annotations


class BusyWorkers:
    """Shared by all pools of a server. Workers are told apart by identity."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._busy: set[object] = set()
        self.leave_a_core = cores > 0

    def begins(self, worker: object) -> None:
        self._busy.add(worker)
        self.leave_a_core = len(self._busy) < self._cores

    def rests(self, worker: object) -> None:
        self._busy.discard(worker)
        self.leave_a_core = len(self._busy) < self._cores
