"""Converts call metadata to request headers for the handler, and a handler's headers to trailing metadata.

Invariants: names that gRPC, HTTP/2 or the worker protocol use never pass, either way; trailing metadata is valid on
every engine, because an engine that refuses a header loses the whole answer.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from stoker.core.reply import ResponseMeta

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]
Trailing = Sequence[tuple[str, str]]

MAX_TRAILING_BYTES = 4096
"""Limit for all headers that a handler sets, as HTTP/2 counts them. Clients refuse trailers of 8 KiB and more."""

_ENTRY_OVERHEAD = 32

_TRANSPORT = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_HANDLER_COMMANDS = frozenset(
    {
        "describe",
        "explain",
        "url_path",
    }
)
NOT_FOR_HANDLERS = _TRANSPORT | _HANDLER_COMMANDS | {"authorization"}
_NOT_FOR_CLIENTS = _TRANSPORT | {"ts-status", "ts-reason"}
_INTERNAL = frozenset({"ts_stream_next", "content-type"})  # in most answers: dropping them is not logged

EXPLAIN: Mapping[str, str] = {"explain": "True"}
"""Headers that ask a handler for an explanation, the same as over REST."""

_TRUE = frozenset({"true", "True", "TRUE", "1"})

_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[ -~]*")


def request_headers(metadata: Metadata, *, may_explain: bool = False) -> dict[str, str] | None:
    """Returns the client's own metadata; None if there is none, as in most calls.

    Joins the values of a repeated name with commas; binary values are in base64, as on the wire.  ``may_explain``: a
    true ``explain`` passes as `EXPLAIN`, which asks for an explanation.
    """
    headers: dict[str, str] | None = None
    for name, value in metadata:
        if name in NOT_FOR_HANDLERS or name.startswith(("grpc-", ":")):
            if may_explain and name == "explain" and value in _TRUE:
                headers = {**(headers or {}), **EXPLAIN}
            continue
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        if headers is None:
            headers = {}
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


def trailing_metadata(meta: ResponseMeta | None) -> Trailing:
    """Returns what a handler set through its context, as trailing metadata; the status only if it is not 200."""
    if meta is None:
        return ()
    trailing = list(_status(meta))
    if meta.headers:
        dropped: list[str] = []
        trailing.extend(_allowed(meta.headers, dropped))
        _log_dropped(dropped)
    return trailing


def _status(meta: ResponseMeta) -> Iterator[tuple[str, str]]:
    if meta.status != 200 or meta.reason:
        yield "ts-status", str(meta.status)
    if meta.reason:
        yield "ts-reason", re.sub(r"[^ -~]", "?", meta.reason[:256]).strip()


def _allowed(headers: Mapping[str, str], dropped: list[str]) -> Iterator[tuple[str, str]]:
    room = MAX_TRAILING_BYTES
    for given, raw in headers.items():
        name, value = str(given).lower(), str(raw).strip()
        if name in _INTERNAL:
            continue
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        if size > room or not _sendable(name, value):
            dropped.append(name)
            continue
        room -= size
        yield name, value


def _sendable(name: str, value: str) -> bool:
    """Tells whether a header can be sent. Names that end in -bin mean bytes, which a handler's headers are not."""
    if name in _NOT_FOR_CLIENTS or name.startswith("grpc-") or name.endswith("-bin"):
        return False
    return _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


_logged: set[str] = set()


def _log_dropped(dropped: list[str]) -> None:
    """Logs one line for all dropped headers of an answer, as a warning only for new names."""
    if not dropped:
        return
    new = len(_logged) < 100 and not _logged.issuperset(dropped)
    _logged.update(dropped[:100] if new else ())
    names = ", ".join(repr(name[:64]) for name in dropped[:10])
    log.log(
        logging.WARNING if new else logging.DEBUG, "response headers that gRPC cannot carry were dropped: %s", names
    )
