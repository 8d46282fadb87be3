"""What a running server writes, where, and how it is told to write less or otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from torchserve_kit import Place, archive, wait_until, wait_until_served

HANDLER = """
import sys

def handle(data, context):
    if data is None:
        return None
    print("printed by the handler", flush=True)
    print("an error of the handler", file=sys.stderr, flush=True)
    return [b"x" for _ in data]
"""
LOG4J = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders><Console name="STDOUT"/></Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="warn" additivity="false"/>
    <Logger name="TS_METRICS" level="off"/>
    <Root level="info"><AppenderRef ref="STDOUT"/></Root>
  </Loggers>
</Configuration>
"""
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    it = Place(tmp_path)
    archive(it.store, "m", HANDLER)
    yield it
    it.close()


def use(place: Place) -> None:
    with place.client() as client:
        wait_until_served(client, "m")
        client.predict("m", b"x")


def log(place: Place, name: str) -> str:
    return (place.folder / "logs" / f"{name}.log").read_text()


def test_each_log_has_its_lines_in_torchserves_form(place: Place) -> None:
    place.configure("load_models=all")
    place.start()
    use(place)
    lines = {
        "ts_log": rf"{DATE} \[INFO \] W-\d+-m_1\.0 stoker\.pool\.handle - Worker W-\d+-m_1\.0 is ready",
        "model_log": rf"{DATE} \[INFO \] W-\d+-m_1\.0-stdout MODEL_LOG - printed by the handler",
        "access_log": rf'{DATE} - /127\.0\.0\.1:\d+ "gRPC \S+/Predictions HTTP/2\.0" 0 \d+',
        "ts_metrics": rf"{DATE} - QueueTime\.Milliseconds:0\.0\|#Level:Host\|#hostname:[^,]+,timestamp:\d+",
        "model_metrics": rf"{DATE} - PredictionTime\.ms:[\d.]+\|#ModelName:m,Level:Model\|#hostname:.*",
    }
    for name, line in lines.items():
        wait_until(lambda name=name, line=line: re.search(f"(?m)^{line}$", log(place, name)) is not None, line)  # type: ignore[misc]
    error = rf"(?m)^{DATE} \[WARN \] W-\d+-m_1\.0-stderr MODEL_LOG - an error of the handler$"
    wait_until(lambda: re.search(error, log(place, "model_log")) is not None, error)
    place.run("--stop")


def test_levels_of_a_log4j_file_count_and_the_rest_of_it_is_explained(place: Place) -> None:
    (place.folder / "log4j2.xml").write_text(LOG4J)
    place.configure("load_models=all")
    text = place.start("--log-config", "log4j2.xml")
    assert "its levels count (server INFO, workers INFO, access log WARN, ts_metrics.log OFF" in text
    assert "appenders, their files, patterns and sizes have no effect" in text
    use(place)
    wait_until(lambda: "PredictionTime" in log(place, "model_metrics"), "other logs are written")
    place.run("--stop")
    assert log(place, "access_log") == log(place, "ts_metrics") == ""


def test_json_is_all_that_the_console_shows_and_the_access_log_can_be_off(place: Place) -> None:
    place.configure("load_models=all", "log_format=json", "access_log=false", "metrics_mode=off")
    text = place.start()
    use(place)
    place.run("--stop")
    console = [json.loads(line) for line in (place.folder / "output-1").read_text().splitlines()]
    assert "Model server started." in [each["message"] for each in console]
    assert json.loads(text.splitlines()[-1])
    ready = next(each for each in console if each.get("event") == "worker_ready")
    assert (ready["model"], ready["version"], ready["level"]) == ("m", "1.0", "INFO")
    printed = next(each for each in console if each["message"] == "printed by the handler")
    assert printed["logger"] == "MODEL_LOG"
    assert all(json.loads(line) for line in log(place, "ts_log").splitlines())
    for name in ("access_log", "ts_metrics", "model_metrics"):
        assert log(place, name) == ""
