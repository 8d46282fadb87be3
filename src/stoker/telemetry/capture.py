"""Captures what is written to the server's standard output and error past its logs: by C libraries, by child processes,
by Python at the end of a thread.

It appears in the logs in their format, and the writer never waits for a console that is not read.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import os
import select
import sys
import threading
from collections.abc import Iterator

from stoker.core.printed import LineSplitter, Tracebacks

_READ_BYTES = 64 << 10
_MOST_READS = 64  # at the end: more than a pipe holds, but bounded
_TRACEBACK_S = 0.2  # longest gap between the lines of one traceback
_HIGH_FD = 10  # above the descriptors that programs use themselves


def console_fd() -> int:
    """Duplicates standard output to a descriptor of its own."""
    try:
        return fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    except OSError:  # closed by the parent
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


class Capture:
    """Captures from `start` to `close`. Crash output goes to the real standard error."""

    def __init__(self) -> None:
        self._streams = [_Stream(1, logging.INFO, "stdout"), _Stream(2, logging.WARNING, "stderr")]
        self._stop: tuple[int, int] = (-1, -1)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        for stream in self._streams:
            stream.take()
        if faulthandler.is_enabled():
            faulthandler.enable(file=self._streams[1].saved)
        self._stop = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="stoker-output", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Restores both descriptors and logs what is left. Idempotent."""
        if self._thread is None:
            return
        for stream in self._streams:
            stream.give_back()
        os.write(self._stop[1], b"x")
        self._thread.join()
        self._thread = None
        if faulthandler.is_enabled():
            faulthandler.enable()
        for fd in self._stop:
            os.close(fd)

    def _run(self) -> None:
        by_fd = {stream.reader: stream for stream in self._streams}
        stop = self._stop[0]
        while True:
            waiting = any(stream.tracebacks.open for stream in self._streams)
            ready, _, _ = select.select([*by_fd, stop], [], [], _TRACEBACK_S if waiting else None)
            for fd in ready:
                if fd != stop and not by_fd[fd].read():
                    del by_fd[fd]
            if stop in ready:
                break
            if not ready:
                for stream in self._streams:
                    stream.end_traceback()
        for stream in self._streams:
            stream.close()


class _Stream:
    """One of the two streams. ``saved``: the original descriptor, ``reader``: the read end of the pipe."""

    def __init__(self, number: int, level: int, name: str) -> None:
        self._number = number
        self._level = level
        self._logger = logging.getLogger(f"stoker.{name}")
        self._extra = {"event": "server_output", "thread_label": f"main-{name}", "printed": True}
        self._lines = LineSplitter()
        self.tracebacks = Tracebacks()
        self.saved = self.reader = -1

    def take(self) -> None:
        _flush()
        try:
            self.saved = fcntl.fcntl(self._number, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
        except OSError:  # it was closed
            self.saved = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        self.reader = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
        os.set_blocking(self.reader, False)
        os.dup2(writer, self._number)  # child processes inherit it
        for fd in (reader, writer):
            os.close(fd)

    def give_back(self) -> None:
        _flush()
        os.dup2(self.saved, self._number)

    def read(self) -> bool:
        """Reads what is there. False: no writer is left."""
        try:
            data = os.read(self.reader, _READ_BYTES)
        except BlockingIOError:
            return True
        self._log(self._records(self._lines.feed(data)))
        return bool(data)

    def end_traceback(self) -> None:
        self._log(self.tracebacks.end())

    def close(self) -> None:
        """Logs what is left in the pipe. A program that outlives the server then finds it closed."""
        for _ in range(_MOST_READS):
            if not select.select([self.reader], [], [], 0)[0] or not self.read():
                break
        self._log(self._records(self._lines.end()))
        self.end_traceback()
        for fd in (self.reader, self.saved):
            os.close(fd)

    def _records(self, lines: list[str]) -> Iterator[str]:
        for line in lines:
            yield from self.tracebacks.feed(line)

    def _log(self, records: Iterator[str] | list[str]) -> None:
        for record in records:
            self._logger.log(self._level, "%s", record, extra=self._extra)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # already closed, or never opened
            stream.flush()
