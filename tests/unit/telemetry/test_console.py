"""What the console shows of requests and metrics, and what the files have beside it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest

from stoker.core.measures import HandlerSample
from stoker.telemetry.log4j import LogLevels
from stoker.telemetry.logs import MODEL_LOGGER, Logs
from stoker.telemetry.metrics import Metrics

DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3}"


class Memory:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()


def use(folder: Path, **options: Any) -> list[str]:
    """The lines of the console after a request, a metric of the server and one of a handler."""
    console = Memory()
    logs = Logs(log_location=folder, metrics_location=folder, console=console, **options)
    logs.start()

    async def serve() -> None:
        metrics = Metrics(
            mode="log", host="h", ts_log=logs.ts_metrics, model_log=logs.model_metrics, as_json=logs.as_json
        )
        if logs.access is not None:
            logs.access.record([(time.time(), "127.0.0.1:40772", 'POST /predictions/m?"x" HTTP/1.1', 200, 49, "r0")])
        metrics.update("CPUUtilization", ("Host",), float("nan"))
        sample = HandlerSample("HandlerTime", "gauge", "ms", [("ModelName", "m"), ("Level", "Model")], 1.5, "r0")
        metrics._handlers.record(sample, ["r0", "r1"])
        metrics.flush()

    asyncio.run(serve())
    logs.close()
    return console.lines


def file(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.log").read_text().splitlines()


def test_the_console_shows_requests_and_metrics_as_torchserves_does(tmp_path: Path) -> None:
    """Scripts that read it split lines at colons and bars: the value is the fourth field."""
    shown = {re.search(r"main (\S+) - ", line)[1]: line for line in use(tmp_path)}  # type: ignore[index]
    assert re.fullmatch(
        rf'{DATE} \[INFO \] main ACCESS_LOG - /127\.0\.0\.1:40772 "POST /predictions/m\?"x" HTTP/1\.1" 200 49',
        shown["ACCESS_LOG"],
    )
    assert re.fullmatch(
        rf"{DATE} \[INFO \] main TS_METRICS - CPUUtilization\.Percent:nan\|#Level:Host\|#hostname:h,timestamp:\d+",
        shown["TS_METRICS"],
    )
    assert re.fullmatch(
        rf"{DATE} \[INFO \] main MODEL_METRICS - HandlerTime\.ms:1\.5\|#ModelName:m,Level:Model\|#hostname:h,"
        r"requestID:r0,r1,timestamp:\d+",
        shown["MODEL_METRICS"],
    )
    assert shown["MODEL_METRICS"].split("|")[0].split(":")[3] == "1.5"


def test_the_files_have_the_same_lines_without_level_thread_and_name(tmp_path: Path) -> None:
    shown = use(tmp_path)
    for name in ("access_log", "ts_metrics", "model_metrics"):
        (line,) = file(tmp_path, name)
        assert re.match(rf"{DATE} - ", line)
        assert sum(each.endswith(line[23:]) and each.startswith(line[:23]) for each in shown) == 1


def test_a_setting_keeps_requests_and_metrics_off_the_console(tmp_path: Path) -> None:
    assert use(tmp_path, console_lines="server") == []
    assert all(file(tmp_path, name) for name in ("access_log", "ts_metrics", "model_metrics"))


def test_levels_count_for_the_console_too(tmp_path: Path) -> None:
    off = logging.CRITICAL + 10
    assert use(tmp_path, levels=LogLevels(access=off, ts_metrics=off, model_metrics=off)) == []
    hidden = frozenset(("ACCESS_LOG", "TS_METRICS"))
    (line,) = use(tmp_path, levels=LogLevels(hidden=hidden))
    assert "MODEL_METRICS" in line


@pytest.mark.parametrize("console_lines", ["all", "server"])
def test_as_json_console_and_files_have_the_same_objects(tmp_path: Path, console_lines: str) -> None:
    shown = use(tmp_path, format="json", console_lines=console_lines)
    lines = [line for name in ("access_log", "ts_metrics", "model_metrics") for line in file(tmp_path, name)]
    assert sorted(shown) == (sorted(lines) if console_lines == "all" else [])
    access, system, handler = [json.loads(line) for line in lines]
    assert (access["logger"], system["logger"], handler["logger"]) == ("ACCESS_LOG", "TS_METRICS", "MODEL_METRICS")
    assert access["message"] == '/127.0.0.1:40772 "POST /predictions/m?"x" HTTP/1.1" 200 49'
    expected = {"client": "127.0.0.1:40772", "status": 200, "duration_ms": 49, "request_id": "r0"}
    assert expected.items() <= access.items()
    assert (system["metric"], system["value"], system["dimensions"]) == ("CPUUtilization", None, {"Level": "Host"})
    assert (handler["value"], handler["request_id"], handler["unit"]) == (1.5, "r0,r1", "ms")
    assert handler["message"].startswith("HandlerTime.ms:1.5|#ModelName:m,Level:Model|#hostname:h,requestID:r0,r1,")


def test_a_workers_traceback_is_lines_in_text_and_one_object_as_json(tmp_path: Path) -> None:
    text = "Traceback (most recent call last):\n  File\nValueError: no\n    more of its text"
    shown: dict[str, list[str]] = {}
    for style in ("text", "json"):
        console = Memory()
        logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console, format=style)
        logs.start()
        extra = {"printed": True, "thread_label": "W-9000-m_1.0-stderr", "model": "m", "version": "1.0", "pid": 7}
        logging.getLogger(MODEL_LOGGER).warning("%s", text, extra=extra)
        logs.close()
        shown[style] = console.lines
    assert [line.partition(" MODEL_LOG - ")[2] for line in shown["text"]] == text.splitlines()
    assert all(re.match(rf"{DATE} \[WARN \] W-9000-m_1\.0-stderr MODEL_LOG - ", line) for line in shown["text"])
    (told,) = map(json.loads, shown["json"])
    assert (told["message"], told["traceback"]) == ("ValueError: no", text)
    assert (told["model"], told["version"], told["pid"]) == ("m", "1.0", 7)


def test_python_warnings_are_records(tmp_path: Path) -> None:
    console = Memory()
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console, format="json")
    logs.start()
    logging.getLogger("py.warnings").warning("%s", "file.py:1: UserWarning: careful\n  code")
    logs.close()
    assert json.loads(console.data)["logger"] == "py.warnings"


def test_trouble_with_the_files_is_logged_in_the_consoles_format(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    console = Memory()
    place = tmp_path / "file"
    logs = Logs(log_location=place, metrics_location=place, console=console, format="json")
    logs.start()
    logs.close()
    assert {json.loads(line)["level"] for line in console.lines} == {"WARN"}


def test_reopened_files_are_new_ones_and_the_old_get_nothing_more(tmp_path: Path) -> None:
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=Memory())
    logs.start()
    log = logging.getLogger("stoker.test")
    log.warning("before")
    logs._writer.wait_written()
    for path in list(tmp_path.glob("*.log")):
        path.rename(path.with_suffix(".log-moved"))
    log.warning("still to the old one")
    logs.reopen()
    log.warning("after")
    logs.close()
    moved = (tmp_path / "ts_log.log-moved").read_text()
    assert "still to the old one" in moved
    assert "after" not in moved
    assert [line.rpartition(" - ")[2] for line in file(tmp_path, "ts_log")] == ["after"]
    assert len(list(tmp_path.glob("*.log"))) == 5


def test_rolling_can_be_left_to_others(tmp_path: Path) -> None:
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=Memory(), rolling=False)
    for each in logs._files:
        each._max_bytes = 1
    logs.start()
    for _ in range(3):
        logging.getLogger("stoker.test").warning("x")
        logs._writer.wait_written()
    logs.close()
    assert len(file(tmp_path, "ts_log")) == 3
    assert len(list(tmp_path.iterdir())) == 5
