"""Handles SIGTERM and SIGINT from the first to the last moment of a server's process.

Invariant: a signal never interrupts a step of the start or of the stop; it is remembered, and the server stops as soon
as it can.  The loop's own handlers take over while it runs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def hold() -> None:
    """Keeps signals pending for the program that this process becomes by exec; PID 1 would lose them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


class StopSignals:
    """Use in the main thread: ``with signals.listening():``."""

    def __init__(self) -> None:
        self.received = 0
        self._target: Callable[[], None] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listens within the block; later signals are ignored, since they must not change the exit status."""
        for number in SIGNALS:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked by `hold` or by the parent
        try:
            yield
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def attach(self, target: Callable[[], None]) -> None:
        """Calls ``target`` for each signal, including those that came before."""
        self._target = target
        for _ in range(self.received):
            target()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        if self._target is not None:
            self._target()
