"""Writes what workers print to the model log, line by line.

Reads one small piece of a pipe per turn of the loop: a worker that prints endlessly has to wait for the reader, and
neither grows the server's memory nor delays requests.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

from stoker.core.printed import LineSplitter, Tracebacks
from stoker.pool.repeats import Repeats
from stoker.pool.running_process import RunningProcess

log = logging.getLogger("MODEL_LOG")

_READ_BYTES = 16 << 10
_REST_BYTES = 1 << 20  # the most that a pipe holds without privileges
_TRACEBACK_S = 0.2  # the longest pause between two lines of one

METRIC = "[METRICS]"


class PipeLog:
    """Reads one pipe of a worker until `close`. ``label``: the thread name in the log lines; ``about``: fields about
    the worker in them.

    ``on_metric`` gets lines that begin with `METRIC`; those for which it returns True are not logged.  ``repeats``
    suppresses what an earlier worker printed about the same failure.  ``on_line`` gets every line.
    """

    def __init__(
        self,
        fd: int,
        *,
        level: int,
        label: str,
        about: Mapping[str, object] | None = None,
        on_metric: Callable[[str], bool] = lambda line: False,
        repeats: Repeats | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._fd = fd
        self._on_line = on_line
        self._repeats = repeats
        self._on_metric = on_metric
        self._level = level
        self._extra = {**(about or {}), "event": "worker_output", "thread_label": label, "printed": True}
        self._lines = LineSplitter()
        self._tracebacks = Tracebacks()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._open = False

    def start(self) -> None:
        self._open = True
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        if self._read(_READ_BYTES) == 0:  # end of file: the worker closed it
            self._stop_reading()

    def _read(self, nbytes: int) -> int | None:
        """Returns the number of bytes read: 0 at end of file, None if there is nothing to read now."""
        try:
            data = os.read(self._fd, nbytes)
        except (BlockingIOError, InterruptedError):
            return None
        self._log(self._lines.feed(data))
        return len(data)

    def _log(self, lines: list[str]) -> None:
        for line in lines:
            if self._on_line is not None:
                self._on_line(line)
            if line.startswith(METRIC) and self._on_metric(line):
                continue
            self._write([line] if self._repeats is None else self._repeats.feed(line))

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self._emit(self._tracebacks.feed(line))
        if self._tracebacks.open and self._timer is None:
            self._timer = self._loop.call_later(_TRACEBACK_S, self._end_traceback)

    def _end_traceback(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._emit(self._tracebacks.end())

    def _emit(self, records: list[str]) -> None:
        for record in records:
            log.log(self._level, "%s", record, extra=self._extra)

    def loaded(self) -> None:
        """Stops suppressing repeated output."""
        repeats, self._repeats = self._repeats, None
        if repeats is not None:
            self._write(repeats.loaded())

    def _stop_reading(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)

    def close(self) -> None:
        """Logs what is left in the pipe of a dead worker, and stops; the caller closes the pipe. Idempotent."""
        left = _REST_BYTES if self._open else 0
        while left > 0 and (count := self._read(_READ_BYTES)):
            left -= count
        self._stop_reading()
        self._log(self._lines.end())
        repeats, self._repeats = self._repeats, None
        if repeats is not None:
            self._write(repeats.failed())
        self._end_traceback()


def output_logs(
    process: RunningProcess,
    *,
    label: str,
    about: Mapping[str, object],
    on_metric: Callable[[str], bool] = lambda line: False,
    repeats: tuple[Repeats | None, Repeats | None] = (None, None),
) -> list[PipeLog]:
    """Makes the logs of a process's standard output and error. Only standard output may contain metrics."""
    first, second = repeats
    return [
        PipeLog(
            process.stdout_fd,
            level=logging.INFO,
            label=f"{label}-stdout",
            about=about,
            on_metric=on_metric,
            repeats=first,
        ),
        PipeLog(process.stderr_fd, level=logging.WARNING, label=f"{label}-stderr", about=about, repeats=second),
    ]
