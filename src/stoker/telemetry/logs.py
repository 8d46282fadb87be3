"""The log files and the console of a server, from `start` to `close`.

ts_log.log        everything of the server itself      (also on the console)
model_log.log     what workers print                   (also on the console)
access_log.log    one line per finished call
ts_metrics.log     what the server measures
model_metrics.log  what handlers record                the files exist from the start, for tools that follow them
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from stoker.telemetry.access import BufferedAccessLog
from stoker.telemetry.json_lines import JsonFormatter
from stoker.telemetry.lines import LineFormatter
from stoker.telemetry.log4j import LogLevels
from stoker.telemetry.metric_log import Post
from stoker.telemetry.sinks import Console, RollingFile, Sink
from stoker.telemetry.writer import LogWriter, notice_to

MODEL_LOGGER = "MODEL_LOG"


class _Posting(logging.Handler):
    """Formats a record where it happens and leaves the writing to the writers' threads."""

    def __init__(self, targets: Sequence[tuple[LogWriter, Sink]], formatter: logging.Formatter) -> None:
        super().__init__()
        self._targets = targets
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        for writer, sink in self._targets:
            writer.post(sink, line, len(line))


class Logs:
    """``log_location`` and ``metrics_location`` may be missing or unwritable: then only the console is left.

    ``format``: text or json, for what is on the console.
    """

    def __init__(
        self,
        *,
        log_location: Path,
        metrics_location: Path,
        console: Sink | None = None,
        format: str = "text",
        levels: LogLevels | None = None,
    ) -> None:
        self._formatter = JsonFormatter() if format == "json" else LineFormatter()
        self._json = format == "json"
        self._levels = levels or LogLevels()
        self._console = console if console is not None else Console()
        self._console_writer = LogWriter(trouble=self._console)  # its own, since nobody may be reading the console
        self._writer = LogWriter(trouble=self._console)
        trouble = notice_to(self._console)
        self._server_file = RollingFile(log_location / "ts_log.log", on_trouble=trouble)
        self._model_file = RollingFile(log_location / "model_log.log", on_trouble=trouble)
        self._access_file = RollingFile(log_location / "access_log.log", on_trouble=trouble)
        self._ts_metrics_file = RollingFile(metrics_location / "ts_metrics.log", on_trouble=trouble)
        self._model_metrics_file = RollingFile(metrics_location / "model_metrics.log", on_trouble=trouble)
        self._taken: list[tuple[logging.Logger, logging.Handler, int]] = []  # with the level it had
        self._access = BufferedAccessLog(self._writer, self._access_file)
        self.ts_metrics: Post = self._post_to(self._ts_metrics_file, self._levels.ts_metrics)
        self.model_metrics: Post = self._post_to(self._model_metrics_file, self._levels.model_metrics)

    def start(self) -> None:
        """Creates the files and takes over the root logger and the model log."""
        for file in self._files():
            file.create()
        self._console_writer.start()
        self._writer.start()
        self._install(logging.getLogger(), self._server_file, self._levels.server)
        model_log = logging.getLogger(MODEL_LOGGER)
        self._install(model_log, self._model_file, self._levels.model)
        model_log.propagate = False

    @property
    def access(self) -> BufferedAccessLog | None:
        """None: nobody wants these lines."""
        return self._access if self._levels.access <= logging.INFO else None

    def announce(self, text: str) -> None:
        """A bare line on the console: something that scripts wait for. Returns when it is there, or when nobody has
        taken it for some seconds."""
        if self._json:
            record = logging.makeLogRecord(
                {"name": "stoker", "levelname": "INFO", "levelno": logging.INFO, "msg": text}
            )
            text = self._formatter.format(record)
        line = f"{text}\n".encode()
        self._console_writer.post(self._console, line, len(line))
        self._console_writer.wait_written()

    def close(self) -> None:
        """Writes what is left and gives the loggers back. Idempotent."""
        for logger, handler, level in self._taken:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = True
        self._taken.clear()
        self._access.flush()
        self._writer.close()
        self._console_writer.close()
        for file in self._files():
            file.close()

    def _files(self) -> list[RollingFile]:
        logs = [self._server_file, self._model_file, self._access_file]
        return [*logs, self._ts_metrics_file, self._model_metrics_file]

    def _post_to(self, file: RollingFile, level: int) -> Post:
        def post(text: Callable[[], bytes], size: int) -> None:
            if level <= logging.INFO:
                self._writer.post(file, text, size)

        return post

    def _install(self, logger: logging.Logger, file: RollingFile, level: int) -> None:
        handler = _Posting(((self._console_writer, self._console), (self._writer, file)), self._formatter)
        self._taken.append((logger, handler, logger.level))
        logger.addHandler(handler)
        logger.setLevel(level)
