"""Decides how long an idle worker waits for a full batch, as TorchServe's do.  PURE.

The delay runs from the moment when the worker and a first job met.
"""

from __future__ import annotations


class Forming:
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._since: float | None = None

    def due(self, now: float) -> float:
        """Returns when the batch leaves at the latest; it is being formed from now on if none was."""
        if self._since is None:
            self._since = now
        return self._since + self._delay_s

    def over(self) -> None:
        """Forgets the batch: it left, or nothing waits any more."""
        self._since = None
