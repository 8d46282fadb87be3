"""Describes how one worker is spread over several devices and several processes, its ranks."""

from __future__ import annotations

from typing import NamedTuple

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"
"""Without this variable, Gloo uses the interface to which the host name resolves: often loopback."""


class Ranks(NamedTuple):
    """``kind``: pp, tp, pptp or custom. ``level``: devices per worker. ``threads``: of each rank (OMP_NUM_THREADS)."""

    kind: str
    level: int
    threads: int = 1

    @property
    def processes(self) -> int:
        """Returns the number of processes. With `custom`, one process has all devices of the worker."""
        return 1 if self.kind == "custom" else self.level

    @property
    def all_predict(self) -> bool:
        """Tells whether each rank gets the requests. With pipelines, rank 0 sends the others what they need."""
        return self.kind != "pp"
