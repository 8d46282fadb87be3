"""Assigns worker ids: numbers from ``initial_worker_port`` up, as in TorchServe.  PURE."""

from __future__ import annotations

import heapq


class WorkerIds:
    """Shared by all pools of a server. Reuses freed numbers, the lowest first."""

    def __init__(self, first: int = 9000) -> None:
        self._next = first
        self._free: list[int] = []

    def take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        assert number < self._next and number not in self._free, f"{number} was not taken"
        heapq.heappush(self._free, number)
