"""`context.metrics`: the metrics that a handler records.

Each call hands one `Sample` to the ``emit`` hook, which exports it; without a hook it is logged.

Invariants: recording never fails the handler, except for wrong arguments, which TorchServe refuses as well; no
default list is shared between calls.
"""

from __future__ import annotations

import abc
import copy
import logging
import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from stoker.ipc.to_worker import Load
from stoker.worker.metrics_caching import CachingMetric
from stoker.worker.metrics_errors import (
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
)
from stoker.worker.metrics_export import export
from stoker.worker.metrics_types import Dimension, Emit, MetricTypes, Recorder

log = logging.getLogger(__name__)

MODEL_METRICS = ("HandlerTime", "PredictionTime")
"""The metrics that exist without a metrics file: gauges in ms with the default dimensions."""


class MetricCacheAbstract(Recorder, abc.ABC):
    """The methods that handlers call. A subclass knows where metrics are declared."""

    def __init__(self, config_file_path: str | os.PathLike[str], *, emit: Emit | None = None) -> None:
        self.config_file_path = config_file_path
        self.cache: dict[MetricTypes, dict[str, CachingMetric]] = {}
        self.store: list[Any] = []
        self.request_ids: object = None
        self.model_name: str | None = None
        self._emit = emit
        try:
            os.fspath(config_file_path)
        except TypeError as error:
            raise MetricsCacheTypeError(f"Error loading {config_file_path} file: {error}") from error

    def __deepcopy__(self, memo: dict[int, Any]) -> MetricCacheAbstract:
        """Shares the metrics: async handlers get a copy of the context per call, which has request ids of its own."""
        return copy.copy(self)

    @abc.abstractmethod
    def initialize_cache(self) -> None:
        """Registers the declared metrics."""

    @abc.abstractmethod
    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        """Returns a registered metric. Raises MetricsCacheKeyError: there is none."""

    @abc.abstractmethod
    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: list[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        """Registers a metric, or replaces the one of this name and type. Emits nothing."""

    def set_request_ids(self, request_ids: object) -> None:
        self.request_ids = request_ids

    def cache_keys(self) -> list[str]:
        return [f"{kind.value}:{name}" for kind, metrics in self.cache.items() for name in metrics]

    # ----------------------------------------------------------------------------------------- recording

    def add_metric(
        self,
        name: str,
        value: float,
        unit: str | None,
        idx: int | None = None,
        dimensions: Iterable[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> None:
        """Records one value; registers an unknown metric with these dimensions. Raises MetricsCacheTypeError."""
        request_id = self._get_req(idx)
        labels = {dimension.name: dimension.value for dimension in dimensions or ()}
        if request_id is not None:
            labels.setdefault("ModelName", self.model_name)
        labels.setdefault("Level", "Error" if request_id is None else "Model")
        self._update(name, value, unit, labels, metric_type, request_id)

    def add_error(self, name: str, value: float, dimensions: Iterable[Dimension] | None = None) -> None:
        """Counts an error, under its own dimensions and no model."""
        labels = {dimension.name: dimension.value for dimension in dimensions or ()}
        labels.setdefault("Level", "Error")
        self._update(name, value, "", labels, MetricTypes.COUNTER, None)

    def _update(
        self,
        name: str,
        value: float,
        unit: str | None,
        labels: Mapping[str, object],
        metric_type: MetricTypes,
        request_id: object,
    ) -> None:
        metric = self._get_or_add_metric(name, unit, list(labels), metric_type)
        if labels.keys() == set(metric.dimension_names):
            values: list[object] = [labels[each] for each in metric.dimension_names]
        else:
            values = list(labels.values())
        metric.add_or_update(value, values, "" if request_id is None else str(request_id))

    def _get_or_add_metric(
        self, metric_name: str, unit: Any, dimension_names: list[str], metric_type: MetricTypes
    ) -> CachingMetric:
        try:
            return self.get_metric(metric_name, metric_type)
        except MetricsCacheKeyError:
            return self.add_metric_to_cache(metric_name, unit, dimension_names, metric_type)


class MetricsCacheYamlImpl(MetricCacheAbstract):
    """Metrics declared in section ``model_metrics`` of a file. Raises one of the errors of `metrics_errors`."""

    def __init__(self, config_file_path: str | os.PathLike[str], *, emit: Emit | None = None) -> None:
        super().__init__(config_file_path, emit=emit)
        self._parse_yaml_file(config_file_path)

    def initialize_cache(self) -> None:
        section = self._parse_metrics_section()
        if not section:
            raise MetricsCacheValueError("Missing `model_metrics` specification")
        for kind, entries in _items(section):
            metric_type = _type_named(kind)
            for entry in entries or ():
                name, unit, names = _declaration(entry)
                self.add_metric_to_cache(name, unit, names, metric_type)

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        _check_type(metric_name, str, "`metric_name` must be a str")
        _check_type(metric_type, MetricTypes, "`metric_type` must be a MetricTypes enum")
        try:
            return self.cache[metric_type][metric_name]
        except KeyError:
            raise MetricsCacheKeyError(
                f"Metric of type '{metric_type}' and name '{metric_name}' doesn't exist"
            ) from None

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str,
        dimension_names: list[str] | None = None,
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        _check_type(metric_name, str, "`metric_name` must be a str")
        _check_type(unit, str, "`unit` must be a str")
        _check_type(metric_type, MetricTypes, "`metric_type` must be a MetricTypes enum")
        if dimension_names:
            _check_type(dimension_names, list, "`dimension_names` should be a list of dimension name strings")
        of_its_type = self.cache.setdefault(metric_type, {})
        if metric_name in of_its_type:
            log.warning("Overriding existing key %s:%s", metric_type, metric_name)
        metric = CachingMetric(metric_name, unit, dimension_names, metric_type, emit=self._emit)
        of_its_type[metric_name] = metric
        return metric

    def _parse_yaml_file(self, config_file_path: str | os.PathLike[str]) -> None:
        if not config_file_path:
            raise MetricsCacheTypeError("Config file not initialized")
        from stoker.worker import metrics_yaml  # noqa: PLC0415 - few workers read a file, each pays for imports

        self._parsed_file = metrics_yaml.read(config_file_path)

    def _parse_metrics_section(self) -> Any:
        if not isinstance(self._parsed_file, Mapping) or "model_metrics" not in self._parsed_file:
            raise MetricsCacheKeyError("'model_metrics' key not found in yaml file: 'model_metrics'")
        return self._parsed_file["model_metrics"]


class _Predeclared(MetricsCacheYamlImpl):
    """`MODEL_METRICS`, for a worker without a metrics file."""

    def _parse_yaml_file(self, config_file_path: str | os.PathLike[str]) -> None:
        entries = [{"name": name, "unit": "ms", "dimensions": ["ModelName", "Level"]} for name in MODEL_METRICS]
        self._parsed_file = {"model_metrics": {"gauge": entries}}


def for_worker(message: Load) -> MetricsCacheYamlImpl:
    """Makes `context.metrics` of a worker. Raises one of the errors of `metrics_errors`."""
    return new_cache(message.model_name, config_file=message.metrics_config, emit=export)


def new_cache(
    model_name: str, *, config_file: str | os.PathLike[str] | None = None, emit: Emit | None = None
) -> MetricsCacheYamlImpl:
    """Makes the cache of a worker's context, ready to use: loading counts as a request with an id of its own."""
    cache = MetricsCacheYamlImpl(config_file, emit=emit) if config_file else _Predeclared("", emit=emit)
    cache.model_name = model_name
    cache.initialize_cache()
    cache.set_request_ids(str(uuid.uuid4()))
    return cache


def _items(section: object) -> Iterable[tuple[object, Any]]:
    if not isinstance(section, Mapping):
        raise MetricsCacheValueError("The `model_metrics` section is not a map of metric types")
    return section.items()


def _type_named(kind: object) -> MetricTypes:
    try:
        return MetricTypes(kind)
    except ValueError as error:
        raise MetricsCacheKeyError(f"Invalid metric type: {error}") from None


def _declaration(entry: object) -> tuple[str, str, list[str]]:
    """Returns name, unit and dimensions. Requires the key ``dimensions``, but no value of it."""
    try:
        return entry["name"], entry["unit"], entry["dimensions"]  # type: ignore[index]  # it may be anything
    except (KeyError, TypeError) as error:
        raise MetricsCacheKeyError(f"Key not found in cache spec: {error}") from error


def _check_type(value: object, expected: type, text: str) -> None:
    if not isinstance(value, expected):
        raise MetricsCacheTypeError(text)
