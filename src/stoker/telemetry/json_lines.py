"""Formats log records as JSON, one object per line, for log collectors.

``timestamp`` (UTC), ``level``, ``logger``, ``thread`` and ``message`` are in every object.  Access log and metrics are
formatted without a record, because there are many.
"""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Mapping
from datetime import datetime, timezone

from stoker.core.secrets import masked
from stoker.telemetry.lines import message_of, thread_of

_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_FIELDS = ("event", "model", "version", "worker", "request_id", "pid", "port")


class JsonFormatter(logging.Formatter):
    """Formats a record with its `_FIELDS`, and ``traceback`` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        message, traceback = message_of(record), None
        if getattr(record, "printed", False) and "\n" in message:
            message, traceback = _named_error(message), message
        elif record.exc_info and record.exc_info[0] is not None:
            traceback = masked(self.formatException(record.exc_info))
        fields: dict[str, object] = {
            "timestamp": timestamp(record.created),
            "level": _LEVELS.get(record.levelname, record.levelname),
            "logger": record.name,
            "thread": thread_of(record),
            "message": message,
        }
        fields.update((name, getattr(record, name)) for name in _FIELDS if hasattr(record, name))
        if traceback is not None:
            fields["traceback"] = traceback
        return dumps(fields)


def _named_error(traceback: str) -> str:
    """Returns the last line that is not indented: the exception, even if its message or notes continue below."""
    return next(line for line in reversed(["-", *traceback.split("\n")]) if line and line[0] not in " \t")


def lone_line(text: str, level: int = logging.INFO) -> str:
    """Formats a message without a logger."""
    fields = {"name": "stoker", "levelno": level, "levelname": logging.getLevelName(level), "msg": text}
    return JsonFormatter().format(logging.makeLogRecord(fields))


def timestamp(seconds: float) -> str:
    """Formats UTC with milliseconds, e.g. ``2026-11-24T09:30:00.125Z``."""
    return _millisecond(int(seconds * 1000))


@functools.lru_cache(maxsize=4)  # lines arrive in time order, many in each millisecond
def _millisecond(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def dumps(value: object) -> str:
    return json.dumps(value, default=str).replace("\x7f", r"\u007f")


def members(fields: Mapping[str, object]) -> str:
    """Returns the members of an object without its braces."""
    return dumps(fields)[1:-1]


def head(at: float, logger: str) -> str:
    """Returns the start of each access log or metric line."""
    return f'{{"timestamp": "{timestamp(at)}", "level": "INFO", "logger": "{logger}", "thread": "main", '


def number(value: float) -> str:
    """Formats a number. JSON has no infinities."""
    return repr(value) if math.isfinite(value) else "null"
