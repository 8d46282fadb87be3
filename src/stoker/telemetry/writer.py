"""Writes all log lines in one thread, so that a slow disk or an unread console never delays the event loop.

The backlog is bounded; beyond it, lines are dropped and counted, and the count is logged.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from stoker.telemetry.sinks import Action, Sink


class LogWriter:
    """Takes lines by `post` from any thread; `close` waits briefly for the backlog.

    ``on_trouble`` is called with messages, in the thread; ``name``: what is written, for those messages.
    """

    def __init__(self, *, name: str, on_trouble: Callable[[str], None], max_pending_bytes: int = 16 << 20) -> None:
        self._name = name
        self._on_trouble = on_trouble
        self._max_pending = max_pending_bytes
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._entries: deque[tuple[Sink, bytes]] = deque()
        self._pending = 0
        self._dropped = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="stoker-log", daemon=True)
        self._thread.start()

    def post(self, sink: Sink, data: bytes) -> None:
        """Queues it. Never blocks, never raises."""
        with self._lock:
            if self._pending + len(data) > self._max_pending:
                self._dropped += data.count(b"\n")
                return
            self._entries.append((sink, data))
            self._pending += len(data)
        self._wake.set()

    def wait_written(self, timeout_s: float = 2.0) -> bool:
        """Waits until everything posted so far is written. False: the sink takes nothing."""
        written = threading.Event()
        self.post(Action(written.set), b"")
        return written.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Stops the thread; a console that takes nothing loses the rest. Idempotent."""
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
        """Writes the backlog, merging neighbouring lines for one sink into one write."""
        with self._lock:
            entries, self._entries = self._entries, deque()
            dropped, self._dropped = self._dropped, 0
        while entries:
            sink, data = entries.popleft()
            parts = [data]
            while entries and entries[0][0] is sink:
                parts.append(entries.popleft()[1])
            data = b"".join(parts)
            sink.write(data)
            with self._lock:
                self._pending -= len(data)
        if dropped:
            self._on_trouble(
                f"{self._name}: {dropped} log lines were dropped; they came faster than they can be written"
            )
