"""Log records as JSON: one object per line, for collectors that parse logs."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

from stoker.telemetry.lines import message_of, thread_of

_LEVELS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
_FIELDS = ("event", "model", "version", "worker", "request_id", "pid", "port")


class JsonFormatter(logging.Formatter):
    """``timestamp`` (UTC), ``level``, ``logger``, ``thread``, ``message``; what the record knows of `_FIELDS`; and
    ``traceback``, where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc)
        fields: dict[str, object] = {
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": _LEVELS.get(record.levelname, record.levelname),
            "logger": record.name,
            "thread": thread_of(record),
            "message": message_of(record),
        }
        fields.update((name, getattr(record, name)) for name in _FIELDS if hasattr(record, name))
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str).replace("\x7f", r"\u007f")
