"""Counts the busy workers of the whole server, which tells whether there is a core to spare.  PURE.

Laws: a worker polls for its next batch only while the busy ones, itself among them, leave a core to the server; one on
another machine takes none of its cores. The server polls for the answer of a worker only while no other is busy, and
never takes the only core.
"""

from __future__ import annotations


class BusyWorkers:
    """The workers at work, of all pools of a server, told apart by identity.

    ``leave_a_core``: those on this machine leave it a core. ``only_one``: a single worker is at work, and leaves one.
    """

    __slots__ = ("_cores", "_elsewhere", "_here", "leave_a_core", "only_one")

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._here: set[object] = set()
        self._elsewhere: set[object] = set()
        self.leave_a_core = cores > 0
        self.only_one = False

    def record(self, worker: object, *, at_work: bool, here: bool = True) -> None:
        """Records whether ``worker`` is at work. ``here``: it shares the server's cores. Idempotent."""
        group = self._here if here else self._elsewhere
        if at_work:
            group.add(worker)
        else:
            group.discard(worker)
        taken = len(self._here)
        self.leave_a_core = taken < self._cores
        self.only_one = taken + len(self._elsewhere) == 1 and self.leave_a_core
