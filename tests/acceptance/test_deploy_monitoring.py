"""Rules, dashboard and scaling queries, asked of a real Prometheus that scrapes a real server."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import prometheus_rig
import pytest
from deploy_kit import DEPLOY, RULES, dashboard_queries, render, rules, scaling_queries
from prometheus_rig import Prometheus
from torchserve_kit import archive, wait_until_served
from waiting import wait_until

from stoker.client import Client
from stoker.testing.server import RunningServer, running_server

HANDLER = """
def handle(data, context):
    if data is None:
        return None
    if any(bytes(row["body"]) == b"fail" for row in data):
        raise ValueError("as asked")
    return [b"x" for _ in data]
"""


def promtool(*words: str | Path) -> str:
    program = prometheus_rig.program().with_name("promtool")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(list(rules()))} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / "prometheus" / "rules_test.yaml")


# ------------------------------------------------------------------------- every query, of a server at work


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("archives")
    settings = {"load_models": "all", "default_workers_per_model": 1, "metrics_mode": "prometheus"}
    with running_server(archives=[archive(folder, "m", HANDLER)], settings=settings) as running:
        with Client(running.endpoint) as client:
            wait_until_served(client, "m")
        yield running


@pytest.fixture(scope="module")
def asked(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    labels = {"namespace": "models", "pod": "demo-stoker-5d9c7b-x2x4k"}
    with prometheus_rig.scraping(server, tmp_path_factory.mktemp("prometheus"), labels=labels, rules=RULES) as it:
        use(server, it)
        yield it


def use(server: RunningServer, asked: Prometheus) -> None:
    """Sends requests of each kind until Prometheus has seen every counter grow."""
    grown = [f"increase(Requests{kind}XX[1m]) > 0" for kind in (4, 5)]
    grown += [f'increase(stoker_requests_total{{outcome="{outcome}"}}[1m]) > 0' for outcome in ("answered", "failed")]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path, data in (("m", b"x"), ("m", b"fail"), ("none", b"x")):
            post(f"{server.inference}/predictions/{path}", data)
        if all(asked.query(query) for query in grown):
            return
        time.sleep(0.3)
    raise AssertionError("Prometheus has not seen answers of each class")


def post(address: str, data: bytes) -> None:
    request = urllib.request.Request(address, data, {"Content-Type": "application/octet-stream"})
    try:
        urllib.request.urlopen(request, timeout=10).read()
    except urllib.error.HTTPError:
        pass  # a request that is meant to fail


def as_grafana_asks(query: str) -> str:
    for name, value in (("$namespace", ".*"), ("$job", ".*"), ("$model", ".*"), ("$__rate_interval", "1m")):
        query = query.replace(name, value)
    assert "$" not in query
    return query


def as_a_value(query: str) -> str:
    """Returns the query without its last comparison's effect: an alert is silent while all is well."""
    return re.sub(r"(==|>|<) (\S+)$", r"\1 bool \2", query)


def has_data(asked: Prometheus, query: str) -> bool:
    return any(value == value for _, value in asked.query(query))  # a ratio without requests is NaN


@pytest.mark.parametrize("query", dashboard_queries())
def test_a_query_of_the_dashboard_returns_data(query: str, asked: Prometheus) -> None:
    wait_until(lambda: has_data(asked, as_grafana_asks(query)), query, 30)


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_returns_data(rule: dict[str, str], asked: Prometheus) -> None:
    wait_until(lambda: has_data(asked, as_a_value(rule["expr"])), rule["expr"], 30)
    if "record" in rule:
        wait_until(lambda: has_data(asked, rule["record"]), f"{rule['record']} is recorded", 30)


@pytest.mark.parametrize("query", scaling_queries())
def test_a_query_of_the_adapter_returns_data(query: str, asked: Prometheus) -> None:
    wait_until(lambda: has_data(asked, query), query, 30)


def test_what_keda_asks_returns_data(asked: Prometheus) -> None:
    documents = render("--set", "autoscaling.kind=keda")
    (scaled,) = [each for each in documents if each["kind"] == "ScaledObject"]
    for trigger in scaled["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        wait_until(lambda query=query: has_data(asked, query), query, 30)
