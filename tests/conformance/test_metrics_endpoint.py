"""GET /metrics and the metric logs of a real server, in TorchServe's three modes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from model_kit import model_directory
from waiting import wait_until

from stoker.client import CallError, Client
from stoker.testing.server import RunningServer, running_server

HANDLER = """
import os, subprocess, sys
from ts.metrics.dimension import Dimension
from ts.metrics.metric import Metric
from ts.metrics.metric_type_enum import MetricTypes
from ts.service import emit_metrics

def handle(data, context):
    metrics = context.metrics
    if data is None:
        metrics.add_counter("Loads", 1)
        return None
    metrics.add_counter("Counted", 2, dimensions=[Dimension("Part", "a")])
    metrics.add_time("Timed", 1.5)
    metrics.add_size("Sized", 10, unit="kB")
    metrics.add_percent("Percented", 50)
    metrics.add_error("Erred", 1)
    metrics.add_metric("Spread", 0.3, "s", metric_type=MetricTypes.HISTOGRAM)
    emit_metrics([Metric("OldStyle", 7, "count", [Dimension("Level", "Model")], "old-id")])
    print("[METRICS]Printed.Count:3|#Level:Model|#type:COUNTER|#hostname:x,1700000000,printed-id", flush=True)
    print("an ordinary line", flush=True)
    return [b"x" for _ in data]
"""
ID = "[0-9a-f-]{36}"
LOGGED = {
    "Loads": rf"Loads\.Count:1\.0\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "Counted": rf"Counted\.Count:2\.0\|#Part:a,ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "Timed": rf"Timed\.Milliseconds:1\.5\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "Sized": rf"Sized\.Kilobytes:10\.0\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "Percented": rf"Percented\.Percent:50\.0\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "Erred": r"Erred\.unit:1\.0\|#Level:Error\|#hostname:[^,]+",
    "Spread": rf"Spread\.Seconds:0\.3\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
    "OldStyle": r"OldStyle\.Count:7\.0\|#Level:Model\|#hostname:[^,]+,requestID:old-id",
    "Printed": r"Printed\.Count:3\.0\|#Level:Model\|#hostname:[^,]+,requestID:printed-id",
    "PredictionTime": rf"PredictionTime\.ms:[\d.]+\|#ModelName:m,Level:Model\|#hostname:[^,]+,requestID:{ID}",
}
SERVED = (
    r'Counted{Part="a",ModelName="m",Level="Model",Hostname=".+",} 2\.0',
    r'Timed{ModelName="m",Level="Model",Hostname=".+",} 1\.5',
    r'Sized{ModelName="m",Level="Model",Hostname=".+",} 10\.0',
    r'Percented{ModelName="m",Level="Model",Hostname=".+",} 50\.0',
    r'Erred{Level="Error",Hostname=".+",} 1\.0',
    r'Spread_bucket{ModelName="m",Level="Model",Hostname=".+",le="0\.5",} 1\.0',
    r'OldStyle{Level="Model",Hostname=".+",} 7\.0',
    r'Printed{Level="Model",Hostname=".+",} 3\.0',
    r'PredictionTime{ModelName="m",Level="Model",Hostname=".+",} \d+\.\d+',
    r'Loads{ModelName="m",Level="Model",Hostname=".+",} 1\.0',
    r'Requests2XX{Level="Host",Hostname=".+",} \d+\.\d+',
    r'Requests4XX{Level="Host",Hostname=".+",} \d+\.\d+',
    r'ts_inference_requests_total{model_name="m",model_version="default",hostname=".+",} 1\.0',
    r'ts_inference_latency_microseconds{model_name="m",model_version="default",hostname=".+",} \d+\.\d+',
    r'ts_queue_latency_microseconds{model_name="m",model_version="default",hostname=".+",} \d+\.\d+',
    r'QueueTime{Level="Host",Hostname=".+",} \d+\.\d+',
    r'WorkerThreadTime{Level="Host",Hostname=".+",} \d+\.\d+',
    r'WorkerLoadTime{WorkerName="W-\d+-m_1\.0",Level="Host",Hostname=".+",} \d+\.\d+',
    r'CPUUtilization{Level="Host",Hostname=".+",} \d+\.\d+',
    r'DiskUsage{Level="Host",Hostname=".+",} \d+\.\d+',
    r'MemoryUsed{Level="Host",Hostname=".+",} \d+\.\d+',
)


class Used:
    """A server after one prediction over gRPC, one over REST that found no model, and a ping."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        with Client(server.endpoint) as client:
            wait_until(lambda: self._served(client), "the model is served")
            client.predict("m", b"x")
        assert httpx.get(f"{server.inference}/ping", timeout=60).status_code == 200
        assert httpx.get(f"{server.inference}/predictions/nobody", timeout=60).status_code == 404

    @staticmethod
    def _served(client: Client) -> bool:
        try:
            return client.health("m") == "SERVING"
        except CallError:
            return False

    def metrics(self, query: str = "") -> httpx.Response:
        return httpx.get(f"{self.server.metrics}/metrics{query}", timeout=60)

    def log(self, name: str) -> str:
        return (self.server.folder / "logs" / f"{name}.log").read_text()


