"""What a running server writes, where, and how it is told to write less or otherwise."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest
from torchserve_kit import TORCHSERVE, Place, archive, wait_until_served
from waiting import wait_until

from stoker.client import CallError, Client

HANDLER = """
import sys

def handle(data, context):
    if data is None:
        return None
    print("printed by the handler", flush=True)
    print("an error of the handler", file=sys.stderr, flush=True)
    return [b"x" for _ in data]
"""
LOUD = """
def handle(data, context):
    if data is None:
        return None
    for _ in range(20_000):
        print("x" * 400)
    return ["said" for _ in data]
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
def place(place: Place) -> Place:
    archive(place.store, "m", HANDLER)
    return place


def use(place: Place) -> None:
    with place.client() as client:
        wait_until_served(client, "m")
        client.predict("m", b"x")


def answers(client: Client) -> bool:
    try:
        client.health("")
    except CallError:
        return False
    return True


def log(place: Place, name: str) -> str:
    return (place.folder / "logs" / f"{name}.log").read_text()


def test_each_log_has_its_lines_in_torchserves_form(place: Place) -> None:
    place.configure("load_models=all")
    place.start()
    use(place)
    lines = {
        "ts_log": rf"{DATE} \[INFO \] W-\d+-m_1\.0 stoker\.pool\.slot - Worker W-\d+-m_1\.0 is ready",
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
    console = (place.folder / "output-1").read_text()
    for name, line in lines.items():
        if name not in ("ts_log", "model_log"):  # those have level, thread and logger in their files too
            logger = name.upper()
            line = line.replace(" - ", rf" \[INFO \] main {logger} - ", 1)
        assert re.search(f"(?m)^{line}$", console) is not None, line


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


def test_json_is_all_that_the_console_shows(place: Place) -> None:
    """Also where the start has more to say than usual."""
    (place.temp / ".model_server.pid").write_text("999999\nstoker 1 another-boot\n")
    place.configure("load_models=all", "log_format=json")
    text = place.start()
    use(place)
    place.run("--stop")
    console = [json.loads(line) for line in (place.folder / "output-1").read_text().splitlines()]
    assert console[0]["message"] == "Removing orphan pid file."
    assert "Model server started." in [each["message"] for each in console]
    assert json.loads(text.splitlines()[-1])
    ready = next(each for each in console if each.get("event") == "worker_ready")
    assert (ready["model"], ready["version"], ready["level"]) == ("m", "1.0", "INFO")
    printed = next(each for each in console if each["message"] == "printed by the handler")
    assert (printed["logger"], printed["model"], printed["version"]) == ("MODEL_LOG", "m", "1.0")
    assert printed["pid"] != printed["worker"]
    for name in ("ts_log", "model_log", "access_log", "ts_metrics", "model_metrics"):
        assert [json.loads(line) for line in log(place, name).splitlines()]
    (answered,) = [each for each in console if each["logger"] == "ACCESS_LOG" and "Predictions" in each["request"]]
    (measured,) = [each for each in console if each.get("metric") == "PredictionTime"]
    assert answered["request_id"] == measured["request_id"]


def test_a_start_that_fails_says_so_in_json_too(place: Place) -> None:
    place.configure("log_format=json", "job_queue_size=many")
    status, wrong = place.run("--start", "--foreground", "--model-store", "models")
    place.configure("log_format=json")
    missing = place.run("--start", "--foreground", "--model-store", "nowhere")[1]
    assert status == 1
    assert json.loads(wrong)["level"] == "ERROR"
    assert "job_queue_size" in json.loads(wrong)["message"]
    assert json.loads(missing)["message"] == "--model-store directory not found: nowhere"


def test_nothing_of_requests_and_metrics_is_written_where_they_are_off(place: Place) -> None:
    place.configure("load_models=all", "access_log=false", "metrics_mode=off")
    place.start()
    use(place)
    place.run("--stop")
    for name in ("access_log", "ts_metrics", "model_metrics"):
        assert log(place, name) == ""


def test_a_console_that_nobody_reads_holds_no_request_up_and_what_it_missed_is_counted(place: Place) -> None:
    archive(place.store, "loud", LOUD)
    place.configure("load_models=loud.mar")
    reader, writer = os.pipe()
    command = [TORCHSERVE, "--start", "--foreground", "--model-store", "models"]
    process = subprocess.Popen(command, cwd=place.folder, env=place.env, stdout=writer, stderr=writer)
    os.close(writer)
    try:
        with place.client() as client:
            wait_until(lambda: answers(client), "the server answers")
            wait_until_served(client, "loud")
            for _ in range(2):
                assert client.predict("loud", b"x", timeout=60).text == "said"
            wait_until(lambda: log(place, "model_log").count("\n") == 40_000, "the file has every line")
            with os.fdopen(reader, closefd=False) as console:
                read = ""
                while "lines were dropped" not in read:
                    read = console.readline()
            assert re.search(r"\[WARN \] stoker-log \S+ - console: \d+ log lines were dropped", read)
            assert client.predict("loud", b"x", timeout=60).text == "said"
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(30)
        os.close(reader)


def test_a_hang_up_opens_the_log_files_anew(place: Place) -> None:
    """As logrotate does it: move, create, tell."""
    place.configure("load_models=all")
    place.start()
    use(place)
    wait_until(lambda: "Predictions" in log(place, "access_log"), "the call is in the log")
    logs = place.folder / "logs"
    for path in list(logs.glob("*.log")):
        path.rename(path.with_suffix(".log-1"))
        path.touch(0o600)
    place.server().send_signal(signal.SIGHUP)
    wait_until(lambda: "Reopening the log files" in log(place, "ts_log"), "the new file is written")
    before = {path.name: path.read_bytes() for path in logs.glob("*.log-1")}
    use(place)
    for name in ("access_log", "model_log", "ts_metrics", "model_metrics"):
        wait_until(lambda name=name: log(place, name) != "", name)  # type: ignore[misc]
    place.run("--stop")
    assert {path.name: path.read_bytes() for path in logs.glob("*.log-1")} == before


def test_a_server_whose_terminal_is_gone_stops_and_one_under_nohup_goes_on(place: Place) -> None:
    place.configure("load_models=all")
    for prefix in ([], ["nohup"]):
        master, slave = os.openpty()
        command = [*prefix, TORCHSERVE, "--start", "--foreground", "--model-store", "models"]
        process = subprocess.Popen(
            ["setsid", "--ctty", *command], cwd=place.folder, env=place.env, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        try:
            with place.client() as client:
                wait_until(lambda client=client: answers(client), "the server answers")  # type: ignore[misc]
                os.close(master)
                if not prefix:
                    assert process.wait(60) == 0
                    continue
                wait_until(
                    lambda: "Reopening the log files" in log(place, "ts_log"), "it took the hang-up for what it is not"
                )
                wait_until_served(client, "m")
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(30)
