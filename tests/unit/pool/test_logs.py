from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator

import pytest

from stoker.pool.logs import PipeLog


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    yield read, write
    os.close(read)
    os.close(write)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "MODEL_LOG"]


async def test_what_is_left_in_the_pipe_is_logged_when_the_worker_is_dead(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log = PipeLog(pipe[0], level=logging.INFO, label="W-1-stdout")
    log.start()
    os.write(pipe[1], b"a\n" * 20_000 + b"last words")
    log.close()
    assert messages(caplog) == ["a"] * 20_000 + ["last words"]
    assert caplog.records[0].__dict__["thread_label"] == "W-1-stdout"
    log.close()
    assert len(messages(caplog)) == 20_001


async def test_one_turn_of_the_loop_reads_only_a_slice(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log = PipeLog(pipe[0], level=logging.INFO, label="W-1-stdout")
    os.write(pipe[1], b"1234567\n" * 8000)
    log.start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(messages(caplog)) < 8000
    log.close()
    assert len(messages(caplog)) == 8000


async def test_a_closed_pipe_is_not_read_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    log = PipeLog(read, level=logging.WARNING, label="W-1-stderr")
    log.start()
    os.close(write)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not asyncio.get_running_loop().remove_reader(read)
    log.close()
    os.close(read)


async def test_lines_of_metrics_are_recorded_and_only_those_that_are_none_are_logged(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told: list[str] = []

    def on_metric(line: str) -> bool:
        told.append(line)
        return "good" in line

    log = PipeLog(pipe[0], level=logging.INFO, label="W-1-stdout", on_metric=on_metric)
    log.start()
    os.write(pipe[1], b"a\n[METRICS]good\n[METRICS]bad\nnot [METRICS]good\n")
    log.close()
    assert told == ["[METRICS]good", "[METRICS]bad"]
    assert messages(caplog) == ["a", "[METRICS]bad", "not [METRICS]good"]
