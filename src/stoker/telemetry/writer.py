"""One thread writes all log lines, so that a slow disk or a console that nobody reads never holds up the event loop.

What waits to be written is bounded; beyond that lines are dropped and counted, and the count is logged.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from stoker.telemetry.lines import timestamp
from stoker.telemetry.sinks import Sink

Content = bytes | Callable[[], bytes]
"""A function is called in the thread: formatting that the event loop need not do."""


class LogWriter:
    """`post` from any thread; `close` gives what waits a moment to be written."""

    def __init__(self, *, trouble: Sink, max_pending_bytes: int = 16 << 20) -> None:
        self._trouble = trouble
        self._max_pending = max_pending_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._entries: deque[tuple[Sink, Content, int]] = deque()
        self._pending = 0
        self._dropped = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stoker-log", daemon=True)
        self._thread.start()

    def post(self, sink: Sink, content: Content, size: int) -> None:
        """Never blocks, never raises."""
        with self._lock:
            if self._pending + size > self._max_pending:
                self._dropped += 1
                return
            self._entries.append((sink, content, size))
            self._pending += size
        self._wake.set()

    def wait_written(self, timeout_s: float = 2.0) -> bool:
        """Waits until all that was posted so far is written. False: nobody takes it."""
        barrier = _Barrier()
        self.post(barrier, b"", 0)
        return barrier.passed.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Idempotent. A console that takes nothing loses the rest."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._closing or self._entries:
            self._wake.wait()
            if not self._closing:
                self._wake.clear()
            self.write_pending()

    def write_pending(self) -> None:
        """Writes all that waits, neighbours for one sink in one write."""
        with self._lock:
            entries, self._entries = self._entries, deque()
            dropped, self._dropped = self._dropped, 0
        while entries:
            sink, content, size = entries.popleft()
            parts = [_bytes(content)]
            while entries and entries[0][0] is sink:
                _, content, more = entries.popleft()
                parts.append(_bytes(content))
                size += more
            sink.write(b"".join(parts))
            with self._lock:
                self._pending -= size
        if dropped:
            self._trouble.write(_notice(f"{dropped} log lines were dropped: they came faster than they can be written"))


class _Barrier:
    """A sink that is written to when everything before it was written."""

    def __init__(self) -> None:
        self.passed = threading.Event()

    def write(self, data: bytes) -> None:
        self.passed.set()


def _bytes(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return content()
    except Exception as error:  # the thread must live on
        return _notice(f"a log entry was lost: {error!r}")


def _notice(text: str) -> bytes:
    return f"{timestamp(time.time())} [WARN ] stoker-log stoker.telemetry - {text}\n".encode()


def notice_to(sink: Sink) -> Callable[[str], None]:
    """For sinks that must report their own trouble: they are written by the thread that would log it."""
    return lambda text: sink.write(_notice(text))
