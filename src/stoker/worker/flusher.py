"""Sends what a worker holds back soon, whatever its handler does meanwhile.

A thread, because a handler may compute for minutes before it sends another part or returns.  It starts when something
is held for the first time, and sleeps while nothing is.  While it does not, threads take turns at least twice in a
pause: by default, a handler that computes in Python would keep this one waiting for five milliseconds.  A handler that
computes in a C function which never releases the GIL keeps it waiting for as long.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Flusher:
    """``flush`` is called from the thread, ``pause_s`` after `watch`."""

    def __init__(self, flush: Callable[[], None], *, pause_s: float) -> None:
        self._flush = flush
        self._pause_s = pause_s
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self) -> None:
        """Schedules a flush of what is held. Call it from one thread at a time, and from ``flush``."""
        if self._wanted.is_set():
            return
        self._wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stoker-flusher", daemon=True)
            with suppress(RuntimeError):  # where no more threads may start, what is held leaves with what follows
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            with _switch_interval(self._pause_s / 2):
                while self._wanted.is_set():
                    self._wanted.clear()
                    time.sleep(self._pause_s)
                    self._flush()


@contextmanager
def _switch_interval(most_s: float) -> Iterator[None]:
    """Leaves the interval alone if the handler sets another one meanwhile."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, most_s))
    ours = sys.getswitchinterval()
    try:
        yield
    finally:
        if sys.getswitchinterval() == ours:
            sys.setswitchinterval(before)
