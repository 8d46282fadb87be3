"""Assigns what handlers record to the metrics of the metrics file.

The file's type and unit win over the handler's.  Metrics that the file does not name are dropped, unless auto-detection
is on: then the handler's type and unit are used.

Invariants: invalid input from a handler costs it that metric and one log line, and the memory per handler is bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from stoker.core.job import Job, ModelKey
from stoker.core.measures import HandlerSample, ModelCounters
from stoker.telemetry import metric_lines
from stoker.telemetry.declared import HOSTNAME, Declared
from stoker.telemetry.family import Family
from stoker.telemetry.metric_lines import RequestIds
from stoker.telemetry.metric_log import MetricLog

log = logging.getLogger(__name__)

PREDICTION_TIME = "PredictionTime"
MAX_DETECTED = 1000
_MAX_COMPLAINTS = 1000


class HandlerMetrics:
    """``log``: gets what is logged, None if nothing is. ``served``: keep values for Prometheus."""

    def __init__(
        self,
        declared: Mapping[str, Declared],
        *,
        host: str,
        log: MetricLog | None,
        served: bool,
        auto_detect: bool,
        taken: Collection[str] = (),
    ) -> None:
        self._families = {name: Family(each) for name, each in declared.items()}
        self._host = host
        self._log = log
        self._served = served
        self._auto_detect = auto_detect
        self._taken = taken
        self._detected = 0
        self._complaints: set[str] = set()

    def record(self, sample: HandlerSample, request_ids: RequestIds) -> None:
        family = self._families.get(sample.name) or self._detect(sample)
        if family is None:
            return
        declared = family.declared
        labels = _labels(declared, sample.dimensions, self._host)
        if labels is None:
            expected = ", ".join(declared.labels[:-1])
            self._complain(sample.name, f"it needs values for the dimensions {expected}")
        elif declared.type == "counter" and not sample.value >= 0:
            self._complain(sample.name, "a counter cannot decrease")
        else:
            self._keep(family, labels, sample.value, request_ids)

    def prediction_time(self, model: str) -> Callable[[float, Sequence[Job]], None] | None:
        """Returns a fast recorder for the time of each batch (seconds, jobs), None if it is not wanted."""
        family = self._families.get(PREDICTION_TIME) or self._detect(
            HandlerSample(PREDICTION_TIME, "gauge", "ms", _model_dimensions(model), 0.0, "")
        )
        labels = None if family is None else _labels(family.declared, _model_dimensions(model), self._host)
        if family is None or labels is None or (self._log is None and not self._served):
            return None
        if self._log is not None:
            return self._log.recorder(family.declared, labels)
        put = family.setter(labels)
        return lambda seconds, jobs: family.update(labels, seconds * 1000) if put is None else put(seconds * 1000)

    def text(self, names: Collection[str]) -> Iterator[str]:
        if self._served:
            for family in self._families.values():
                if family.legal:
                    yield from family.text(names)

    def _keep(self, family: Family, labels: tuple[str, ...], value: float, request_ids: RequestIds) -> None:
        if self._log is not None:
            self._log.add(family.declared, labels, value, request_ids)
        if not self._served:
            return
        if family.legal:
            family.update(labels, value)
        else:
            self._complain(family.declared.name, "Prometheus does not allow this name for a metric or a label")

    def _detect(self, sample: HandlerSample) -> Family | None:
        if not self._auto_detect:
            return None
        if sample.name in self._taken or sample.name.startswith("stoker_"):
            self._complain(sample.name, "the server has a metric with this name")
            return None
        if self._detected >= MAX_DETECTED:
            self._complain("", f"{MAX_DETECTED} metrics were detected; further ones are dropped")
            return None
        self._detected += 1
        labels = tuple(name for name, _ in sample.dimensions)
        family = Family(Declared(sample.name, sample.type, sample.unit, (*labels, HOSTNAME)))
        self._families[sample.name] = family
        return family

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._complaints and len(self._complaints) < _MAX_COMPLAINTS:
            self._complaints.add(name)
            text = "Metric %s of a handler is dropped: %s. Logged once."
            log.error(text, name or "(any)", reason, extra={"event": "metric_dropped"})


class ModelMetrics:
    """Implements `core.ports.ModelTelemetry`. ``load_time`` is called with a worker's name and its seconds."""

    def __init__(
        self,
        key: ModelKey,
        counters: ModelCounters,
        handlers: HandlerMetrics,
        *,
        load_time: Callable[[str, float], None],
    ) -> None:
        self.key = key
        self.counters = counters
        self._handlers = handlers
        self.predicted = handlers.prediction_time(key.name)
        self.worker_loaded = load_time

    def recorded(self, sample: HandlerSample) -> None:
        self._handlers.record(sample, sample.request_ids)

    def printed(self, line: str) -> bool:
        sample = metric_lines.parse(line)
        if sample is not None:
            self.recorded(sample)
        return sample is not None


def _model_dimensions(model: str) -> list[tuple[str, str]]:
    return [("ModelName", model), ("Level", "Model")]


def _labels(declared: Declared, dimensions: Sequence[tuple[str, str]], host: str) -> tuple[str, ...] | None:
    """Returns values in declared order, the host name last; by position if the handler uses other dimension names."""
    names = declared.labels[:-1]
    if len(dimensions) != len(names):
        return None
    given = dict(dimensions)
    if given.keys() == set(names):
        return (*(given[name] for name in names), host)
    return (*(value for _, value in dimensions), host)
