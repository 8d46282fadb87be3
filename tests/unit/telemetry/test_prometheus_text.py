"""What Prometheus reads: TorchServe's names as its Java client writes them, then our own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from metrics_rig import KEY, Rig, jobs, metrics_file, sample
from prometheus_client.parser import text_string_to_metric_families

from stoker.core.job import ModelKey
from stoker.core.ports import ModelFigures

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

NAMES = {
    "Requests2XX": ("counter", "Count"),
    "Requests4XX": ("counter", "Count"),
    "Requests5XX": ("counter", "Count"),
    "ts_inference_requests_total": ("counter", "Count"),
    "ts_inference_latency_microseconds": ("counter", "Microseconds"),
    "ts_queue_latency_microseconds": ("counter", "Microseconds"),
    "QueueTime": ("gauge", "Milliseconds"),
    "WorkerThreadTime": ("gauge", "Milliseconds"),
    "WorkerLoadTime": ("gauge", "Milliseconds"),
    "CPUUtilization": ("gauge", "Percent"),
    "MemoryUsed": ("gauge", "Megabytes"),
    "MemoryAvailable": ("gauge", "Megabytes"),
    "MemoryUtilization": ("gauge", "Percent"),
    "DiskUsage": ("gauge", "Gigabytes"),
    "DiskUtilization": ("gauge", "Percent"),
    "DiskAvailable": ("gauge", "Gigabytes"),
    "GPUMemoryUtilization": ("gauge", "Percent"),
    "GPUMemoryUsed": ("gauge", "Megabytes"),
    "GPUUtilization": ("gauge", "Percent"),
    "HandlerTime": ("gauge", "ms"),
    "PredictionTime": ("gauge", "ms"),
}


def lines_of(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(rf"(# \w+ )?{name}\b", line)]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_torchserve_is_named_before_anything_happened(name: str) -> None:
    kind, unit = NAMES[name]
    assert lines_of(Rig("prometheus").text, name) == [
        f"# HELP {name} Torchserve prometheus {kind} metric with unit: {unit}",
        f"# TYPE {name} {kind}",
    ]


def test_values_have_labels_with_a_comma_behind_the_last_and_decimals() -> None:
    rig = Rig("prometheus")
    rig.request(queued_s=0.0021, took_s=0.010)
    rig.request(queued_s=0.0031, took_s=0.020)
    rig.request(named_version=True, queued_s=0.001, took_s=0.002)
    rig.metrics.answered(404)
    rig.metrics.answered(503)
    rig.metrics.answered(302)
    rig.metrics.update("WorkerLoadTime", ("W-9000-m_1.0", "Host"), 2535)
    rig.metrics.update("GPUUtilization", ("Host", "0"), 12.5)
    rig.predicted(0.008, jobs("r"))
    lines = rig.text.splitlines()
    for sample_line in (
        'Requests2XX{Level="Host",Hostname="h",} 3.0',
        'Requests4XX{Level="Host",Hostname="h",} 1.0',
        'Requests5XX{Level="Host",Hostname="h",} 2.0',
        'ts_inference_requests_total{model_name="m",model_version="default",hostname="h",} 2.0',
        'ts_inference_requests_total{model_name="m",model_version="1.0",hostname="h",} 1.0',
        'ts_inference_latency_microseconds{model_name="m",model_version="default",hostname="h",} 30000.0',
        'ts_queue_latency_microseconds{model_name="m",model_version="default",hostname="h",} 5200.0',
        'QueueTime{Level="Host",Hostname="h",} 1.0',
        'WorkerThreadTime{Level="Host",Hostname="h",} 4.0',
        'WorkerLoadTime{WorkerName="W-9000-m_1.0",Level="Host",Hostname="h",} 2535.0',
        'GPUUtilization{Level="Host",DeviceId="0",Hostname="h",} 12.5',
        'PredictionTime{ModelName="m",Level="Model",Hostname="h",} 8.0',
    ):
        assert sample_line in lines


def test_requests_without_a_version_are_counted_together_whatever_version_answered() -> None:
    rig = Rig("prometheus")
    rig.request(KEY, queued_s=0, took_s=1)
    rig.request(ModelKey("m", "2.0"), queued_s=0, took_s=1)
    assert 'ts_inference_requests_total{model_name="m",model_version="default",hostname="h",} 2.0' in rig.text


def test_a_histogram_has_the_buckets_of_the_java_client() -> None:
    rig = Rig("prometheus", auto_detect=True)
    for value in (0.005, 0.3, 20):
        rig.model().recorded(sample("Dist", value, "histogram", "Seconds"))
    labels = 'ModelName="m",Level="Model",Hostname="h",'
    bounds = [
        "0.005",
        "0.01",
        "0.025",
        "0.05",
        "0.075",
        "0.1",
        "0.25",
        "0.5",
        "0.75",
        "1.0",
        "2.5",
        "5.0",
        "7.5",
        "10.0",
        "+Inf",
    ]
    counts = [1.0] * 7 + [2.0] * 7 + [3.0]
    assert lines_of(rig.text, r"Dist(_\w+)?") == [
        "# HELP Dist Torchserve prometheus histogram metric with unit: Seconds",
        "# TYPE Dist histogram",
        *(f'Dist_bucket{{{labels}le="{bound}",}} {count}' for bound, count in zip(bounds, counts, strict=True)),
        f"Dist_count{{{labels}}} 3.0",
        f"Dist_sum{{{labels}}} 20.305",
    ]


def test_label_values_are_escaped() -> None:
    rig = Rig("prometheus", auto_detect=True)
    rig.model().recorded(sample("Odd", 1, Path='a"b\\c\nd'))
    assert r'Odd{ModelName="m",Level="Model",Path="a\"b\\c\nd",Hostname="h",} 1.0' in rig.text.splitlines()


@pytest.mark.parametrize(
    ("names", "samples"),
    [
        (["Requests2XX"], ["Requests2XX"]),
        (["Requests2XX", "QueueTime"], ["Requests2XX", "QueueTime"]),
        (["Dist_sum"], ["Dist_sum"]),
        (["stoker_batch_size_count"], ["stoker_batch_size_count"]),
        (["Dist"], []),
        (["Requests"], []),
        (["GPUUtilization"], []),
    ],
)
def test_only_samples_of_the_asked_names_are_served_and_no_family_without_one(
    names: list[str], samples: list[str]
) -> None:
    rig = Rig("prometheus", auto_detect=True)
    rig.request(queued_s=0, took_s=1)
    rig.model().recorded(sample("Dist", 1, "histogram", "Seconds"))
    text = rig.metrics.exposition(names).decode()
    found = [line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")]
    assert found == samples
    assert bool(text) == bool(samples)


def test_workers_on_a_cluster_are_counted_by_node_and_others_are_not() -> None:
    rig = Rig("prometheus")
    nodes = {"node-1 (10.0.0.1)": 2, 'odd"': 1}
    rig.metrics.watch(lambda: [ModelFigures(key=KEY, waiting=0, workers={"READY": 3}, nodes=nodes)])
    (family,) = [each for each in text_string_to_metric_families(rig.text) if each.name == "stoker_node_workers"]
    assert {sample.labels["node"]: sample.value for sample in family.samples} == nodes
    rig.metrics.watch(lambda: [ModelFigures(key=KEY, waiting=0, workers={"READY": 3})])
    assert "stoker_node_workers" not in rig.text


def test_the_whole_text_is_readable_for_prometheus() -> None:
    rig = Rig("prometheus", auto_detect=True)
    rig.metrics.watch(lambda: [ModelFigures(key=KEY, waiting=3, workers={"READY": 2, "BACKOFF": 1})])
    rig.request(queued_s=0.002, took_s=0.02)
    rig.model().recorded(sample("Dist", 1, "histogram", "Seconds"))
    rig.counters().streams += 1
    rig.counters().failed += 1
    families = {family.name: family for family in text_string_to_metric_families(rig.text)}
    values = {
        (each.name, each.labels.get("le") or each.labels.get("state") or each.labels.get("outcome")): each.value
        for name, family in families.items()
        if name.startswith("stoker_")
        for each in family.samples
    }
    assert values["stoker_request_latency_seconds_bucket", "0.01"] == 0
    assert values["stoker_request_latency_seconds_bucket", "0.025"] == 1
    assert values["stoker_request_latency_seconds_bucket", "+Inf"] == 1
    assert values["stoker_request_latency_seconds_sum", None] == pytest.approx(0.02)
    assert values["stoker_queue_wait_seconds_bucket", "0.0025"] == 1
    assert values["stoker_handler_time_seconds_count", None] == 1
    assert values["stoker_queue_depth", None] == 3
    assert values["stoker_workers", "ready"] == 2
    assert values["stoker_workers", "backoff"] == 1
    assert values["stoker_streams_in_flight", None] == 1
    assert values["stoker_requests_total", "answered"] == 1
    assert values["stoker_requests_total", "failed"] == 1
    assert values["stoker_requests_total", "refused"] == 0


def test_a_model_that_is_registered_anew_goes_on_counting() -> None:
    rig = Rig("prometheus")
    rig.request(queued_s=0, took_s=1)
    rig.request(queued_s=0, took_s=1)
    assert rig.model() is rig.model()
    assert 'ts_inference_requests_total{model_name="m",model_version="default",hostname="h",} 2.0' in rig.text


def test_metrics_that_the_file_leaves_out_do_not_exist_and_its_words_count(tmp_path: Path) -> None:
    config = metrics_file(
        tmp_path,
        """
