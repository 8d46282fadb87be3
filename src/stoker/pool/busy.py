"""How many workers of the whole server are at work, and so whether there is a core to spare.  PURE.

Laws: a worker looks for its next batch only while the busy ones, itself among them, leave a core to the server; one on
another machine takes none of its cores. The server looks for the answer of a worker only while no other is busy, and
never takes the only core.
"""

from __future__ import annotations


class BusyWorkers:
    """The workers at work, of all pools of a server, told apart by identity: ``here`` those that share its cores,
    ``elsewhere`` all others. Whoever is at work is in one of the sets."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self.here: set[object] = set()
        self.elsewhere: set[object] = set()

    @property
    def leave_a_core(self) -> bool:
        return len(self.here) < self._cores

    @property
    def only_one(self) -> bool:
        return len(self.here) + len(self.elsewhere) == 1 and len(self.here) < self._cores
