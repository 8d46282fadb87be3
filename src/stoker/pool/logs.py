r"""What workers print, line by line into the model log.

A pipe of a worker is read in small slices, one per turn of the loop: a worker that prints without end waits for
the reader and neither grows the server's memory nor takes its time away from requests.  Lines are data of a stranger:
whatever could forge a log line (``\r``, escape sequences, ...) is escaped, and what is too long is cut into several.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from stoker.pool.repeats import Repeats

logger = logging.getLogger("MODEL_LOG")

MAX_LINE_BYTES = 8 << 10
_READ_BYTES = 16 << 10
_REST_BYTES = 1 << 20  # a pipe holds 64 KiB by default, and at most this without privileges

_CONTROL = [*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029]
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _CONTROL if chr(code) != "\t"}


class LineSplitter:
    """Bytes in, whole lines out, as text that is safe to log. PURE."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, rest = (self._rest + data).split(b"\n")
        whole = [text for line in lines for text in self._cut(line)]
        while len(rest) > self._max:
            whole.append(_safe(rest[: self._max]))
            rest = rest[self._max :]
        self._rest = rest
        return whole

    def end(self) -> list[str]:
        """The last line, when it had no line end."""
        rest, self._rest = self._rest, b""
        return self._cut(rest) if rest else []

    def _cut(self, line: bytes) -> list[str]:
        line = line.removesuffix(b"\r")
        if len(line) <= self._max:
            return [_safe(line)]
        return [_safe(line[start : start + self._max]) for start in range(0, len(line), self._max)]


def _safe(line: bytes) -> str:
    text = line.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else text.translate(_ESCAPES)


METRIC = "[METRICS]"


class PipeLog:
    """Reads one pipe of a worker until `close`; ``label`` becomes the thread name of the log lines.

    ``on_metric`` is told lines that begin with `METRIC`, and says whether that is what they are: then they are not
    logged.  ``repeats`` holds back what a worker before this one has said of the same failure.
    """

    def __init__(
        self,
        fd: int,
        *,
        level: int,
        label: str,
        on_metric: Callable[[str], bool] = lambda line: False,
        repeats: Repeats | None = None,
    ) -> None:
        self._fd = fd
        self._repeats = repeats
        self._on_metric = on_metric
        self._level = level
        self._extra = {"event": "worker_output", "thread_label": label}
        self._lines = LineSplitter()
        self._loop = asyncio.get_running_loop()
        self._open = False

    def start(self) -> None:
        self._open = True
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        if self._read(_READ_BYTES) == 0:  # end of file: the worker closed it
            self._stop_reading()

    def _read(self, nbytes: int) -> int | None:
        """How much there was: 0 at end of file, None when nothing is there now."""
        try:
            data = os.read(self._fd, nbytes)
        except (BlockingIOError, InterruptedError):
            return None
        self._log(self._lines.feed(data))
        return len(data)

    def _log(self, lines: list[str]) -> None:
        for line in lines:
            if line.startswith(METRIC) and self._on_metric(line):
                continue
            self._write([line] if self._repeats is None else self._repeats.feed(line))

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            logger.log(self._level, "%s", line, extra=self._extra)

    def loaded(self) -> None:
        """From now on nothing is held back."""
        repeats, self._repeats = self._repeats, None
        if repeats is not None:
            self._write(repeats.loaded())

    def _stop_reading(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)

    def close(self) -> None:
        """Logs what is in the pipe (the worker is dead) and stops. Idempotent; the pipe is the caller's to close."""
        left = _REST_BYTES if self._open else 0
        while left > 0 and (count := self._read(_READ_BYTES)):
            left -= count
        self._stop_reading()
        self._log(self._lines.end())
        repeats, self._repeats = self._repeats, None
        if repeats is not None:
            self._write(repeats.failed())
