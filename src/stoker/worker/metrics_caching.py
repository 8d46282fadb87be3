"""`CachingMetric`: one metric of a handler with its last values.

Laws: updating never raises (a handler must not fail because of its metrics) and the number of kept series is bounded,
whatever a handler uses as dimension values.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Sequence

from stoker.worker.metrics_types import Dimension, Emit, MetricTypes, Sample, unit_word

log = logging.getLogger(__name__)

MAX_SERIES = 1000
"""Dimension-value combinations that one metric remembers; further ones are emitted but not remembered."""


class IMetric(abc.ABC):
    """What every metric can do (`ts.metrics.metric_abstract`)."""

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

    @abc.abstractmethod
    def update(self, value: float, request_id: str = "", dimensions: Sequence[Dimension] = ()) -> None: ...


class CachingMetric(IMetric):
    """Remembers values per combination of dimension values: counters add up, the other types keep the last one."""

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
        self.values: dict[tuple[str, ...], float] = {}
        self._emit = emit

    def __str__(self) -> str:
        return f"name: {self.metric_name}, unit: {self.unit}, dimension_names: {self.dimension_names}"

    def add_or_update(self, value: float, dimension_values: Sequence[object] = (), request_id: str = "") -> None:
        """Records ``value`` under ``dimension_values``, in the order of `dimension_names`."""
        try:
            self._record(float(value), tuple(map(str, dimension_values)), request_id)
        except Exception as error:
            self._log_failure(value, dimension_values, error)

    def update(self, value: float, request_id: str = "", dimensions: Sequence[Dimension] = ()) -> None:
        """As `add_or_update`, but ``dimensions`` also become the new dimension names (the old style)."""
        names = [dimension.name for dimension in dimensions]
        if names != self.dimension_names:
            self.dimension_names = names
            self.values.clear()  # they were kept under other names
        self.add_or_update(value, [dimension.value for dimension in dimensions], request_id)

    def emit_metrics(self, value: float, dimension_values: Sequence[object] = (), request_id: str = "") -> None:
        """Hands one measurement on without remembering it."""
        if self._emit is None:
            return
        labels = tuple(zip(self.dimension_names, map(str, dimension_values), strict=True))
        self._emit(Sample(self.metric_name, self.unit, self.metric_type, labels, float(value), request_id))

    def _record(self, value: float, labels: tuple[str, ...], request_id: str) -> None:
        if len(labels) != len(self.dimension_names):
            raise ValueError(f"expected values for {self.dimension_names}")
        if self.metric_type is MetricTypes.COUNTER:
            if value < 0:
                raise ValueError("a counter cannot go down")
            self._remember(labels, self.values.get(labels, 0.0) + value)
        else:
            self._remember(labels, value)
        self.emit_metrics(value, labels, request_id)

    def _remember(self, labels: tuple[str, ...], value: float) -> None:
        if labels in self.values or len(self.values) < MAX_SERIES:
            self.values[labels] = value

    def _log_failure(self, value: object, dimension_values: Sequence[object], error: Exception) -> None:
        log.error(
            "[METRICS]Failed to update metric with name:%s and dimensions: %s with value: %s: %s",
            self.metric_name,
            [str(each) for each in dimension_values],
            value,
            error,
        )
