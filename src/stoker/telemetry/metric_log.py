"""Writes the two metric logs: keeps entries as tuples, and formats them in the log writer's thread, ten times a second.

Nothing is scheduled while nothing is measured.  For values that change more often than the logs are written, see
`on_flush`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stoker.telemetry import metric_lines
from stoker.telemetry.declared import Declared
from stoker.telemetry.metric_lines import Entry, RequestIds, Template

Post = Callable[[Callable[[], bytes], int], None]
"""Hands a function that makes text to the log writer, with the approximate number of bytes."""

TS_METRICS, MODEL_METRICS = "TS_METRICS", "MODEL_METRICS"
"""Names of the two logs on TorchServe's console."""

_PERIOD_S = 0.1
_MOST_WAITING = 1000
_LINE_BYTES = 160


class MetricLog:
    """A metric log, used on one event loop.

    ``on_flush`` is called before entries leave, and may `add` more.  ``json_name``: write JSON lines with this logger
    name.
    """

    def __init__(
        self,
        post: Post,
        host: str,
        *,
        on_flush: Callable[[], None] = lambda: None,
        json_name: str | None = None,
    ) -> None:
        self._post = post
        self._json_name = json_name
        self._template = metric_lines.template if json_name is None else metric_lines.json_template
        self._host = host
        self._on_flush = on_flush
        self._entries: list[Entry] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, declared: Declared, labels: tuple[str, ...], value: float, request_ids: RequestIds = "") -> None:
        self.append(self.template(declared, labels), float(value), request_ids)

    def template(self, declared: Declared, labels: tuple[str, ...]) -> Template:
        return self._template(declared, labels, self._host)

    def append(self, template: Template, value: float, request_ids: RequestIds) -> None:
        """Does the same as `add`, for callers that already have the template."""
        entries = self._entries
        entries.append((time.time(), template, value, request_ids))
        if self._timer is None:
            self.wake()
        elif len(entries) >= _MOST_WAITING:
            self._send()

    def wake(self) -> None:
        """Schedules a flush, because `on_flush` will have entries."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PERIOD_S, self.flush)

    @property
    def waking(self) -> bool:
        return self._timer is not None

    def flush(self) -> None:
        self._on_flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._send()

    def _send(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            self._post(lambda: self._text(entries).encode("utf-8", "backslashreplace"), _bytes(entries))

    def _text(self, entries: list[Entry]) -> str:
        if self._json_name is None:
            return metric_lines.log_text(entries)
        return metric_lines.log_json(entries, self._json_name)


def _bytes(entries: list[Entry]) -> int:
    return len(entries) * _LINE_BYTES
