"""Formats the access log: one line per finished call.  PURE."""

from __future__ import annotations

import functools

from stoker.core.ports import AccessRecord
from stoker.core.secrets import masked
from stoker.core.text import escaped
from stoker.telemetry.json_lines import dumps, head, members
from stoker.telemetry.lines import COLUMNS, timestamp

_MOST_KEPT = 512  # longest request line that is cached as text

NAME = "ACCESS_LOG"


def text_of(calls: list[AccessRecord]) -> bytes:
    """Formats as text, with the mark `COLUMNS`."""
    lines = []
    newest, date = -1.0, ""
    for at, peer, request, status, milliseconds, _ in calls:
        if at != newest:  # calls that end in one turn of the loop share their time
            newest, date = at, timestamp(at)
        who_and_what = _known if len(request) <= _MOST_KEPT else _who_and_what
        lines.append(f"{date}{COLUMNS} - {who_and_what(peer, request)} {status} {milliseconds}\n")
    return "".join(lines).encode("utf-8", "backslashreplace")


def json_of(calls: list[AccessRecord]) -> bytes:
    """Formats as JSON. ``status``: HTTP status or gRPC code, as in the text form, which is the message."""
    lines = []
    for at, peer, request, status, milliseconds, request_id in calls:
        message, facts = (_known_as_json if len(request) <= _MOST_KEPT else _as_json)(peer, request)
        known = f', "request_id": {dumps(request_id)}' if request_id else ""
        lines.append(
            f'{head(at, NAME)}"message": "{message} {status} {milliseconds}", {facts}, '
            f'"status": {status}, "duration_ms": {milliseconds}{known}}}\n'
        )
    return "".join(lines).encode("utf-8", "backslashreplace")


def _who_and_what(peer: str, request: str) -> str:
    if not peer.startswith("/"):
        peer = f"/{peer}"
    return f'{escaped(peer)} "{escaped(masked(request))}"'


def _as_json(peer: str, request: str) -> tuple[str, str]:
    """Returns the start of the message, and the members of the object."""
    return dumps(_who_and_what(peer, request))[1:-1], members({"client": peer, "request": masked(request)})


_known_as_json = functools.lru_cache(maxsize=1024)(_as_json)
_known = functools.lru_cache(maxsize=1024)(_who_and_what)
