"""What `deploy/` says of settings, ports and metrics, against the code that has them."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from deploy_kit import CHART, DASHBOARD, DEPLOY, dashboard_queries, metric_names, panels, rules, scaling_queries

from stoker.config.settings import ROWS, Settings
from stoker.core.job import ModelKey
from stoker.core.ports import ModelFigures
from stoker.pool.slot_states import State
from stoker.telemetry.metrics import Metrics

RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = [rule for rule in rules() if "alert" in rule]
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """All names that a server's /metrics may have."""
    metrics = Metrics(mode="prometheus")
    key = ModelKey("m", "1.0")
    metrics.model(key)
    metrics.watch(lambda: [ModelFigures(key=key, waiting=0, workers={"READY": 1})])
    text = metrics.exposition().decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in families for suffix in suffixes.get(kind, ("",))}


@pytest.mark.parametrize("query", [rule["expr"] for rule in rules()] + dashboard_queries() + scaling_queries())
def test_a_query_reads_only_metrics_that_exist(query: str, exposed: set[str]) -> None:
    names = metric_names(query)
    assert names
    assert names <= exposed | RECORDED | {"up"}


def test_the_states_that_queries_name_are_states_of_workers() -> None:
    matchers = re.findall(r'state=~?"([\w|]+)"', " ".join([rule["expr"] for rule in rules()] + dashboard_queries()))
    named = {state for matcher in matchers for state in matcher.split("|")}
    assert len(named) > 1
    assert named <= {state.value.lower() for state in State}


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_is_wrong_and_what_to_look_at(alert: dict[str, object]) -> None:
    annotations = alert["annotations"]
    assert isinstance(annotations, dict)
    assert set(annotations) == {"summary", "action"}
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert "for" in alert


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules_test.yaml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    assert fired == {alert["alert"] for alert in ALERTS}


def test_the_dashboard_has_one_panel_a_place_and_a_unit_for_each() -> None:
    document = json.loads(DASHBOARD.read_text())
    numbers = [panel["id"] for panel in document["panels"]]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len(set(places)) == len(places)
    assert all(panel["fieldConfig"]["defaults"]["unit"] and panel["description"] for panel in panels())


@pytest.mark.parametrize("file", ["docker/config.properties"])
def test_a_properties_file_has_only_keys_that_exist(file: str) -> None:
    text = (DEPLOY / file).read_text()
    keys = [line.split("=")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert keys
    assert set(keys) <= set(ROWS)


def test_the_charts_properties_have_only_keys_that_exist() -> None:
    text = (CHART / "templates" / "configmap.yaml").read_text()
    keys = set(re.findall(r'^ +"(\w+)" ', text, re.MULTILINE)) | set(re.findall(r'set \$config "(\w+)"', text))
    assert len(keys) > 12
    assert keys <= set(ROWS)


def test_variables_of_the_runtime_of_kserve_are_settings() -> None:
    runtime = yaml.safe_load((DEPLOY / "kserve" / "clusterservingruntime.yaml").read_text())
    (container,) = runtime["spec"]["containers"]
    variables = {each["name"] for each in container["env"]}
    assert variables <= {row.env for row in ROWS.values()}


def test_the_image_exposes_the_default_ports() -> None:
    exposed = re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed is not None
    settings = Settings()
    rest = (settings.inference_address, settings.management_address, settings.metrics_address)
    grpc = (settings.grpc_inference_port, settings.grpc_management_port)
    assert exposed[1].split() == [*(str(address.port) for address in rest), *map(str, grpc)]


def test_the_image_has_the_names_that_torchserves_has() -> None:
    for line in (
        "WORKDIR /home/model-server",
        'ENTRYPOINT ["/usr/local/bin/dockerd-entrypoint.sh"]',
        'CMD ["serve"]',
        "TEMP=/home/model-server/tmp",
        "/home/model-server/config.properties",
        "/home/model-server/model-store",
        "/home/venv",
    ):
        assert line in DOCKERFILE


def test_the_image_runs_as_a_user_that_kubernetes_can_tell_from_root() -> None:
    """`runAsNonRoot` refuses a user that is given by name."""
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["1000:1000"]


def test_the_context_of_the_image_has_what_it_copies() -> None:
    kept = set(re.findall(r"^!(.*)$", (DEPLOY.parent / ".dockerignore").read_text(), re.MULTILINE))
    copied = [
        words.split()[:-1] for words in re.findall(r"^COPY (?:--chmod=\d+ )?(?!--)(.*)$", DOCKERFILE, re.MULTILINE)
    ]
    for path in (path for paths in copied for path in paths):
        assert (DEPLOY.parent / path).exists()
        assert any(path == each or path.startswith(f"{each}/") for each in kept), path


def of_unit(key: str) -> int:
    unit = (DEPLOY / "systemd" / "stoker.service").read_text()
    value = re.search(rf"^{key}=(\d+)$", unit, re.MULTILINE)
    assert value is not None
    return int(value[1])


def test_a_service_of_systemd_has_more_time_to_stop_than_a_drain_takes() -> None:
    assert of_unit("TimeoutStopSec") > Settings().drain_timeout_s


def test_a_service_of_systemd_that_cannot_start_stays_down() -> None:
    """The limit counts starts in an interval, which must be longer than the restarts and loads that it counts."""
    of_a_start_s = 30
    assert of_unit("StartLimitIntervalSec") > of_unit("StartLimitBurst") * (of_unit("RestartSec") + of_a_start_s)
