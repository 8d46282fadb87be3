"""Reads what is in `deploy/`, and finds the programs that check it (scripts/install --deploy)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
CHART = DEPLOY / "helm" / "stoker"
RULES = CHART / "files" / "rules.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
TOOLS = REPOSITORY / ".venv" / "deploy"

_NAME = re.compile(r"(?<![\w:$])(?:stoker:[a-z0-9_:]+|stoker_[a-z_]+|[A-Z][A-Za-z0-9]+|up)(?=[{\[)\s]|$)")
_NOT_METRICS = frozenset({"Hostname", "WorkerName"})


def tool(name: str) -> Path:
    """Returns a program of `TOOLS`; skips the test where it is not installed."""
    path = TOOLS / "bin" / name
    if not path.exists():
        pytest.skip(f"{name} is not installed (scripts/install --deploy)")
    return path


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def panels() -> Iterator[dict[str, Any]]:
    """Returns the dashboard's panels that ask something."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def scaling_queries() -> list[str]:
    """Returns the queries of the adapter, for all pods together."""
    text = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus-adapter.yaml").read_text())
    queries = [rule["metricsQuery"] for rule in text["rules"]["custom"]]
    return [query.replace("<<.LabelMatchers>>", 'job=~".+"').replace("<<.GroupBy>>", "job") for query in queries]


def metric_names(query: str) -> set[str]:
    """Returns the metrics that a query reads."""
    return set(_NAME.findall(re.sub(r'"[^"]*"|\bby \([^)]*\)', "", query))) - _NOT_METRICS


def render(*options: str) -> list[dict[str, Any]]:
    """Returns the documents that the chart makes. Raises CalledProcessError."""
    done = subprocess.run(
        [tool("helm"), "template", "demo", CHART, "--namespace", "models", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "HELM_CACHE_HOME": "/nonexistent", "HELM_CONFIG_HOME": "/nonexistent"},
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found
