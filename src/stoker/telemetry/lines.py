"""Formats log lines as TorchServe's console does: ``<ISO 8601> [LEVEL] <thread> <logger> - <message>``.

Invariant: one record is one line that starts with a date.  No message can forge a second line: control characters are
escaped, and traceback lines are indented.
"""

from __future__ import annotations

import functools
import logging
import time

from stoker.core.secrets import masked
from stoker.core.text import escaped

_LEVELS = {"WARNING": "WARN ", "CRITICAL": "FATAL"}
_INDENT = "    "


COLUMNS = "\0"
"""Marks where the console shows level, thread and logger name, and a file nothing. Escaped text never has it."""


def with_columns(lines: bytes, name: str | None) -> bytes:
    """Returns what the console shows for a logger of this name, or without a name what goes to a file."""
    return lines.replace(COLUMNS.encode(), b"" if name is None else f" [INFO ] main {name}".encode())


def timestamp(seconds: float) -> str:
    """Formats local time with milliseconds, e.g. ``2026-11-24T09:30:00,125``."""
    return _millisecond(int(seconds * 1000))


@functools.lru_cache(maxsize=4)  # lines arrive in time order, many in each millisecond
def _millisecond(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)},{rest:03d}"


@functools.lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


class LineFormatter(logging.Formatter):
    """Formats a record. Uses ``thread_label`` as the thread column if there is one.

    Keeps what a process ``printed`` as one line each, as TorchServe does.
    """

    def format(self, record: logging.LogRecord) -> str:
        level = _LEVELS.get(record.levelname, f"{record.levelname:5}")
        columns = f"{timestamp(record.created)} [{level}] {thread_of(record)} {record.name} - "
        message = message_of(record)
        if getattr(record, "printed", False):
            return "\n".join(columns + escaped(line) for line in message.split("\n"))
        return "\n".join([columns + escaped(message), *self._traceback(record)])

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        if not record.exc_info or record.exc_info[0] is None:
            return []
        return [_INDENT + escaped(line) for line in masked(self.formatException(record.exc_info)).splitlines()]


def message_of(record: logging.LogRecord) -> str:
    """Returns the message with credentials in URLs masked."""
    try:
        return masked(record.getMessage())
    except Exception as error:
        # A wrong placeholder in a log call must not fail the caller.
        return masked(f"{record.msg} {record.args!r} ({type(error).__name__} while formatting)")


def thread_of(record: logging.LogRecord) -> str:
    label = getattr(record, "thread_label", None)
    if label is not None:
        return escaped(str(label)).replace(" ", "_")
    return "main" if record.threadName == "MainThread" else (record.threadName or "-")
