"""The log files and the console of a server, from `start` to `close`.

ts_log.log        everything of the server itself      (also on the console)
model_log.log     what workers print                   (also on the console)
access_log.log    one line per finished call           (also on the console, unless set otherwise)
ts_metrics.log     what the server measures            (the same)
model_metrics.log  what handlers record                (the same)

The files exist from the start, for tools that follow them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stoker.core.ports import AccessLog, AccessRecord
from stoker.telemetry import access as access_lines
from stoker.telemetry.json_lines import JsonFormatter, lone_line
from stoker.telemetry.line_buffer import LineBuffer, Post
from stoker.telemetry.lines import LineFormatter, with_columns
from stoker.telemetry.log4j import LogLevels
from stoker.telemetry.metric_log import MODEL_METRICS, TS_METRICS
from stoker.telemetry.sinks import Action, Console, RollingFile, Sink
from stoker.telemetry.writer import LogWriter

MODEL_LOGGER = "MODEL_LOG"
_KEPT = 5  # rolled-over files kept per log


class _Posting(logging.Handler):
    """Formats a record where it is logged, and leaves the writing to the writer threads."""

    def __init__(self, targets: Sequence[tuple[LogWriter, Sink]], formatter: logging.Formatter) -> None:
        super().__init__()
        self._targets = targets
        self.setFormatter(formatter)

    def handleError(self, record: logging.LogRecord) -> None:
        """Turns the traceback that logging would print here into a record."""

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        for writer, sink in self._targets:
            writer.post(sink, line)


class _Bulk:
    """Writes lines to a file, and with more columns to the console. Used only by the file writer."""

    def __init__(self, file: RollingFile, console: Callable[[bytes], None] | None, name: str | None) -> None:
        self._file = file
        self._console = console
        self._name = name

    def write(self, data: bytes) -> None:
        self._file.write(with_columns(data, None))
        if self._console is not None:
            self._console(with_columns(data, self._name))


class Logs:
    """The logs of a server. If ``log_location`` or ``metrics_location`` is missing or unwritable, only the console is
    left.

    ``format``: text or json. ``console_lines``: all, or server: without access log and metrics. ``rolling``: False if
    another program moves the files and calls `reopen`.
    """

    def __init__(
        self,
        *,
        log_location: Path,
        metrics_location: Path,
        console: Sink | None = None,
        format: str = "text",
        levels: LogLevels | None = None,
        console_lines: str = "all",
        rolling: bool = True,
    ) -> None:
        self.as_json = format == "json"
        self._formatter = JsonFormatter() if self.as_json else LineFormatter()
        self._levels = levels or LogLevels()
        self._console = console if console is not None else Console()
        self._shows_all = console_lines == "all"
        # The console has a writer of its own, because it may not be read.
        self._console_writer = LogWriter(
            name="console", on_trouble=lambda text: self._console.write(self._notice(text))
        )
        self._writer = LogWriter(name="log files", on_trouble=self._complain)
        self._files: list[RollingFile] = []
        self._keep = _KEPT if rolling else 0
        self._server_file = self._file(log_location / "ts_log.log")
        self._model_file = self._file(log_location / "model_log.log")
        access_file = self._file(log_location / "access_log.log")
        ts_metrics_file = self._file(metrics_location / "ts_metrics.log")
        model_metrics_file = self._file(metrics_location / "model_metrics.log")
        self._taken: list[tuple[logging.Logger, logging.Handler, int]] = []  # with its previous level
        access = self._bulk(access_file, access_lines.NAME)
        text_of = access_lines.json_of if self.as_json else access_lines.text_of
        self._access = LineBuffer[AccessRecord](partial(self._writer.post, access), text_of)
        self.ts_metrics = self._post_to(self._bulk(ts_metrics_file, TS_METRICS), self._levels.ts_metrics)
        self.model_metrics = self._post_to(self._bulk(model_metrics_file, MODEL_METRICS), self._levels.model_metrics)

    def start(self) -> None:
        """Creates the files, and takes over the root logger, the model log and Python's warnings."""
        for file in self._files:
            file.create()
        self._console_writer.start()
        self._writer.start()
        self._install(logging.getLogger(), self._server_file, self._levels.server)
        model_log = logging.getLogger(MODEL_LOGGER)
        self._install(model_log, self._model_file, self._levels.model)
        model_log.propagate = False
        logging.captureWarnings(True)

    def reopen(self) -> None:
        """Reopens the log files under their usual names, whatever became of the open ones. Any thread."""
        self._writer.post(Action(self._reopen), b"")

    @property
    def access(self) -> AccessLog | None:
        """Returns the access log, None if it is off."""
        return self._access if self._levels.access <= logging.INFO else None

    def announce(self, text: str) -> None:
        """Prints a bare line on the console; waits some seconds at most until it is written."""
        if self.as_json:
            text = lone_line(text)
        self._show(f"{text}\n".encode())
        self._console_writer.wait_written()

    def close(self) -> None:
        """Writes what is left and restores the loggers. Idempotent."""
        if self._taken:
            logging.captureWarnings(False)
        for logger, handler, level in self._taken:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = True
        self._taken.clear()
        self._access.flush()
        self._writer.close()
        self._console_writer.close()
        for file in self._files:
            file.close()

    def _reopen(self) -> None:
        for file in self._files:
            file.reopen()

    def _file(self, path: Path) -> RollingFile:
        file = RollingFile(path, on_trouble=self._complain, keep=self._keep)
        self._files.append(file)
        return file

    def _bulk(self, file: RollingFile, name: str) -> Sink:
        shown = self._shows_all and name not in self._levels.hidden
        return _Bulk(file, self._show if shown else None, None if self.as_json else name)

    def _post_to(self, sink: Sink, level: int) -> Post | None:
        """Returns None for a log that is off, so that its lines are not formatted."""
        return partial(self._writer.post, sink) if level <= logging.INFO else None

    def _show(self, data: bytes) -> None:
        self._console_writer.post(self._console, data)

    def _complain(self, text: str) -> None:
        self._show(self._notice(text))

    def _notice(self, text: str) -> bytes:
        """Reports trouble with the logs themselves past the loggers, which would cause more of it."""
        fields = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
        record = logging.makeLogRecord({**fields, "threadName": "stoker-log"})
        return f"{self._formatter.format(record)}\n".encode("utf-8", "backslashreplace")

    def _install(self, logger: logging.Logger, file: RollingFile, level: int) -> None:
        handler = _Posting(((self._console_writer, self._console), (self._writer, file)), self._formatter)
        self._taken.append((logger, handler, logger.level))
        logger.addHandler(handler)
        logger.setLevel(level)
