"""A real Prometheus server scrapes a real server and answers queries about it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import prometheus_rig
import pytest
from prometheus_rig import Prometheus
from torchserve_kit import archive, wait_until_served

from stoker.client import Client
from stoker.testing.server import RunningServer, running_server

HANDLER = """
from ts.metrics.metric_type_enum import MetricTypes

def handle(data, context):
    if data is None:
        return None
    context.metrics.add_counter("Rows", len(data))
    context.metrics.add_metric("Share", 0.3, "s", metric_type=MetricTypes.HISTOGRAM)
    return [b"x" for _ in data]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("archives")
    settings = {
        "load_models": "all",
        "default_workers_per_model": 1,
        "metrics_mode": "prometheus",
        "model_metrics_auto_detect": "true",
    }
    with running_server(archives=[archive(folder, "m", HANDLER)], settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def scraping(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus_rig.scraping(server, tmp_path_factory.mktemp("prometheus")) as it:
        yield it


def until(prometheus: Prometheus, expression: str, expected: float) -> dict[str, str]:
    """Waits until the query has one result of this value; returns its labels."""
    end, found = time.monotonic() + 60, []
    while time.monotonic() < end:
        found = prometheus.query(expression)
        if [value for _, value in found] == [expected]:
            return found[0][0]
        time.sleep(0.1)
    raise AssertionError(f"{expression} is {found}, not {expected}")


def test_prometheus_scrapes_every_kind_of_metric_and_answers_queries(
    server: RunningServer, scraping: Prometheus
) -> None:
    with Client(server.endpoint) as client:
        wait_until_served(client, "m")
        for _ in range(3):
            client.predict("m", b"x")
        client.predict("m", b"x", version="1.0")
    assert until(scraping, 'up{job="stoker"}', 1)
    by_default = 'ts_inference_requests_total{model_name="m",model_version="default"}'
    assert until(scraping, by_default, 3)["hostname"]
    until(scraping, 'ts_inference_requests_total{model_name="m",model_version="1.0"}', 1)
    assert until(scraping, "sum(Rows)", 4) == {}
    assert until(scraping, "Share_sum", pytest.approx(1.2))["ModelName"] == "m"
    until(scraping, 'Share_bucket{le="0.5"}', 4)
    until(scraping, "Requests2XX >= bool 4", 1)
    until(scraping, 'stoker_request_latency_seconds_count{model="m",version="1.0"}', 4)
    until(scraping, 'stoker_handler_time_seconds_bucket{model="m",le="+Inf"}', 4)
    until(scraping, 'stoker_workers{model="m",state="ready"}', 1)
    until(scraping, "stoker_queue_depth", 0)
    until(scraping, "MemoryUtilization > bool 0", 1)
    until(scraping, 'histogram_quantile(0.5, stoker_request_latency_seconds_bucket{model="m"}) < bool 60', 1)
