from __future__ import annotations

import copy
import io
import json
import logging
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml

from stoker.worker import metrics, metrics_errors, metrics_system
from stoker.worker.metrics_types import Sample
from ts.metrics import system_metrics
from ts.metrics.caching_metric import CachingMetric
from ts.metrics.dimension import Dimension
from ts.metrics.metric import Metric
from ts.metrics.metric_cache_errors import (
    GeneralMetricsCacheError,
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCachePyYamlError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
)
from ts.metrics.metric_cache_yaml_impl import MetricsCacheYamlImpl
from ts.metrics.metric_encoder import MetricEncoder
from ts.metrics.metric_type_enum import MetricTypes
from ts.metrics.metrics_store import MetricsStore
from ts.metrics.process_memory_metric import check_process_mem_usage, get_cpu_usage
from ts.metrics.unit import Units
from ts.service import emit_metrics

COUNTER, GAUGE, HISTOGRAM = MetricTypes.COUNTER, MetricTypes.GAUGE, MetricTypes.HISTOGRAM


@pytest.fixture
def samples() -> list[Sample]:
    return []


@pytest.fixture
def cache(samples: list[Sample]) -> MetricsCacheYamlImpl:
    cache = metrics.new_cache("m", emit=samples.append)
    cache.set_request_ids({0: "r0", 1: "r1"})
    return cache


DEFAULTS = (("ModelName", "m"), ("Level", "Model"))


@pytest.mark.parametrize(
    ("call", "arguments", "unit", "kind"),
    [
        ("add_counter", {}, "Count", COUNTER),
        ("add_time", {}, "Milliseconds", GAUGE),
        ("add_time", {"unit": "s", "metric_type": HISTOGRAM}, "Seconds", HISTOGRAM),
        ("add_size", {}, "Megabytes", GAUGE),
        ("add_size", {"unit": "B", "metric_type": COUNTER}, "Bytes", COUNTER),
        ("add_percent", {}, "Percent", GAUGE),
        ("add_metric", {"unit": "birds"}, "birds", COUNTER),
        ("add_metric", {"unit": "", "metric_type": GAUGE}, "unit", GAUGE),
    ],
)
def test_each_call_hands_on_one_sample_with_the_default_dimensions(
    cache: MetricsCacheYamlImpl, samples: list[Sample], call: str, arguments: dict[str, Any], unit: str, kind: Any
) -> None:
    getattr(cache, call)("x", 2, **arguments)
    assert samples == [Sample("x", unit, kind, DEFAULTS, 2.0, "r0,r1")]
    assert cache.get_metric("x", kind).unit == unit


def test_nothing_is_printed(cache: MetricsCacheYamlImpl, capfd: pytest.CaptureFixture[str]) -> None:
    cache.add_counter("x", 1)
    assert capfd.readouterr() == ("", "")


def test_own_dimensions_come_first_and_replace_defaults(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    cache.add_counter("x", 1, dimensions=[Dimension("Level", "Mine"), Dimension("Path", "/a")])
    assert samples[0].dimensions == (("Level", "Mine"), ("Path", "/a"), ("ModelName", "m"))


def test_the_callers_list_of_dimensions_is_left_alone(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    mine: list[Dimension] = []
    cache.add_counter("x", 1, dimensions=mine)
    cache.add_counter("x", 1)
    assert mine == [] and samples[1].dimensions == DEFAULTS


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (None, (("Level", "Error"),)),
        ([Dimension("Where", "x")], (("Where", "x"), ("Level", "Error"))),
        ([Dimension("Level", "mine"), Dimension("A", 1)], (("Level", "mine"), ("A", "1"))),
    ],
)
def test_errors_have_a_level_of_their_own_and_no_model(
    cache: MetricsCacheYamlImpl, samples: list[Sample], given: Any, labels: Any
) -> None:
    cache.add_error("x", 1, given)
    assert samples == [Sample("x", "unit", COUNTER, labels, 1.0, "")]


