"""A clock in the hands of the test."""

from __future__ import annotations


class FakeTime:
    """Stands still unless a test advances it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
