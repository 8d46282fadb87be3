"""Formats Server-Sent Events: parts, errors and keep-alive comments. PURE."""

from __future__ import annotations

import json
import re

from stoker.core.buffer import Buffer
from stoker.frontend.http.status import Answer

MEDIA_TYPE = "text/event-stream"
_MEDIA_TYPE = MEDIA_TYPE.encode()
KEEP_ALIVE = b": keep-alive\n\n"
_LINE_END = re.compile(rb"\r\n|\n|\r")


def wanted(accept: bytes) -> bool:
    """Tells whether the client accepts events. ``accept``: its header of that name."""
    return _MEDIA_TYPE in accept.lower()


def event(part: Buffer) -> bytes:
    """Formats one event; each line of a part needs its own ``data:``."""
    lines = _LINE_END.split(bytes(part))
    return b"".join([b"data: %b\n" % line for line in lines]) + b"\n"


def error_event(answer: Answer) -> bytes:
    document = {"code": answer.status, "type": answer.type, "message": answer.message}
    return b"event: error\n" + event(json.dumps(document).encode())