def test_what_is_recorded_while_the_model_loads_counts_for_the_model(samples: list[Sample]) -> None:
    metrics.new_cache("m", emit=samples.append).add_counter("x", 1)
    assert samples[0].dimensions == DEFAULTS and len(samples[0].request_id) == 36


def test_without_a_request_the_level_is_error(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    cache.set_request_ids(None)
    cache.add_counter("x", 1)
    assert samples[0].dimensions == (("Level", "Error"),) and samples[0].request_id == ""


def test_one_request_can_be_named(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    for idx in (1, 7, None):
        cache.add_counter("x", 1, idx=idx)
    cache.set_request_ids("all")
    cache.add_counter("x", 1, 0)
    assert [sample.request_id for sample in samples] == ["r1", "r0,r1", "r0,r1", "all"]


def test_dimensions_may_come_in_another_order_than_declared(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    cache.add_metric_to_cache("x", "ms", ["Level", "ModelName"], GAUGE)
    cache.add_time("x", 1)
    assert samples[0].dimensions == (("Level", "Model"), ("ModelName", "m"))


@pytest.mark.parametrize(("call", "unit", "text"), [("add_time", "MB", "'s'"), ("add_size", "ms", "'kB'")])
def test_a_unit_that_does_not_fit_is_refused(cache: MetricsCacheYamlImpl, call: str, unit: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as error:
        getattr(cache, call)("x", 1, unit=unit)
    assert isinstance(error.value, MetricsCacheValueError)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"metric_name": 42}, "`metric_name` must be a str"),
        ({"unit": None}, "`unit` must be a str"),
        ({"metric_type": "gauge"}, "`metric_type` must be a MetricTypes enum"),
        ({"dimension_names": "A"}, "`dimension_names` should be a list of dimension name strings"),
        ({"dimension_names": ("A",)}, "`dimension_names` should be a list of dimension name strings"),
    ],
)
def test_a_declaration_with_a_wrong_type_is_refused(cache: MetricsCacheYamlImpl, changed: Any, text: str) -> None:
    right = {"metric_name": "x", "unit": "ms", "dimension_names": ["A"], "metric_type": GAUGE}
    with pytest.raises(TypeError) as error:
        cache.add_metric_to_cache(**right | changed)
    assert isinstance(error.value, MetricsCacheTypeError) and str(error.value) == text
    assert "gauge:x" not in cache.cache_keys()


