"""Metrics as older handlers make them: `MetricsStore`, `Metric`, `MetricEncoder`, `emit_metrics`."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterable
from typing import Any

from stoker.worker.metrics_caching import CachingMetric
from stoker.worker.metrics_types import Dimension, MetricTypes, Recorder, Units

log = logging.getLogger(__name__)

MetricUnit = Units()


class Metric:
    """One value with its unit and dimensions. `str` is the line that TorchServe parses; updates are logged at once and
    leave the value alone."""

    def __init__(
        self,
        name: str,
        value: float,
        unit: str | None,
        dimensions: Iterable[Dimension],
        request_id: str | None = None,
        metric_method: str | None = None,
    ) -> None:
        self.metric_type = MetricTypes.COUNTER
        self.dimensions = list(dimensions)
        self.dimension_names = [dimension.name for dimension in self.dimensions]
        self.dimension_values = [dimension.value for dimension in self.dimensions]
        self._caching_metric = CachingMetric(name, unit, self.dimension_names, self.metric_type)
        self.name = name
        self.unit = self._caching_metric.unit
        self.metric_method = metric_method
        self.value = value
        self.request_id = request_id

    def update(self, value: float) -> None:
        self._caching_metric.add_or_update(value, self.dimension_values, self.request_id or "")

    def reset(self) -> None:
        self.update(0)

    def __str__(self) -> str:
        dimensions = ",".join(map(str, self.dimensions))
        line = f"{self.name}.{self.unit}:{self.value}|#{dimensions}|#hostname:{socket.gethostname()},{int(time.time())}"
        return f"{line},{self.request_id}" if self.request_id else line

    def to_dict(self) -> dict[str, Any]:
        return {
            "MetricName": self.name,
            "Value": self.value,
            "Unit": self.unit,
            "Dimensions": self.dimensions,
            "Timestamp": int(time.time()),
            "HostName": socket.gethostname(),
            "RequestId": self.request_id,
        }


class MetricEncoder(json.JSONEncoder):
    """Lets `json.dumps` write metrics and dimensions."""

    def default(self, o: Any) -> Any:
        return o.to_dict() if isinstance(o, Metric | Dimension) else super().default(o)


class MetricsStore(Recorder):
    """Collects metrics of one batch; each name, unit, request and set of dimensions is one `Metric`.

    ``request_ids``: None, one id for all, or the ids by their number in the batch.
    """

    def __init__(self, request_ids: object, model_name: str) -> None:
        self.store: list[Metric] = []
        self.cache: dict[str, Metric] = {}
        self.request_ids = request_ids
        self.model_name = model_name

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: list[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        method = "counter" if metric_type is MetricTypes.COUNTER else None
        self._add_or_update(name, value, self._get_req(idx), unit, method, dimensions)

    def add_error(self, name: str, value: Any, dimensions: list[Dimension] | None = None) -> None:
        self._add_or_update(name, value, None, "", None, dimensions)

    def _add_or_update(
        self,
        name: str,
        value: Any,
        req_id: Any,
        unit: str,
        metrics_method: str | None,
        dimensions: list[Dimension] | None,
    ) -> None:
        """``req_id``: None for errors, which have a level of their own and no model."""
        if dimensions is not None and not isinstance(dimensions, list):
            raise ValueError("Please provide a list of dimensions")
        labels = [*(dimensions or ()), *self._defaults(req_id, {each.name for each in dimensions or ()})]
        key = "-".join([name, str(unit), str(req_id), *map(str, labels)])
        if key in self.cache:
            self.cache[key].update(value)
            return
        metric = Metric(name, value, unit, labels, req_id, metrics_method)
        self.store.append(metric)
        self.cache[key] = metric

    def _defaults(self, req_id: Any, given: set[str]) -> list[Dimension]:
        level = Dimension("Level", "Error" if req_id is None else "Model")
        defaults = [level] if req_id is None else [Dimension("ModelName", self.model_name), level]
        return [each for each in defaults if each.name not in given]


def emit_metrics(metrics: Iterable[object] | None) -> None:
    """Logs each metric as a line that the server reads."""
    for metric in metrics or ():
        log.info("[METRICS]%s", metric)
