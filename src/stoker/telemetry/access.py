"""Writes the access log: one line per finished call, at almost no cost to the call.

Ten times a second, or once a thousand have accumulated, records go to the log writer's thread, which formats them.
Nothing is scheduled while no calls arrive.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from stoker.core.ports import AccessRecord
from stoker.core.secrets import masked
from stoker.core.text import escaped
from stoker.telemetry.json_lines import dumps, head, members
from stoker.telemetry.lines import timestamp
from stoker.telemetry.sinks import Sink
from stoker.telemetry.writer import LogWriter

_PERIOD_S = 0.1
_MOST_WAITING = 1000
_MOST_KEPT = 512  # longest request line that is cached as text
_REST_BYTES = 60  # approximate length of the rest of a line; only bounds the backlog


NAME = "ACCESS_LOG"


class BufferedAccessLog:
    """Implements `core.ports.AccessLog`; used on one event loop."""

    def __init__(self, writer: LogWriter, sink: Sink, *, as_json: bool = False) -> None:
        self._writer = writer
        self._sink = sink
        self._text_of = json_of if as_json else text_of
        self._calls: list[AccessRecord] = []
        self._timer: asyncio.TimerHandle | None = None

    def record(self, calls: Sequence[AccessRecord]) -> None:
        self._calls += calls
        if len(self._calls) >= _MOST_WAITING:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD_S, self.flush)

    def flush(self) -> None:
        """Hands over all records. Also called at the stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls, self._calls = self._calls, []
        if calls:
            size = sum([len(call[1]) + len(call[2]) + _REST_BYTES for call in calls])
            self._writer.post(self._sink, lambda: self._text_of(calls), size)


def text_of(calls: list[AccessRecord]) -> bytes:
    lines = []
    millisecond, date = -1, ""
    for at, peer, request, status, milliseconds, _ in calls:
        now = int(at * 1000)
        if now != millisecond:  # many lines share a timestamp
            millisecond, date = now, timestamp(at)
        who_and_what = _known if len(request) <= _MOST_KEPT else _who_and_what
        lines.append(f"{date} - {who_and_what(peer, request)} {status} {milliseconds}\n")
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
