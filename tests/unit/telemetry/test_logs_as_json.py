"""Each line is one JSON object, whatever is logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stoker.telemetry.log4j import LogLevels
from stoker.telemetry.logs import MODEL_LOGGER, Logs


class Memory:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.decode().splitlines()]


@pytest.fixture
def console() -> Memory:
    return Memory()


@pytest.fixture
def logs(console: Memory, tmp_path: Path) -> Iterator[Logs]:
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console, format="json")
    logs.start()
    yield logs
    logs.close()


def test_a_record_tells_its_time_level_logger_message_and_facts(logs: Logs, console: Memory, tmp_path: Path) -> None:
    extra = {"event": "worker_ready", "model": "m", "version": "1.0", "request_id": "r0", "thread_label": "W-9000-m"}
    logging.getLogger("stoker.test").warning("Line\n%s \x7f ü", "two", extra=extra)
    logs.close()
    (told,) = console.objects()
    at = told.pop("timestamp")
    assert at.endswith("Z")
    assert told == {
        "level": "WARN",
        "logger": "stoker.test",
        "thread": "W-9000-m",
        "message": "Line\ntwo \x7f ü",
        "event": "worker_ready",
        "model": "m",
        "version": "1.0",
        "request_id": "r0",
    }
    assert (tmp_path / "ts_log.log").read_bytes() == console.data
    assert console.data.isascii()


def test_a_traceback_is_a_field(logs: Logs, console: Memory) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("stoker.test").exception("It failed")
    logs.close()
    (told,) = console.objects()
    assert told["traceback"].endswith("ValueError: no")


def test_what_workers_print_and_what_scripts_wait_for_is_json_too(logs: Logs, console: Memory) -> None:
    logging.getLogger(MODEL_LOGGER).info("printed")
    logs.announce("Model server started.")
    assert [each["message"] for each in console.objects()] == ["printed", "Model server started."]


def test_an_announcement_is_on_the_console_when_it_returns(tmp_path: Path) -> None:
    """A launcher that is told next may end at once, and whoever waits for it reads then."""
    console = Memory()
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console)
    logs.start()
    try:
        for number in range(50):
            logs.announce(f"line {number}")
            assert console.data.endswith(b"line %d\n" % number)
    finally:
        logs.close()


def test_levels_silence_what_is_less_severe(console: Memory, tmp_path: Path) -> None:
    levels = LogLevels(logging.ERROR, logging.INFO, logging.WARNING, logging.WARNING, logging.INFO)
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console, levels=levels)
    logs.start()
    logging.getLogger("stoker.test").warning("not this")
    logging.getLogger(MODEL_LOGGER).info("but this")
    assert logs.access is None
    assert logs.ts_metrics is None
    assert logs.model_metrics is not None
    logs.model_metrics(b"but this\n")
    logs.close()
    assert console.data.decode().splitlines()[0].endswith("but this")
    assert (tmp_path / "ts_metrics.log").read_bytes() == b""
    assert (tmp_path / "model_metrics.log").read_bytes() == b"but this\n"
