"""What handlers and scripts call by position or by name: the parameters of the old interfaces, in their order."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from model_archiver import ModelArchiverConfig
from ts import launcher
from ts.metrics.caching_metric import CachingMetric
from ts.metrics.dimension import Dimension
from ts.metrics.metric import Metric
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl as Cache
from ts.metrics.metric_type_enum import MetricTypes
from ts.metrics.metrics_store import MetricsStore

COUNTER, GAUGE = MetricTypes.COUNTER, MetricTypes.GAUGE
ARCHIVER = (
    "model_name handler version serialized_file=None model_file=None extra_files=None runtime=python export_path=* "
    "archive_format=default force=False requirements_file=None config_file=None"
)
LAUNCHER = (
    "model_store=None snapshot_file=None no_config_snapshots=False plugin_folder=None disable_token=False models=None "
    "enable_model_api=False"
)
TABLE: list[tuple[Callable[..., Any], str]] = [
    (Cache, "config_file_path"),
    (Cache.add_metric, f"self name value unit idx=None dimensions=* metric_type={COUNTER}"),
    (Cache.add_counter, "self name value idx=None dimensions=*"),
    (Cache.add_time, f"self name value idx=None unit=ms dimensions=* metric_type={GAUGE}"),
    (Cache.add_size, f"self name value idx=None unit=MB dimensions=* metric_type={GAUGE}"),
    (Cache.add_percent, f"self name value idx=None dimensions=* metric_type={GAUGE}"),
    (Cache.add_error, "self name value dimensions=*"),
    (Cache.add_metric_to_cache, f"self metric_name unit dimension_names=* metric_type={COUNTER}"),
    (Cache.get_metric, f"self metric_name metric_type={COUNTER}"),
    (Cache.set_request_ids, "self request_ids"),
    (CachingMetric, f"metric_name unit dimension_names=None metric_type={COUNTER}"),
    (CachingMetric.add_or_update, "self value dimension_values=* request_id="),
    (CachingMetric.update, "self value request_id= dimensions=*"),
    (Metric, "name value unit dimensions request_id=None metric_method=None"),
    (MetricsStore, "request_ids model_name"),
    (Dimension, "name value"),
    (ModelArchiverConfig, ARCHIVER),
    (launcher.start, LAUNCHER),
    (launcher.stop, "wait=True"),
    (launcher.register_model, "model_name url"),
    (launcher.register_model_with_params, "params"),
]
"""``*``: any default will do."""


@pytest.mark.parametrize(("callee", "expected"), TABLE, ids=lambda value: getattr(value, "__qualname__", ""))
def test_parameters_have_their_old_names_order_and_defaults(callee: Callable[..., Any], expected: str) -> None:
    found = [
        each
        for each in inspect.signature(callee).parameters.values()
        if each.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    for parameter, word in zip(found, expected.split(" "), strict=True):
        name, given, default = word.partition("=")
        assert parameter.name == name
        assert (parameter.default is not inspect.Parameter.empty) == bool(given)
        assert default == "*" or not given or str(parameter.default) == default
