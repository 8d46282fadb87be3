"""Writes the two metric logs: keeps entries as tuples, and formats them in the log writer's thread, ten times a second.

Nothing is scheduled while nothing is measured.  For values that change more often than the logs are written, see
`on_flush`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from stoker.core.job import Job
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
    name.  ``timer``: of the next flush; None: none is due.
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
        self.timer: asyncio.TimerHandle | None = None

    def add(self, declared: Declared, labels: tuple[str, ...], value: float, request_ids: RequestIds = "") -> None:
        entries = self._entries
        entries.append((time.time(), self.template(declared, labels), float(value), request_ids))
        if self.timer is None or len(entries) >= _MOST_WAITING:
            self._be_sent()

    def template(self, declared: Declared, labels: tuple[str, ...]) -> Template:
        return self._template(declared, labels, self._host)

    def recorder(self, declared: Declared, labels: tuple[str, ...]) -> Callable[[float, Sequence[Job]], None]:
        """Returns a function that adds the seconds of a batch, in milliseconds."""
        template = self.template(declared, labels)

        def record(seconds: float, jobs: Sequence[Job]) -> None:
            entries = self._entries
            ids = jobs[0].id if len(jobs) == 1 else [job.id for job in jobs]
            entries.append((time.time(), template, round(seconds * 1000, 2), ids))
            if self.timer is None or len(entries) >= _MOST_WAITING:
                self._be_sent()

        return record

    def _be_sent(self) -> None:
        if len(self._entries) >= _MOST_WAITING:
            self._send()
        else:
            self.wake()

    def wake(self) -> None:
        """Schedules a flush, because `on_flush` will have entries."""
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(_PERIOD_S, self.flush)

    def flush(self) -> None:
        self._on_flush()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._send()

    def _send(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            self._post(lambda: self._text(entries).encode("utf-8", "backslashreplace"), len(entries) * _LINE_BYTES)

    def _text(self, entries: list[Entry]) -> str:
        if self._json_name is None:
            return metric_lines.log_text(entries)
        return metric_lines.log_json(entries, self._json_name)
