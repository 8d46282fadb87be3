"""Sends held parts soon, whatever their handler does meanwhile.

A thread, because a handler that has sent a part may compute for minutes before it sends another.  It is made by the
first dense stream, and sleeps while nothing is held.  While it does not, threads take turns more often than Python has
them do: a handler that computes in Python would keep this one waiting for five milliseconds.  A handler that computes
in a C function which never releases the GIL keeps it waiting for as long.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TURN_S = 0.0005


class Flusher:
    """``flush`` is called from the thread, a pause after `watch`."""

    def __init__(self, flush: Callable[[], None], *, pause_s: float) -> None:
        self._flush = flush
        self._pause_s = pause_s
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Schedules a flush of the held parts. Call it with the lock that ``flush`` takes."""
        if self._wanted.is_set():
            return
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stoker-flusher", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            with _quick_turns():
                while self._wanted.is_set():
                    self._wanted.clear()
                    time.sleep(self._pause_s)
                    self._flush()


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Leaves the interval alone if the handler sets another one meanwhile."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN_S))
    ours = sys.getswitchinterval()
    try:
        yield
    finally:
        if sys.getswitchinterval() == ours:
            sys.setswitchinterval(before)
