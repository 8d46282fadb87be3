"""Counts the busy workers of the whole server, to tell whether a core is free for polling.  PURE.

Invariants: a worker on this machine polls for its next batch only while the busy workers, itself included, leave the
server a core; workers on other machines may always poll. The server polls for a worker's answer only while no other
worker is busy, and that one leaves it a core.
"""

from __future__ import annotations


class BusyWorkers:
    """The busy workers of all pools of a server, compared by identity.

    ``leave_a_core``: those on this machine leave the server a core. ``only_one``: a single worker is busy, and leaves
    the server a core.
    """

    __slots__ = ("_cores", "_elsewhere", "_here", "leave_a_core", "only_one")

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._here: set[object] = set()
        self._elsewhere: set[object] = set()
        self.leave_a_core = cores > 0
        self.only_one = False

    def record(self, worker: object, *, at_work: bool, here: bool = True) -> None:
        """Records whether ``worker`` is busy. ``here``: it shares the server's cores. Idempotent."""
        group = self._here if here else self._elsewhere
        if at_work:
            group.add(worker)
        else:
            group.discard(worker)
        taken = len(self._here)
        self.leave_a_core = taken < self._cores
        self.only_one = taken + len(self._elsewhere) == 1 and self.leave_a_core
