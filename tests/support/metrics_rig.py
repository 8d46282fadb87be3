"""`Metrics` whose lines go into lists, with models that have counted requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stoker.core.job import Job, ModelKey
from stoker.core.measures import HandlerSample, ModelCounters, Served
from stoker.core.ports import ModelTelemetry
from stoker.telemetry.lines import with_columns
from stoker.telemetry.metrics import Metrics

KEY = ModelKey("m", "1.0")


class Rig:
    def __init__(self, mode: str, **options: Any) -> None:
        self.ts_lines: list[str] = []
        self.model_lines: list[str] = []
        logs = {"ts_log": _into(self.ts_lines), "model_log": _into(self.model_lines)}
        self.metrics = Metrics(mode=mode, host="h", **{**logs, **options})

    @property
    def text(self) -> str:
        return self.metrics.exposition().decode()

    def flush(self) -> None:
        self.metrics.flush()

    def model(self, key: ModelKey = KEY) -> ModelTelemetry:
        return self.metrics.model(key)

    def predicted(self, seconds: float, those: Sequence[Job]) -> None:
        """Records a prediction as a worker's connection does."""
        record = self.model().predicted
        if record is not None:
            record(seconds, those)

    def counters(self, key: ModelKey = KEY) -> ModelCounters:
        found = self.model(key).counters
        assert found is not None
        return found

    def request(self, key: ModelKey = KEY, *, named_version: bool = False, queued_s: float, took_s: float) -> None:
        """Counts one request that is answered."""
        counters = self.counters(key)
        totals = counters.by_version if named_version else counters.by_default
        totals.requests += 1
        handler_s = took_s - queued_s
        batch_ended(counters, 1, handler_s + 0.004, handler_s, served=[(totals, queued_s, took_s)])
        self.metrics.answered(200)


def batch_ended(
    counters: ModelCounters, jobs: int, took_s: float, handler_s: float, *, served: Sequence[Served] = ()
) -> None:
    """Counts a batch as the scheduler does, in a turn of its own."""
    counters.ended.append((jobs, took_s, handler_s))
    counters.served += served
    counters.settle()


def _into(lines: list[str]) -> Callable[[bytes], None]:
    return lambda text: lines.extend(with_columns(text, None).decode().splitlines())


def jobs(*request_ids: str) -> list[Job]:
    return [Job(KEY, (), id=each) for each in request_ids]


def undated(lines: list[str]) -> list[str]:
    """Removes the date in front and the number after ``timestamp:``, which must both be there."""
    found = []
    for line in lines:
        match = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3} - (.*,timestamp:)\d{10}", line)
        assert match is not None, line
        found.append(match[1].removesuffix(",timestamp:"))
    return found


def sample(name: str, value: float, kind: str = "gauge", unit: str = "Milliseconds", **dims: str) -> HandlerSample:
    dimensions = list({"ModelName": "m", "Level": "Model", **dims}.items())
    return HandlerSample(name, kind, unit, dimensions, value, "r0,r1")


def metrics_file(folder: Path, text: str) -> Path:
    path = folder / "metrics.yaml"
    path.write_text(text)
    return path