@pytest.mark.parametrize("value", [-1, "many", None, object()])
def test_a_value_that_cannot_be_recorded_costs_a_log_line_only(
    cache: MetricsCacheYamlImpl, samples: list[Sample], value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache.add_counter("x", value)
    assert not samples and "[METRICS]Failed to update metric with name:x" in caplog.text


def test_a_hook_that_fails_does_not_fail_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    def broken(sample: Sample) -> None:
        raise OSError("disk full")

    metrics.new_cache("m", emit=broken).add_counter("x", 1)
    assert "disk full" in caplog.text


def test_the_number_of_dimension_values_must_fit(samples: list[Sample], caplog: pytest.LogCaptureFixture) -> None:
    metric = CachingMetric("x", "ms", ["a", "b"], GAUGE, emit=samples.append)
    metric.add_or_update(1, ["only one"])
    assert not samples and "[METRICS]Failed to update metric with name:x" in caplog.text


def test_the_old_update_brings_its_own_dimensions(samples: list[Sample]) -> None:
    metric = CachingMetric("x", "ms", ["a"], GAUGE, emit=samples.append)
    metric.update(1, "r", [Dimension("b", 2)])
    assert samples == [Sample("x", "Milliseconds", GAUGE, (("b", "2"),), 1.0, "r")]
    assert metric.dimension_names == ["b"]


def test_a_metric_without_a_hook_is_logged_as_workers_print_it(caplog: pytest.LogCaptureFixture) -> None:
    """Tests of handlers look for these lines in the log."""
    caplog.set_level("INFO")
    CachingMetric("x", "MB", ["a"]).add_or_update(14, ["b"], "r")
    assert caplog.messages[0].startswith("[METRICS]x.Megabytes:14|#a:b|#type:COUNTER|#hostname:")
    assert caplog.messages[0].endswith(",r")


def test_predeclared_metrics_are_there_and_others_are_missed(cache: MetricsCacheYamlImpl) -> None:
    assert cache.get_metric("HandlerTime", GAUGE).dimension_names == ["ModelName", "Level"]
    assert cache.cache_keys() == ["gauge:HandlerTime", "gauge:PredictionTime"]
    with pytest.raises(KeyError, match=r"Metric of type 'MetricTypes.COUNTER' and name 'HandlerTime' doesn't exist"):
        cache.get_metric("HandlerTime")
    for wrong in (("HandlerTime", "gauge"), (None, GAUGE)):
        with pytest.raises(TypeError):
            cache.get_metric(*wrong)  # type: ignore[arg-type]


def test_registering_emits_nothing_and_replaces(cache: MetricsCacheYamlImpl, samples: list[Sample]) -> None:
    first = cache.add_metric_to_cache("x", "ms", ["a"])
    second = cache.add_metric_to_cache("x", "s", ["a"])
    assert cache.get_metric("x") is second is not first and not samples


def test_a_copy_for_an_async_call_has_request_ids_of_its_own(
    cache: MetricsCacheYamlImpl, samples: list[Sample]
) -> None:
    other = copy.deepcopy(cache)
    other.set_request_ids({0: "other"})
    other.add_counter("x", 1)
    cache.add_counter("x", 1)
    assert [sample.request_id for sample in samples] == ["other", "r0,r1"]
    assert other.get_metric("x") is cache.get_metric("x")


# -------------------------------------------------------------------------------------------- declaration


def declared(folder: Path, text: str) -> MetricsCacheYamlImpl:
    path = folder / "metrics.yaml"
    path.write_text(text)
    cache = MetricsCacheYamlImpl(str(path))
    cache.initialize_cache()
    return cache


def test_metrics_are_declared_in_a_file(tmp_path: Path) -> None:
    cache = declared(
        tmp_path,
        "dimensions: [&l Level]\n"
        "ts_metrics: {}\n"
        "model_metrics:\n"
        "  counter:\n"
        "    - {name: A, unit: Count, dimensions: [*l]}\n"
        "  histogram:\n"
        "    - {name: B, unit: ms, dimensions: []}\n"
        "  gauge:\n",
    )
    assert cache.cache_keys() == ["counter:A", "histogram:B"]
    assert cache.get_metric("A").dimension_names == ["Level"]
    assert cache.get_metric("B", HISTOGRAM).unit == "Milliseconds"


@pytest.mark.parametrize("dimensions", ["", "[]", "null"])
def test_a_metric_may_be_declared_without_dimensions(tmp_path: Path, dimensions: str) -> None:
    text = f"model_metrics:\n  gauge:\n    - name: A\n      unit: ms\n      dimensions: {dimensions}\n"
    assert declared(tmp_path, text).get_metric("A", GAUGE).dimension_names == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("a: [", MetricsCachePyYamlError, "Error parsing file"),
        ("ts_metrics: {}", MetricsCacheKeyError, "'model_metrics' key not found in yaml file"),
        ("", MetricsCacheKeyError, "'model_metrics' key not found in yaml file"),
        ("model_metrics:", MetricsCacheValueError, "Missing `model_metrics` specification"),
        ("model_metrics: [A]", MetricsCacheValueError, "not a map"),
        ("model_metrics: {summary: []}", MetricsCacheKeyError, "Invalid metric type: 'summary'"),
        (
            "model_metrics: {gauge: [{name: A, unit: ms}]}",
            MetricsCacheKeyError,
            "not found in cache spec: 'dimensions'",
        ),
        ("model_metrics: {gauge: [{name: A, dimensions: [B]}]}", MetricsCacheKeyError, "'unit'"),
        ("model_metrics: {gauge: [{name: A, unit: ms, dimensions: B}]}", MetricsCacheTypeError, "dimension_names"),
        ("model_metrics: {gauge: [{name: A, unit: 5, dimensions: [B]}]}", MetricsCacheTypeError, "`unit`"),
        ("model_metrics: {gauge: [A]}", MetricsCacheKeyError, "cache spec"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        declared(tmp_path, text)


@pytest.mark.parametrize(("path", "error"), [("gone.yaml", OSError), ("", TypeError), (None, TypeError)])
def test_a_missing_file_is_refused_where_the_cache_is_made(path: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        MetricsCacheYamlImpl(path)
    assert isinstance(caught.value, MetricsCacheIOError | MetricsCacheTypeError)


def test_every_error_is_one_of_pythons_own(tmp_path: Path) -> None:
    """Handlers catch them as such."""
    errors = {
        MetricsCacheIOError: OSError,
        MetricsCacheTypeError: TypeError,
        MetricsCacheValueError: ValueError,
        MetricsCacheKeyError: KeyError,
        MetricsCachePyYamlError: yaml.YAMLError,
        GeneralMetricsCacheError: Exception,
    }
    for error, own in errors.items():
        assert issubclass(error, own) and "why" in str(error("why"))
    with pytest.raises(AttributeError):
        _ = metrics_errors.Other


# -------------------------------------------------------------------------------------------- older classes


def test_the_old_store_collects_one_metric_per_request_and_dimensions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    store = MetricsStore({0: "r0", 1: "r1"}, "m")
    store.add_counter("c", 1)
    store.add_counter("c", 2)
    store.add_time("t", 5, idx=1)
    store.add_size("s", 1, unit="kB")
    store.add_percent("p", 50, dimensions=[Dimension("Level", "Mine")])
    store.add_error("e", "what happened")
    assert [(metric.name, metric.value, metric.request_id) for metric in store.store] == [
        ("c", 1, "r0,r1"),
        ("t", 5, "r1"),
        ("s", 1, "r0,r1"),
        ("p", 50, "r0,r1"),
        ("e", "what happened", None),
    ]
    (update,) = caplog.messages  # of what was there already: the store is emitted at the end
    assert update.startswith("[METRICS]c.Count:2|#ModelName:m,Level:Model|#type:COUNTER|#hostname:")
    assert [str(each) for each in store.store[3].dimensions] == ["Level:Mine", "ModelName:m"]
    assert set(store.cache) >= {"c-count-r0,r1-ModelName:m-Level:Model", "e--None-Level:Error"}


def test_the_old_store_refuses_what_it_cannot_use() -> None:
    store = MetricsStore(None, "m")
    for call, unit in ((store.add_time, "years"), (store.add_size, "TB")):
        with pytest.raises(ValueError, match="unit for"):
            call("t", 1, unit=unit)
    with pytest.raises(ValueError, match="list of dimensions"):
        store.add_counter("c", 1, dimensions=(Dimension("a", 1),))  # type: ignore[arg-type]


def test_the_old_store_takes_one_id_for_all() -> None:
    """Scripts that try a handler by hand give it `MetricsStore(uuid4(), name)` as metrics."""
    one = uuid.uuid4()
    store = MetricsStore(one, "m")
    store.add_time("HandlerTime", 1, None, "ms")
    store.add_counter("c", 1, 0)
    assert [(m.name, m.value, m.unit, m.request_id) for m in store.store] == [
        ("HandlerTime", 1, "Milliseconds", one),
        ("c", 1, "Count", one),
    ]
    assert str(store.store[0]).endswith(str(one))


def test_an_old_metric_writes_the_line_that_parsers_know(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    metric = Metric("Time", 1.5, "ms", [Dimension("Level", "Model"), Dimension("A", 1)], "r0")
    assert re.fullmatch(
        rf"Time\.Milliseconds:1\.5\|#Level:Model,A:1\|#hostname:{socket.gethostname()},\d+,r0", str(metric)
    )
    metric.update(3)
    metric.reset()
    assert metric.value == 1.5 and metric.dimension_values == ["Model", 1]
    assert [text.split("|")[0] for text in caplog.messages] == [f"[METRICS]Time.Milliseconds:{n}" for n in (3, 0)]


def test_metrics_can_be_written_as_json() -> None:
    text = json.dumps(Metric("n", 1, "count", [Dimension("a", "b")]), cls=MetricEncoder)
    content = json.loads(text)
    assert (content["MetricName"], content["Unit"], content["Dimensions"]) == (
        "n",
        "Count",
        [{"Name": "a", "Value": "b"}],
    )
    with pytest.raises(TypeError):
        json.dumps(object(), cls=MetricEncoder)


def test_emitted_old_metrics_are_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    emit_metrics([Metric("n", 1, "count", [])])
    emit_metrics(None)
    (text,) = caplog.messages
    assert text.startswith("[METRICS]n.Count:1|#|#hostname:")


def test_units_and_dimensions_have_their_names() -> None:
    assert Units().units["GB"] == "Gigabytes" and Units().units[None] == "unit"
    assert str(Dimension("a", 1)) == "a:1"


# ------------------------------------------------------------------------------------------ system figures


@pytest.fixture
def empty_list() -> Iterator[None]:
    system_metrics.system_metrics.clear()
    yield
    system_metrics.system_metrics.clear()


def test_the_collector_script_prints_machine_and_processes() -> None:
    script = Path(sys.modules["ts.metrics"].__path__[0], "metric_collector.py")
    pid = str(psutil.Process().pid)
    done = subprocess.run([sys.executable, script, "--gpu", "0"], input=f"{pid}, 0\n", capture_output=True, text=True)
    figures, processes = done.stdout.split("\n\n")
    assert [line.split(".")[0] for line in figures.splitlines()] == [
        "CPUUtilization",
        "DiskAvailable",
        "DiskUsage",
        "DiskUtilization",
        "MemoryAvailable",
        "MemoryUsed",
        "MemoryUtilization",
    ]
    assert all("|#Level:Host|#hostname:" in line for line in figures.splitlines())
    assert re.fullmatch(rf"{pid}:\d+\n0:\d+\n", processes)


@pytest.mark.usefixtures("empty_list")
def test_gpu_figures_come_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=1 << 20, total=4 << 20),
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=30 + handle),
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    system_metrics.collect_gpu_metrics(2)
    lines = [str(metric).rsplit("|", 1)[0] for metric in system_metrics.system_metrics]
    assert lines[3:] == [
        "GPUMemoryUtilization.Percent:25.0|#Level:Host,device_id:1",
        "GPUMemoryUsed.Megabytes:1.0|#Level:Host,device_id:1",
        "GPUUtilization.Percent:31|#Level:Host,device_id:1",
    ]


@pytest.mark.usefixtures("empty_list")
def test_a_machine_without_a_driver_has_no_gpu_figures(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoDriver(Exception):
        pass

    def refuse() -> None:
        raise NoDriver("not found")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NoDriver, nvmlInit=refuse))
    with caplog.at_level(logging.WARNING):
        metrics_system.collect_gpu_metrics(1)
    assert not system_metrics.system_metrics and "not found" in caplog.text


def test_memory_of_processes_is_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert get_cpu_usage(psutil.Process().pid) > 1 << 20
    assert get_cpu_usage("nonsense") == 0
    check_process_mem_usage(io.StringIO("\n"))
    assert capsys.readouterr().out == ""
