"""`CachingMetric`: one metric of a handler, with the checks of what is recorded.

Invariant: updating never raises; a handler must not fail because of its metrics.
"""

from __future__ import annotations

import abc
import logging
import socket
import time
from collections.abc import Sequence

from stoker.worker.metrics_types import Dimension, Emit, MetricTypes, Sample, Units, unit_word

log = logging.getLogger(__name__)

MetricUnit = Units()


class MetricAbstract(abc.ABC):
    """Interface of every metric (`ts.metrics.metric_abstract`)."""

    def __init__(
        self,
        metric_name: str,
        unit: str | None,
        dimension_names: Sequence[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        self.metric_name = metric_name
        self.unit = unit_word(unit)
        self.dimension_names = list(dimension_names or ())
        self.metric_type = metric_type

    @abc.abstractmethod
    def add_or_update(self, value: float, dimension_values: Sequence[object] = (), request_id: str = "") -> None: ...


class CachingMetric(MetricAbstract):
    """Hands each value to the ``emit`` hook; without one it is logged as the line that TorchServe's workers write."""

    def __init__(
        self,
        metric_name: str,
        unit: str | None,
        dimension_names: Sequence[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
        *,
        emit: Emit | None = None,
    ) -> None:
        super().__init__(metric_name, unit, dimension_names, metric_type)
        self._emit = emit

    def __str__(self) -> str:
        return f"name: {self.metric_name}, unit: {self.unit}, dimension_names: {self.dimension_names}"

    def add_or_update(self, value: float, dimension_values: Sequence[object] = (), request_id: str = "") -> None:
        """Records ``value`` under ``dimension_values``, in the order of `dimension_names`."""
        labels: tuple[tuple[str, str], ...] = ()
        try:
            labels = self._labels(dimension_values)
            self._validate_metric_value(value)
            self._record(value, labels, request_id)
        except Exception as error:
            log.error(
                "[METRICS]Failed to update metric with name:%s and dimensions: %s with value: %s: %s",
                self.metric_name,
                _text(labels),
                value,
                error,
            )

    def update(self, value: float, request_id: str = "", dimensions: Sequence[Dimension] = ()) -> None:
        """Does as `add_or_update`, but ``dimensions`` also become the new dimension names (the old style)."""
        self.dimension_names = [dimension.name for dimension in dimensions]
        self.add_or_update(value, [dimension.value for dimension in dimensions], request_id)

    def emit_metrics(self, request_id: str, value: float, dimension_string: str) -> None:
        """Logs one measurement."""
        text = line(self.metric_name, self.unit, self.metric_type, value, dimension_string, request_id)
        log.info("%s", text)

    def _labels(self, values: Sequence[object]) -> tuple[tuple[str, str], ...]:
        if values is None or len(values) != len(self.dimension_names):
            raise ValueError(f"Dimension values: {values} should correspond to Dimension names: {self.dimension_names}")
        return tuple(zip(map(str, self.dimension_names), map(str, values), strict=True))

    def _validate_metric_value(self, value: float) -> None:
        if self.metric_type is MetricTypes.COUNTER and value < 0:
            raise ValueError("Counter metric update value cannot be negative")

    def _record(self, value: float, labels: tuple[tuple[str, str], ...], request_id: str) -> None:
        number = float(value)
        if self._emit is None:
            self.emit_metrics(request_id, value, _text(labels))
        else:
            self._emit(Sample(self.metric_name, self.unit, self.metric_type, labels, number, request_id or ""))


def line(name: str, unit: str, kind: MetricTypes, value: object, dimensions: str, request_id: object) -> str:
    """Returns one measurement as TorchServe's workers write it."""
    ids = f",{request_id}" if request_id else ""
    measured = f"[METRICS]{name}.{unit}:{value}|#{dimensions}|#type:{kind.name}"
    return " ".join(f"{measured}|#hostname:{socket.gethostname()},{int(time.time())}{ids}".split())


def _text(labels: Sequence[tuple[str, str]]) -> str:
    return ",".join(f"{name}:{value}" for name, value in labels)
