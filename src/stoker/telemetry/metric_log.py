"""Writes the two metric logs through a `LineBuffer`.

For values that change more often than the logs are written, see `on_flush`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

from stoker.core.job import Job
from stoker.telemetry import metric_lines
from stoker.telemetry.declared import Declared
from stoker.telemetry.line_buffer import LineBuffer, Post
from stoker.telemetry.metric_lines import Entry, RequestIds, Template

TS_METRICS, MODEL_METRICS = "TS_METRICS", "MODEL_METRICS"
"""Names of the two logs on TorchServe's console."""


class MetricLog:
    """A metric log, used on one event loop.

    ``on_flush`` is called before lines leave, and may `add` more.  ``json_name``: write JSON lines with this logger
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
        text_of: Callable[[list[Entry]], bytes] = metric_lines.log_text
        self._template = metric_lines.template
        if json_name is not None:
            text_of = functools.partial(metric_lines.log_json, name=json_name)
            self._template = metric_lines.json_template
        self._host = host
        self.buffer = LineBuffer[Entry](post, text_of, on_flush=on_flush)

    def add(self, declared: Declared, labels: tuple[str, ...], value: float, request_ids: RequestIds = "") -> None:
        self.buffer.record([(time.time(), self.template(declared, labels), float(value), request_ids)])

    def template(self, declared: Declared, labels: tuple[str, ...]) -> Template:
        return self._template(declared, labels, self._host)

    def recorder(self, declared: Declared, labels: tuple[str, ...]) -> Callable[[float, Sequence[Job]], None]:
        """Returns a function that adds the seconds of a batch, in milliseconds."""
        template = self.template(declared, labels)
        buffer = self.buffer

        def record(seconds: float, jobs: Sequence[Job]) -> None:
            ids = jobs[0].id if len(jobs) == 1 else [job.id for job in jobs]
            milliseconds = int(seconds * 100_000 + 0.5) / 100  # `round` would format and parse the number
            buffer.record([(time.time(), template, milliseconds, ids)])

        return record