ts_metrics:
  counter:
    - {name: Requests2XX, unit: Answers, dimensions: [Level, Hostname]}
  histogram:
    - {name: WorkerLoadTime, unit: Milliseconds, dimensions: [WorkerName, Level, Hostname]}
model_metrics:
  counter:
    - {name: Seen, unit: Count, dimensions: [ModelName, Level]}
""",
    )
    rig = Rig("prometheus", config=config)
    rig.request(queued_s=0, took_s=1)
    rig.model().worker_loaded("W-9000-m_1.0", 2.0)
    rig.model().recorded(sample("Seen", 2, "gauge", "Percent"))
    rig.model().recorded(sample("Seen", 3, "gauge", "Percent"))
    rig.model().recorded(sample("Unseen", 1))
    lines = [line for line in rig.text.splitlines() if "stoker_" not in line and "WorkerLoadTime_bucket" not in line]
    assert lines == [
        "# HELP Requests2XX Torchserve prometheus counter metric with unit: Answers",
        "# TYPE Requests2XX counter",
        'Requests2XX{Level="Host",Hostname="h",} 1.0',
        "# HELP WorkerLoadTime Torchserve prometheus histogram metric with unit: Milliseconds",
        "# TYPE WorkerLoadTime histogram",
        'WorkerLoadTime_count{WorkerName="W-9000-m_1.0",Level="Host",Hostname="h",} 1.0',
        'WorkerLoadTime_sum{WorkerName="W-9000-m_1.0",Level="Host",Hostname="h",} 2000.0',
        "# HELP Seen Torchserve prometheus counter metric with unit: Count",
        "# TYPE Seen counter",
        'Seen{ModelName="m",Level="Model",Hostname="h",} 5.0',
    ]


def test_autoscaling_is_exported_for_models_that_have_it() -> None:
    rig = Rig("prometheus")
    other = ModelKey("other", "1.0")
    scaled = ModelFigures(key=KEY, waiting=0, workers={}, wanted=0, changes={"up": 2, "sleep": 1})
    rig.metrics.watch(lambda: [scaled, ModelFigures(key=other, waiting=0, workers={})])
    lines = [line for line in rig.text.splitlines() if line.startswith("stoker_autoscale")]
    model = f'model="{KEY.name}",version="{KEY.version}"'
    assert lines == [
        f"stoker_autoscale_workers{{{model}}} 0",
        f'stoker_autoscale_changes_total{{{model},change="up"}} 2',
        f'stoker_autoscale_changes_total{{{model},change="sleep"}} 1',
    ]
    rig.metrics.watch(lambda: [ModelFigures(key=other, waiting=0, workers={})])
    assert "stoker_autoscale" not in rig.text
