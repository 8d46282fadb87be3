"""The data types of handlers' metrics: types, units, dimensions, samples.

Users see them as `ts.metrics.{metric_type_enum,unit,dimension}`.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stoker.worker.metrics_errors import MetricsCacheValueError


class MetricTypes(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Units:
    """Short unit names and the words that metrics are published with."""

    def __init__(self) -> None:
        self.units: dict[str | None, str] = {
            "ms": "Milliseconds",
            "s": "Seconds",
            "percent": "Percent",
            "count": "Count",
            "MB": "Megabytes",
            "GB": "Gigabytes",
            "kB": "Kilobytes",
            "B": "Bytes",
            None: "unit",
            "": "unit",
        }


_WORDS = Units().units


def unit_word(unit: str | None) -> str:
    """Returns the published word for ``unit``; one that has none is published as it is."""
    return _WORDS.get(unit) or str(unit)


class Dimension:
    """One label of a metric and its value."""

    def __init__(self, name: str, value: object) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        return f"Dimension({self.name!r}, {self.value!r})"

    def to_dict(self) -> dict[str, object]:
        return {"Name": self.name, "Value": self.value}


class Recorder(abc.ABC):
    """The methods by which handlers record values; each of them calls `add_metric`.

    ``request_ids``: None, one id for all requests, or the ids by their number in the batch.
    """

    request_ids: object

    def _get_req(self, idx: int | None) -> Any:
        """Returns the id of one request of a batch; the ids of all if ``idx`` is None or out of range."""
        ids = self.request_ids
        if isinstance(ids, Mapping):
            return ids[idx] if idx in ids else ",".join(ids.values())
        return ids

    @abc.abstractmethod
    def add_metric(
        self,
        name: str,
        value: float,
        unit: str,
        idx: int | None = None,
        dimensions: Any = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None: ...

    def add_counter(self, name: str, value: float, idx: int | None = None, dimensions: Any = None) -> None:
        self.add_metric(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Any = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Raises `MetricsCacheValueError` for a unit that is neither ``ms`` nor ``s``."""
        if unit not in ("ms", "s"):
            raise MetricsCacheValueError("the unit for a timed metric should be one of ['ms', 's']")
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Any = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Raises `MetricsCacheValueError` for a unit that is none of ``MB``, ``kB``, ``GB``, ``B``."""
        if unit not in ("MB", "kB", "GB", "B"):
            raise MetricsCacheValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Any = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        self.add_metric(name, value, "percent", idx, dimensions, metric_type)


class Sample(NamedTuple):
    """One measurement, as it leaves the handler. ``request_id``: ids joined with commas, or nothing."""

    name: str
    unit: str
    type: MetricTypes
    dimensions: tuple[tuple[str, str], ...]
    value: float
    request_id: str


Emit = Callable[[Sample], None]
