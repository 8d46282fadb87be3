from __future__ import annotations

import logging
from pathlib import Path

import pytest

from stoker.telemetry.access import text_of
from stoker.telemetry.lines import with_columns
from stoker.telemetry.logs import MODEL_LOGGER, Logs
from stoker.telemetry.writer import LogWriter


class Memory:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    @property
    def text(self) -> str:
        return b"".join(self.writes).decode()


def writer_of(troubles: list[str] | None = None) -> LogWriter:
    return LogWriter(name="log files", on_trouble=(troubles if troubles is not None else []).append)


def test_neighbours_for_one_sink_are_one_write_and_order_is_kept() -> None:
    one, two = Memory(), Memory()
    writer = writer_of()
    for sink, text in ((one, b"a"), (one, b"b"), (two, b"c"), (one, b"d")):
        writer.post(sink, text)
    writer.write_pending()
    assert (one.writes, two.writes) == ([b"ab", b"d"], [b"c"])


def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    sink, trouble = Memory(), list[str]()
    writer = LogWriter(name="log files", on_trouble=trouble.append, max_pending_bytes=10)
    for _ in range(5):
        writer.post(sink, b"123\n")
    writer.write_pending()
    assert sink.text == "123\n123\n"
    assert [text.split(";")[0] for text in trouble] == ["log files: 3 log lines were dropped"]
    writer.post(sink, b"next")
    writer.write_pending()
    assert sink.text.endswith("next")


# ------------------------------------------------------------------------------------------ access log


def test_calls_are_written_in_the_contracts_words() -> None:
    first_call = (1.0, "127.0.0.1:52011", "gRPC org.x.Service/Predictions HTTP/2.0", 0, 7, "")
    lines = text_of([first_call, (1.0, "evil\n", 'gRPC "\n HTTP/2.0', 13, 1, "")])
    first, second = with_columns(lines, None).decode().splitlines()
    assert first.endswith('/127.0.0.1:52011 "gRPC org.x.Service/Predictions HTTP/2.0" 0 7')
    assert second.endswith('/evil\\n "gRPC "\\n HTTP/2.0" 13 1')


# ------------------------------------------------------------------------------------------ the whole


@pytest.fixture
def console() -> Memory:
    return Memory()


def test_records_go_to_the_console_and_to_their_file(tmp_path: Path, console: Memory) -> None:
    logs = Logs(log_location=tmp_path / "a", metrics_location=tmp_path / "b", console=console)
    logs.start()
    logging.getLogger("stoker.test").info("of the server")
    logging.getLogger(MODEL_LOGGER).info("of a worker", extra={"thread_label": "W-9000-m_1.0-stdout"})
    logging.getLogger("stoker.test").debug("not shown")
    logs.announce("Model server started.")
    logs.close()
    assert {f.name for f in (tmp_path / "a").iterdir()} == {"ts_log.log", "model_log.log", "access_log.log"}
    assert {f.name for f in (tmp_path / "b").iterdir()} == {"ts_metrics.log", "model_metrics.log"}
    assert "stoker.test - of the server" in (tmp_path / "a" / "ts_log.log").read_text()
    assert "of a worker" not in (tmp_path / "a" / "ts_log.log").read_text()
    assert "W-9000-m_1.0-stdout MODEL_LOG - of a worker" in (tmp_path / "a" / "model_log.log").read_text()
    assert "of the server" in console.text
    assert "of a worker" in console.text
    assert "not shown" not in console.text
    assert console.text.endswith("Model server started.\n")


def test_without_a_folder_to_log_to_the_console_still_tells_everything(tmp_path: Path, console: Memory) -> None:
    (tmp_path / "file").write_text("")
    logs = Logs(log_location=tmp_path / "file", metrics_location=tmp_path / "file", console=console)
    logs.start()
    logging.getLogger("stoker.test").warning("still here")
    logs.close()
    assert "Cannot write" in console.text
    assert "still here" in console.text


def test_after_the_close_the_loggers_are_as_before(tmp_path: Path, console: Memory) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console)
    logs.start()
    logs.close()
    logs.close()
    assert (list(root.handlers), root.level) == before
    assert logging.getLogger(MODEL_LOGGER).propagate
