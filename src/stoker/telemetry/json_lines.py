"""Log records as JSON: one object per line, for collectors that parse logs.

``timestamp`` (UTC), ``level``, ``logger``, ``thread`` and ``message`` are in each; access log and metrics, of which
there are many, are put together without a record.
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
    """Also what the record knows of `_FIELDS`; and ``traceback``, where there is one."""

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
    """The last line that is not indented: what was raised, where its text or notes go on below it."""
    return next(line for line in reversed(["-", *traceback.split("\n")]) if line and line[0] not in " \t")


def lone_line(text: str, level: int = logging.INFO) -> str:
    """What is said where there is no logger."""
    fields = {"name": "stoker", "levelno": level, "levelname": logging.getLevelName(level), "msg": text}
    return JsonFormatter().format(logging.makeLogRecord(fields))


def timestamp(seconds: float) -> str:
    """UTC with milliseconds, e.g. ``2026-11-24T09:30:00.125Z``."""
    return _millisecond(int(seconds * 1000))


@functools.lru_cache(maxsize=4)  # lines are written in the order of their times, many in each millisecond
def _millisecond(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def dumps(value: object) -> str:
    return json.dumps(value, default=str).replace("\x7f", r"\u007f")


def members(fields: Mapping[str, object]) -> str:
    """The inside of an object, without its braces."""
    return dumps(fields)[1:-1]


def head(at: float, logger: str) -> str:
    """How each line of access log and metrics begins."""
    return f'{{"timestamp": "{timestamp(at)}", "level": "INFO", "logger": "{logger}", "thread": "main", '


def number(value: float) -> str:
    """JSON has no infinities."""
    return repr(value) if math.isfinite(value) else "null"