@pytest.fixture(scope="module", params=["log", "prometheus", "legacy"])
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Used]]:
    model = model_directory(tmp_path_factory.mktemp("model"), "m", "service.py", files={"service.py": HANDLER})
    settings = {
        "load_models": "all",
        "default_workers_per_model": 1,
        "metrics_mode": f" {request.param.upper()} ",
        "model_metrics_auto_detect": "true",
    }
    with running_server(archives=[model], settings=settings) as server:
        yield request.param, Used(server)


def test_the_text_has_everything_nothing_or_the_three_counters(used: tuple[str, Used]) -> None:
    mode, it = used
    if mode == "log":
        assert it.metrics().text == ""
        return
    wanted = SERVED if mode == "prometheus" else [line for line in SERVED if line.startswith("ts_")]
    for line in wanted:
        wait_until(lambda line=line: re.search(f"(?m)^{line}$", it.metrics().text) is not None, line)  # type: ignore[misc]
    names = {line.split()[2] for line in it.metrics().text.splitlines() if line.startswith("# TYPE")}
    assert len([name for name in names if not name.startswith("stoker_")]) == (3 if mode == "legacy" else 30)
    assert "stoker_request_latency_seconds" in names


def test_the_answer_says_which_format_it_has(used: tuple[str, Used]) -> None:
    answer = used[1].metrics()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_names_choose_samples(used: tuple[str, Used]) -> None:
    mode, it = used
    text = it.metrics("?name[]=ts_inference_requests_total&name[]=QueueTime").text
    found = {line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")}
    both = {"ts_inference_requests_total", "QueueTime"}
    assert found == {"log": set(), "prometheus": both, "legacy": {"ts_inference_requests_total"}}[mode]


def test_what_handlers_record_and_print_is_in_the_log_of_model_metrics(used: tuple[str, Used]) -> None:
    mode, it = used
    if mode == "prometheus":
        assert it.log("model_metrics") == ""
        return
    for line in LOGGED.values():
        pattern = rf"(?m)^\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{{3}} - {line},timestamp:\d+$"
        wait_until(lambda pattern=pattern: re.search(pattern, it.log("model_metrics")) is not None, line)  # type: ignore[misc]


def test_the_servers_own_metrics_are_in_their_log_where_the_mode_logs(used: tuple[str, Used]) -> None:
    mode, it = used
    expected = {
        "log": {"Requests2XX", "Requests4XX", "ts_inference_requests_total", "QueueTime", "WorkerLoadTime"},
        "prometheus": set(),
        "legacy": {"Requests2XX", "Requests4XX", "QueueTime", "WorkerLoadTime"},
    }[mode]

    def logged() -> set[str]:
        return {line.split(" - ")[1].partition(".")[0] for line in it.log("ts_metrics").splitlines()}

    wait_until(lambda: logged() >= expected, f"{expected} are logged")
    if mode != "log":
        assert not any(name.startswith("ts_") for name in logged())
    if mode == "prometheus":
        assert logged() == set()


def test_lines_of_metrics_are_not_in_the_log_of_the_model_and_others_are(used: tuple[str, Used]) -> None:
    _, it = used
    wait_until(lambda: "an ordinary line" in it.log("model_log"), "the handler's line is logged")
    assert "[METRICS]" not in it.log("model_log")
