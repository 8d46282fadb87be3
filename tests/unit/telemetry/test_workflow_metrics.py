from __future__ import annotations

from metrics_rig import batch_ended

from stoker.core.job import ModelKey
from stoker.telemetry.metrics import Metrics


def lines(metrics: Metrics, start: str) -> list[str]:
    return [line for line in metrics.exposition().decode().splitlines() if line.startswith(start)]


def test_requests_of_a_workflow_are_counted_by_how_they_ended() -> None:
    metrics = Metrics(mode="prometheus", host="h")
    counters = metrics.workflow("w")
    counters.ok, counters.failed, counters.cancelled, counters.latency_s = 3, 2, 1, 0.5
    counters.retries["node"] = 4

    assert lines(metrics, "ts_workflow") == [
        'ts_workflow_requests_total{workflow="w",status="ok"} 3',
        'ts_workflow_requests_total{workflow="w",status="failed"} 2',
        'ts_workflow_requests_total{workflow="w",status="cancelled"} 1',
        'ts_workflow_latency_microseconds{workflow="w"} 500000.0',
        'ts_workflow_node_retries_total{workflow="w",node="node"} 4',
    ]
    assert metrics.workflow("w") is counters


def test_a_server_without_workflows_says_nothing_of_them() -> None:
    assert "workflow" not in Metrics(mode="prometheus", host="h").exposition().decode()


def test_jobs_of_a_node_have_their_times_and_are_no_requests_of_their_own() -> None:
    metrics = Metrics(mode="prometheus", host="h")
    counters = metrics.model(ModelKey("w__node", "1.0")).counters
    assert counters is not None
    batch_ended(counters, 1, 0.75, 0.75, served=[(counters.by_default, 0.25, 1.0)])

    assert lines(metrics, "ts_inference_requests_total") == []
    labels = '{model_name="w__node",model_version="default",hostname="h",}'
    assert lines(metrics, "ts_inference_latency_microseconds") == [
        f"ts_inference_latency_microseconds{labels} 1000000.0"
    ]
    assert lines(metrics, "ts_queue_latency_microseconds") == [f"ts_queue_latency_microseconds{labels} 250000.0"]
