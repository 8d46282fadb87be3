"""How many workers of the whole server are at work, and so whether there is a core to spare.  PURE.

Laws: a worker looks for its next batch only while the busy ones, itself among them, leave a core to the server; the
server looks for the answer of a worker only while no other is busy, and never takes the only core.
"""

from __future__ import annotations


class BusyWorkers(set[object]):
    """The workers at work, of all pools of a server, told apart by identity."""

    def __init__(self, cores: int) -> None:
        self._cores = cores

    @property
    def leave_a_core(self) -> bool:
        return len(self) < self._cores

    @property
    def only_one(self) -> bool:
        return len(self) == 1 < self._cores
