"""A real Prometheus server scrapes a real server and answers queries about it."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from torchserve_kit import archive, wait_until, wait_until_served

from stoker.bench import tools
from stoker.client import Client
from stoker.testing.server import RunningServer, free_ports, running_server

REPOSITORY = Path(__file__).resolve().parents[2]
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
def prometheus() -> Path:
    try:
        return tools.find_or_fetch("prometheus", home=REPOSITORY / ".cache" / "tools")
    except tools.ToolMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


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


@dataclass
class Prometheus:
    address: str

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.address}/api/v1/query?{query}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return [(each["metric"], float(each["value"][1])) for each in found["data"]["result"]]

    def until(self, expression: str, expected: float) -> dict[str, str]:
        """Waits until the query has one result of this value; returns its labels."""
        end, found = time.monotonic() + 60, []
        while time.monotonic() < end:
            found = self.query(expression)
            if [value for _, value in found] == [expected]:
                return found[0][0]
            time.sleep(0.1)
        raise AssertionError(f"{expression} is {found}, not {expected}")


@pytest.fixture(scope="module")
def scraping(prometheus: Path, server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    (port,) = free_ports(1)
    target = server.metrics.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "stoker", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                prometheus,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        it = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(lambda: it.ready() or process.poll() is not None, "Prometheus is ready")
        assert process.poll() is None, (folder / "log").read_text()
        yield it
    finally:
        process.terminate()
        process.wait(30)


def test_prometheus_scrapes_every_kind_of_metric_and_answers_queries(
    server: RunningServer, scraping: Prometheus
) -> None:
    with Client(server.endpoint) as client:
        wait_until_served(client, "m")
        for _ in range(3):
            client.predict("m", b"x")
        client.predict("m", b"x", version="1.0")
    assert scraping.until('up{job="stoker"}', 1)
    by_default = 'ts_inference_requests_total{model_name="m",model_version="default"}'
    assert scraping.until(by_default, 3)["hostname"]
    scraping.until('ts_inference_requests_total{model_name="m",model_version="1.0"}', 1)
    assert scraping.until("sum(Rows)", 4) == {}
    assert scraping.until("Share_sum", pytest.approx(1.2))["ModelName"] == "m"
    scraping.until('Share_bucket{le="0.5"}', 4)
    scraping.until("Requests2XX >= bool 4", 1)
    scraping.until('stoker_request_latency_seconds_count{model="m",version="1.0"}', 4)
    scraping.until('stoker_handler_time_seconds_bucket{model="m",le="+Inf"}', 4)
    scraping.until('stoker_workers{model="m",state="ready"}', 1)
    scraping.until("stoker_queue_depth", 0)
    scraping.until("MemoryUtilization > bool 0", 1)
    scraping.until('histogram_quantile(0.5, stoker_request_latency_seconds_bucket{model="m"}) < bool 60', 1)
