"""Metrics as older handlers make them: `MetricsStore`, `Metric`, `MetricEncoder`, `emit_metrics`."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from stoker.worker.metrics_types import Dimension, MetricsCacheValueError, unit_word


class Metric:
    """One value with its unit and dimensions; ``metric_method="counter"`` makes `update` add instead of replace."""

    def __init__(
        self,
        name: str,
        value: float,
        unit: str | None,
        dimensions: Iterable[Dimension],
        request_id: str | None = None,
        metric_method: str | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.unit = unit_word(unit)
        self.dimensions = list(dimensions)
        self.request_id = request_id
        self.metric_method = metric_method

    def reset(self) -> None:
        self.value = 0

    def update(self, value: float) -> None:
        self.value = self.value + value if self.metric_method == "counter" else value

    def __str__(self) -> str:
        """The line that TorchServe parses."""
        dimensions = ",".join(map(str, self.dimensions))
        line = f"{self.name}.{self.unit}:{self.value}|#{dimensions}|#hostname:{socket.gethostname()},{int(time.time())}"
        return f"{line},{self.request_id}" if self.request_id else line

    def to_dict(self) -> dict[str, Any]:
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Dimensions": [dimension.to_dict() for dimension in self.dimensions],
            "Timestamp": int(time.time()),
            "HostName": socket.gethostname(),
            "RequestId": self.request_id,
        }


class MetricEncoder(json.JSONEncoder):
    """Lets `json.dumps` write metrics and dimensions."""

    def default(self, o: Any) -> Any:
        return o.to_dict() if isinstance(o, Metric | Dimension) else super().default(o)


class MetricsStore:
    """Collects metrics of one batch; each name, unit, request and set of dimensions is one `Metric`."""

    def __init__(self, request_ids: Mapping[int, str] | None, model_name: str) -> None:
        self.store: list[Metric] = []
        self.cache: dict[str, Metric] = {}
        self.request_ids = request_ids
        self.model_name = model_name

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str | None,
        idx: int | None = None,
        dimensions: Iterable[Dimension] | None = None,
        metric_method: str | None = None,
    ) -> None:
        request_id = self._request_id(idx)
        labels = list(dimensions or ())
        key = "-".join([name, str(unit), str(request_id), *map(str, labels)])
        if key in self.cache:
            self.cache[key].update(value)
            return
        metric = Metric(name, value, unit, self._with_defaults(labels), request_id, metric_method)
        self.store.append(metric)
        self.cache[key] = metric

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Iterable[Dimension] | None = None
    ) -> None:
        self.add_metric(name, value, "count", idx, dimensions, "counter")

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Iterable[Dimension] | None = None,
    ) -> None:
        _require_unit(unit, ("ms", "s"))
        self.add_metric(name, value, unit, idx, dimensions)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Iterable[Dimension] | None = None,
    ) -> None:
        _require_unit(unit, ("MB", "kB", "GB", "B"))
        self.add_metric(name, value, unit, idx, dimensions)

    def add_percent(
        self, name: str, value: float, idx: int | None = None, dimensions: Iterable[Dimension] | None = None
    ) -> None:
        self.add_metric(name, value, "percent", idx, dimensions)

    def add_error(self, name: str, value: float, dimensions: Iterable[Dimension] | None = None) -> None:
        self.add_metric(name, value, "", None, [*(dimensions or ()), Dimension("Level", "Error")])

    def _with_defaults(self, labels: list[Dimension]) -> list[Dimension]:
        names = {label.name for label in labels}
        level = "Model" if self.request_ids else "Error"
        defaults = [Dimension("ModelName", self.model_name), Dimension("Level", level)]
        return labels + [default for default in defaults if default.name not in names]

    def _request_id(self, idx: int | None) -> str | None:
        if not self.request_ids:
            return None
        return ",".join(self.request_ids.values()) if idx is None else self.request_ids.get(idx)


def emit_metrics(metrics: Iterable[Metric]) -> None:
    """Writes each metric as a line that TorchServe's log parsers know; this one really is about stdout."""
    for metric in metrics:
        sys.stdout.write(f"[METRICS]{metric}\n")
    sys.stdout.flush()


def _require_unit(unit: str, allowed: tuple[str, ...]) -> None:
    if unit not in allowed:
        raise MetricsCacheValueError(f"the unit for this metric must be one of {allowed}")
