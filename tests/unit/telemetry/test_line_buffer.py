"""Lines of busy logs are formatted a few at a time, and handed on together."""

from __future__ import annotations

import asyncio
import logging

import pytest

from stoker.telemetry.line_buffer import LineBuffer


def buffer_of(posted: list[bytes]) -> LineBuffer[int]:
    return LineBuffer(posted.append, lambda numbers: b"".join(b"%d\n" % number for number in numbers))


async def test_nothing_is_handed_on_before_the_flush_and_then_everything_in_order() -> None:
    posted = list[bytes]()
    buffer = buffer_of(posted)
    for number in range(1000):
        buffer.record([number])
    assert posted == []
    buffer.flush()
    assert [int(line) for line in b"".join(posted).splitlines()] == list(range(1000))


async def test_long_text_does_not_wait_for_the_flush() -> None:
    posted = list[bytes]()
    buffer = LineBuffer(posted.append, lambda texts: b"".join(texts))
    for _ in range(64):
        buffer.record([bytes(10_000)])
    assert 0 < sum(map(len, posted)) <= 640_000
    buffer.flush()
    assert sum(map(len, posted)) == 640_000


async def test_what_is_due_at_a_flush_is_part_of_it() -> None:
    posted = list[bytes]()
    buffer = LineBuffer(posted.append, lambda texts: b"".join(texts), on_flush=lambda: buffer.record([b"due"]))
    buffer.wake()
    buffer.flush()
    assert posted == [b"due"]
    assert buffer.timer is None


async def test_no_timer_is_left_when_nothing_is_logged() -> None:
    buffer = buffer_of([])
    buffer.record([1])
    buffer.flush()
    loop = asyncio.get_running_loop()
    assert [handle for handle in loop._scheduled if not handle.cancelled()] == []  # type: ignore[attr-defined]


async def test_entries_that_cannot_be_formatted_cost_only_themselves(caplog: pytest.LogCaptureFixture) -> None:
    posted = list[bytes]()
    buffer = buffer_of(posted)
    buffer.record(["no number"])  # type: ignore[list-item]
    buffer.flush()
    buffer.record([2])
    buffer.flush()
    assert posted == [b"2\n"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "1 log lines were lost")
    ]
