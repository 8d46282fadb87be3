"""Runs a real Prometheus that scrapes a server, and asks it."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks import fetching
from waiting import wait_until

from stoker.bench import tools
from stoker.bench.ports import free_ports
from stoker.testing.server import RunningServer

REPOSITORY = Path(__file__).resolve().parents[2]


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns labels and value of each result."""
        words = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._address}/api/v1/query?{words}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return [(each["metric"], float(each["value"][1])) for each in found["data"]["result"]]


def program() -> Path:
    """Returns the program of Debian's package, beside which promtool lies; skips the test where it cannot be had."""
    try:
        return fetching.find_or_fetch("prometheus", home=REPOSITORY / ".cache" / "tools")
    except tools.ToolMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@contextmanager
def scraping(
    server: RunningServer, folder: Path, *, labels: Mapping[str, str] | None = None, rules: Path | None = None
) -> Iterator[Prometheus]:
    """Scrapes, and evaluates ``rules``, every second. ``labels``: added to what is scraped."""
    (port,) = free_ports(1)
    target = {"targets": [server.metrics.removeprefix("http://")], "labels": dict(labels or {})}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [{"job_name": "stoker", "static_configs": [target]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program(),
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
