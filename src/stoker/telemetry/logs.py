"""The log files and the console of a server, from `start` to `close`.

ts_log.log        everything of the server itself      (also on the console)
model_log.log     what workers print                   (also on the console)
access_log.log    one line per finished call
ts_metrics.log, model_metrics.log                      created empty, so that tools that follow them find them
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from stoker.telemetry.access import BufferedAccessLog
from stoker.telemetry.lines import LineFormatter
from stoker.telemetry.sinks import Console, RollingFile, Sink
from stoker.telemetry.writer import LogWriter, notice_to

MODEL_LOGGER = "MODEL_LOG"


class _Posting(logging.Handler):
    """Formats a record where it happens and leaves the writing to the writers' threads."""

    def __init__(self, targets: Sequence[tuple[LogWriter, Sink]]) -> None:
        super().__init__()
        self._targets = targets
        self.setFormatter(LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        for writer, sink in self._targets:
            writer.post(sink, line, len(line))


class Logs:
    """``log_location`` and ``metrics_location`` may be missing or unwritable: then only the console is left."""

    def __init__(self, *, log_location: Path, metrics_location: Path, console: Sink | None = None) -> None:
        self._console = console if console is not None else Console()
        self._console_writer = LogWriter(trouble=self._console)  # its own, since nobody may be reading the console
        self._writer = LogWriter(trouble=self._console)
        trouble = notice_to(self._console)
        self._server_file = RollingFile(log_location / "ts_log.log", on_trouble=trouble)
        self._model_file = RollingFile(log_location / "model_log.log", on_trouble=trouble)
        self._access_file = RollingFile(log_location / "access_log.log", on_trouble=trouble)
        self._metrics_files = [
            RollingFile(metrics_location / name, on_trouble=trouble) for name in ("ts_metrics.log", "model_metrics.log")
        ]
        self._taken: list[tuple[logging.Logger, logging.Handler, int]] = []  # with the level it had
        self.access = BufferedAccessLog(self._writer, self._access_file)

    def start(self) -> None:
        """Creates the files and takes over the root logger and the model log."""
        for file in self._files():
            file.create()
        self._console_writer.start()
        self._writer.start()
        self._install(logging.getLogger(), self._server_file)
        model_log = logging.getLogger(MODEL_LOGGER)
        self._install(model_log, self._model_file)
        model_log.propagate = False

    def announce(self, text: str) -> None:
        """A bare line on the console: something that scripts wait for."""
        line = f"{text}\n".encode()
        self._console_writer.post(self._console, line, len(line))

    def close(self) -> None:
        """Writes what is left and gives the loggers back. Idempotent."""
        for logger, handler, level in self._taken:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = True
        self._taken.clear()
        self.access.flush()
        self._writer.close()
        self._console_writer.close()
        for file in self._files():
            file.close()

    def _files(self) -> list[RollingFile]:
        return [self._server_file, self._model_file, self._access_file, *self._metrics_files]

    def _install(self, logger: logging.Logger, file: RollingFile) -> None:
        handler = _Posting(((self._console_writer, self._console), (self._writer, file)))
        self._taken.append((logger, handler, logger.level))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
