"""`context.metrics`: the metrics that a handler records.

Each call updates the cache and hands one `Sample` to the ``emit`` hook, which exports it.  Nothing is printed.
Laws: recording never fails the handler, except for a unit that the contract refuses; no default list is ever shared
between calls.
"""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stoker.ipc.to_worker import Load
from stoker.worker.metrics_caching import CachingMetric
from stoker.worker.metrics_export import export
from stoker.worker.metrics_types import (
    Dimension,
    Emit,
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCachePyYamlError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)

RequestIds = str | Sequence[str] | Mapping[int, str] | None
MODEL_METRICS = ("HandlerTime", "PredictionTime")
"""The metrics that exist without a metrics file: gauges in ms with the default dimensions."""

_DEFAULT_DIMENSIONS = ("ModelName", "Level")


class MetricCacheAbstract(abc.ABC):
    """The calls a handler makes; where metrics are declared is a subclass's matter."""

    def __init__(self, config_file_path: str | Path | None, *, emit: Emit | None = None) -> None:
        self.config_file_path = config_file_path
        self.cache: dict[MetricTypes, dict[str, CachingMetric]] = {}
        self.store: list[Any] = []
        self.request_ids: RequestIds = None
        self.model_name = ""
        self._emit = emit

    def __deepcopy__(self, memo: dict[int, Any]) -> MetricCacheAbstract:
        """Async handlers get a copy of the context per call: with request ids of its own, over the same metrics."""
        return copy.copy(self)

    @abc.abstractmethod
    def initialize_cache(self) -> None:
        """Registers the declared metrics."""

    @abc.abstractmethod
    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        """A registered metric; raises `MetricsCacheKeyError` when there is none."""

    @abc.abstractmethod
    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str | None,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        """Registers a metric, or replaces the one of this name and type. Emits nothing."""

    def set_request_ids(self, request_ids: RequestIds) -> None:
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
        """Records one value; a metric that is not registered yet is registered with these dimensions."""
        _require_type(metric_type)
        labels = self._with_defaults(dimensions)
        metric = self.cache.get(metric_type, {}).get(name)
        if metric is None:
            metric = self.add_metric_to_cache(name, unit, list(labels), metric_type)
        if labels.keys() == set(metric.dimension_names):
            values: list[object] = [labels[each] for each in metric.dimension_names]
        else:
            values = list(labels.values())
        metric.add_or_update(value, values, self._request_id(idx))

    def add_counter(
        self, name: str, value: float, idx: int | None = None, dimensions: Iterable[Dimension] | None = None
    ) -> None:
        self.add_metric(name, value, "count", idx, dimensions, MetricTypes.COUNTER)

    def add_time(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "ms",
        dimensions: Iterable[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Raises `MetricsCacheValueError` for a unit that is neither ``ms`` nor ``s``."""
        _require_unit(unit, ("ms", "s"))
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_size(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        unit: str = "MB",
        dimensions: Iterable[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        """Raises `MetricsCacheValueError` for a unit that is none of ``MB``, ``kB``, ``GB``, ``B``."""
        _require_unit(unit, ("MB", "kB", "GB", "B"))
        self.add_metric(name, value, unit, idx, dimensions, metric_type)

    def add_percent(
        self,
        name: str,
        value: float,
        idx: int | None = None,
        dimensions: Iterable[Dimension] | None = None,
        metric_type: MetricTypes = MetricTypes.GAUGE,
    ) -> None:
        self.add_metric(name, value, "percent", idx, dimensions, metric_type)

    def add_error(self, name: str, value: float, dimensions: Iterable[Dimension] | None = None) -> None:
        given = [*(dimensions or ()), Dimension("Level", "Error")]
        self.add_metric(name, value, "", None, given, MetricTypes.COUNTER)

    def _with_defaults(self, dimensions: Iterable[Dimension] | None) -> dict[str, object]:
        labels = {dimension.name: dimension.value for dimension in dimensions or ()}
        labels.setdefault("ModelName", self.model_name)
        labels.setdefault("Level", "Model" if self.request_ids else "Error")
        return labels

    def _request_id(self, idx: int | None) -> str:
        ids = self.request_ids
        if not ids:
            return ""
        if isinstance(ids, str):
            return ids
        if idx is None:
            return ",".join(ids.values() if isinstance(ids, Mapping) else ids)
        try:
            return str(ids[idx])
        except LookupError:  # a handler's wrong index costs the id, not the metric
            return ""


class MetricsCacheYamlImpl(MetricCacheAbstract):
    """Metrics declared in section ``model_metrics`` of a metrics file; without a file, `MODEL_METRICS`."""

    def initialize_cache(self) -> None:
        """Raises one of the errors of `metrics_types` when the file cannot be used."""
        if self.config_file_path is None:
            for name in MODEL_METRICS:
                self.add_metric_to_cache(name, "ms", _DEFAULT_DIMENSIONS, MetricTypes.GAUGE)
            return
        for kind, entries in self._model_section().items():
            metric_type = _type_named(kind)
            for entry in entries or ():
                name, unit, names = _declaration(entry)
                self.add_metric_to_cache(name, unit, names, metric_type)

    def get_metric(self, metric_name: str, metric_type: MetricTypes = MetricTypes.COUNTER) -> CachingMetric:
        _require_type(metric_type)
        try:
            return self.cache[metric_type][metric_name]
        except KeyError:
            raise MetricsCacheKeyError(
                f"Metric of type '{metric_type.value}' and name '{metric_name}' doesn't exist"
            ) from None

    def add_metric_to_cache(
        self,
        metric_name: str,
        unit: str | None,
        dimension_names: Sequence[str] = (),
        metric_type: MetricTypes = MetricTypes.COUNTER,
    ) -> CachingMetric:
        _require_type(metric_type)
        metric = CachingMetric(metric_name, unit, dimension_names, metric_type, emit=self._emit)
        self.cache.setdefault(metric_type, {})[metric_name] = metric
        return metric

    def _model_section(self) -> dict[str, Any]:
        content = _read_yaml(self.config_file_path)
        if not isinstance(content, dict) or "model_metrics" not in content:
            raise MetricsCacheKeyError("Missing `model_metrics` specification in the metrics file")
        section = content["model_metrics"]
        if not section or not isinstance(section, dict):
            raise MetricsCacheValueError("The `model_metrics` section of the metrics file is empty")
        return section


def for_worker(message: Load) -> MetricsCacheYamlImpl:
    """What `context.metrics` is in a worker.

    Raises one of the errors of `metrics_types` when the metrics file cannot be used.
    """
    return new_cache(message.model_name, config_file=message.metrics_config, emit=export)


def new_cache(
    model_name: str, *, config_file: str | Path | None = None, emit: Emit | None = None
) -> MetricsCacheYamlImpl:
    """The cache for a worker's context, ready to use."""
    cache = MetricsCacheYamlImpl(config_file, emit=emit)
    cache.model_name = model_name
    cache.initialize_cache()
    return cache


def _read_yaml(path: object) -> object:
    import yaml  # noqa: PLC0415 - few workers read a metrics file, and each of them pays for imports

    if not isinstance(path, str | Path):
        raise MetricsCacheTypeError(f"The path of a metrics file must be a string, not {type(path).__name__}")
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise MetricsCacheIOError(f"Cannot read the metrics file: {error}") from error
    except yaml.YAMLError as error:
        raise MetricsCachePyYamlError(f"The metrics file is not YAML: {error}") from error


def _type_named(kind: object) -> MetricTypes:
    try:
        return MetricTypes(kind)
    except ValueError:
        raise MetricsCacheKeyError(f"Invalid metric type: {kind}") from None


def _declaration(entry: object) -> tuple[str, str, list[str]]:
    try:
        return entry["name"], entry["unit"], list(entry["dimensions"])  # type: ignore[index]  # it may be anything
    except (KeyError, TypeError) as error:
        raise MetricsCacheKeyError(f"A metric needs name, unit and dimensions: {entry}") from error


def _require_type(metric_type: object) -> None:
    if not isinstance(metric_type, MetricTypes):
        raise MetricsCacheTypeError("metric_type must be one of MetricTypes")


def _require_unit(unit: str, allowed: tuple[str, ...]) -> None:
    if unit not in allowed:
        raise MetricsCacheValueError(f"the unit for this metric must be one of {allowed}")
