"""Describes how one worker is spread over several devices, and over several processes, its ranks."""

from __future__ import annotations

from typing import NamedTuple

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
"""Without it, Gloo takes the interface that the machine's name leads to: often loopback, where no other node is."""


class Ranks(NamedTuple):
    """``kind``: pp, tp, pptp or custom. ``level``: devices per worker. ``threads``: of each rank (OMP_NUM_THREADS)."""

    kind: str
    level: int
    threads: int = 1

    @property
    def processes(self) -> int:
        """With `custom`, one process has all devices of its worker."""
        return 1 if self.kind == "custom" else self.level

    @property
    def all_predict(self) -> bool:
        """Tells whether each rank gets the requests; with pipelines, rank 0 passes on what the others need."""
        return self.kind != "pp"
