"""A worker that breaks the protocol is recycled; the server and its other workers live."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool_kit import running

from stoker.errors import WorkerDied

NONSENSE = "it sent an invalid message"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("garbage", NONSENSE),
        ("not_msgpack", NONSENSE),
        ("huge_length", NONSENSE),
        ("wrong_count", NONSENSE),
        ("wrong_sum", NONSENSE),
        ("unknown_batch", NONSENSE),
        ("part_for_unknown_batch", NONSENSE),
        ("loaded_twice", NONSENSE),
        ("to_worker_message", NONSENSE),
        ("half_frame", "exit code 0"),
        ("closes", "it closed its connection to the server"),
    ],
)
async def test_a_worker_that_breaks_the_protocol_is_replaced(tmp_path: Path, fault: str, cause: str) -> None:
    options = {"worker_module": "misbehaving_worker", "extra_env": {"FAULT": fault}}
    async with running(tmp_path, options=options) as kit:
        with pytest.raises(WorkerDied) as raised:
            await kit.ask("hello")
        assert raised.value.cause == cause
        await kit.until(lambda: kit.states() == ["READY"])


async def test_a_worker_that_answers_twice_is_replaced_after_its_first_answer_counted(tmp_path: Path) -> None:
    options = {"worker_module": "misbehaving_worker", "extra_env": {"FAULT": "twice"}}
    async with running(tmp_path, options=options) as kit:
        assert await kit.ask("hello") == "x"
        await kit.until(lambda: kit.scheduler.lost)
        assert kit.scheduler.lost[0].message == f"Worker died. Cause: {NONSENSE}"


async def test_a_worker_that_says_loaded_before_hello_is_replaced(tmp_path: Path) -> None:
    options = {"worker_module": "misbehaving_worker", "extra_env": {"FAULT": "loaded_before_hello"}}
    async with running(tmp_path, options=options) as kit:
        assert kit.pool.statuses()[0].failure == NONSENSE


async def test_a_request_that_no_worker_can_read_costs_two_of_them(tmp_path: Path) -> None:
    options = {"worker_module": "misbehaving_worker", "extra_env": {"FAULT": "cannot_read"}}
    async with running(tmp_path, workers=2, options=options) as kit:
        with pytest.raises(WorkerDied) as raised:
            await kit.ask("hello")
        assert raised.value.cause == "exit code 1"
        assert len(kit.scheduler.lost) == 2
