from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from stoker.telemetry.access import BufferedAccessLog
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
        writer.post(sink, text, 1)
    writer.write_pending()
    assert (one.writes, two.writes) == ([b"ab", b"d"], [b"c"])


def test_what_waits_is_bounded_and_what_is_dropped_is_counted() -> None:
    sink, trouble = Memory(), list[str]()
    writer = LogWriter(name="log files", on_trouble=trouble.append, max_pending_bytes=10)
    for _ in range(5):
        writer.post(sink, b"1234", 4)
    writer.write_pending()
    assert sink.text == "12341234"
    assert [text.split(";")[0] for text in trouble] == ["log files: 3 log lines were dropped"]
    writer.post(sink, b"next", 4)
    writer.write_pending()
    assert sink.text.endswith("next")


def test_an_entry_that_cannot_be_formatted_costs_only_itself() -> None:
    def broken() -> bytes:
        raise KeyError("x")

    sink, troubles = Memory(), list[str]()
    writer = writer_of(troubles)
    writer.post(sink, broken, 1)
    writer.post(sink, b"after", 5)
    writer.write_pending()
    assert troubles == ["log files: a log entry was lost: KeyError('x')"]
    assert sink.text == "after"


# ------------------------------------------------------------------------------------------ access log


async def test_calls_are_written_in_the_contracts_words_at_the_flush() -> None:
    sink = Memory()
    writer = writer_of()
    access = BufferedAccessLog(writer, sink)
    first_call = (1.0, "127.0.0.1:52011", "gRPC org.x.Service/Predictions HTTP/2.0", 0, 7, "")
    access.record([first_call, (1.0, "evil\n", 'gRPC "\n HTTP/2.0', 13, 1, "")])
    access.flush()
    writer.write_pending()
    first, second = sink.text.splitlines()
    assert first.endswith('/127.0.0.1:52011 "gRPC org.x.Service/Predictions HTTP/2.0" 0 7')
    assert second.endswith('/evil\\n "gRPC "\\n HTTP/2.0" 13 1')


async def test_nothing_is_written_before_the_batch_is_due_and_a_thousand_are() -> None:
    sink = Memory()
    writer = writer_of()
    access = BufferedAccessLog(writer, sink)
    for number in range(999):
        access.record([(1.0, "p", "r", 0, number, "")])
    writer.write_pending()
    assert sink.text == ""
    access.record([(1.0, "p", "r", 0, 999, "")])
    writer.write_pending()
    assert sink.text.count("\n") == 1000
    access.flush()


async def test_no_timer_is_left_when_no_call_comes() -> None:
    access = BufferedAccessLog(writer_of(), Memory())
    access.record([(1.0, "p", "r", 0, 1, "")])
    access.flush()
    loop = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []  # type: ignore[attr-defined]


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
