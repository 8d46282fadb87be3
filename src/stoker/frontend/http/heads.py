"""Formats the status line and the headers of an answer. PURE.

Invariant: nothing that a handler sets can end a header, start another answer, or change the framing.
"""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Mapping, Sequence

from stoker.frontend.http.responses import ALWAYS

log = logging.getLogger(__name__)

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_FOR_HANDLERS = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
        *(name.decode().lower() for name, _ in ALWAYS),
    }
)
"""Headers that only the server sets."""
_INTERNAL = frozenset({"ts_stream_next"})

Headers = Sequence[tuple[bytes, bytes]]


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


STATUS_LINES = {status: f"HTTP/1.1 {status} {_phrase(status)}\r\n".encode() for status in range(100, 1000)}


def status_line(status: int, reason: str = "") -> bytes:
    """Formats the status line. ``reason``: the handler's own phrase."""
    if not reason:
        return STATUS_LINES[status]
    phrase = re.sub(r"[^ -~]", "?", reason[:256]).strip()
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def header_block(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def handler_headers(given: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Returns the handler's headers that can be sent; drops the others with a log line."""
    sent: list[tuple[bytes, bytes]] = []
    for raw_name, raw_value in given.items():
        name, value = str(raw_name), str(raw_value).strip()
        if name.lower() in _NOT_FOR_HANDLERS or name in _INTERNAL:
            continue
        if _NAME.fullmatch(name) is None or _BAD_VALUE.search(value) is not None:
            log.debug("a response header that HTTP cannot carry was dropped: %r", name[:64])
            continue
        sent.append((name.encode("latin-1"), value.encode("latin-1", "replace")))
    return sent


def sendable_status(status: int) -> int:
    """Returns the status, or 500 for one that is not a final status of three digits."""
    return status if 200 <= status <= 999 else 500
