"""Every way a worker process can end: only its own batch fails, with the cause, and another process follows."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from pool_kit import answer, children, is_gone, open_files, running

from stoker.errors import ResponseTimeout, WorkerDied, WorkerOutOfMemory
from stoker.pool import worker_process
from stoker.pool.out_of_memory import MemoryKills


async def test_workers_answer_and_closing_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    files, processes = open_files(), children()
    async with running(tmp_path, workers=2) as kit:
        assert [await kit.ask(f"echo {i}") for i in range(5)] == [f"echo {i}" for i in range(5)]
        assert kit.states() == ["READY", "READY"]
        none = dict.fromkeys(("STARTING", "PENDING", "LOADING", "BACKOFF", "GIVEN_UP", "DRAINING"), 0)
        assert kit.pool.states() == {**none, "READY": 2}, "metrics show zero workers as 0"
        assert [status.id for status in kit.pool.statuses()] == [9000, 9001]
        assert all(status.memory_bytes > 1 << 20 and status.failure is None for status in kit.pool.statuses())
    assert children() <= processes
    assert open_files() <= files


@pytest.mark.parametrize(
    ("request_text", "cause"),
    [
        ("exit 3", "exit code 3"),
        ("exit 0", "exit code 0"),
        ("leave 4", "exit code 4"),
        ("signal 15", "killed by signal 15 (SIGTERM)"),
        ("segfault", "killed by signal 11 (SIGSEGV)"),
        ("signal 9", "killed by signal 9 (SIGKILL)"),
        ("exit 137", "exit code 137"),
    ],
)
async def test_the_caller_is_told_why_the_worker_died(tmp_path: Path, request_text: str, cause: str) -> None:
    async with running(tmp_path) as kit:
        with pytest.raises(WorkerDied) as raised:
            await kit.ask(request_text)
        assert raised.value.cause == cause
        assert not isinstance(raised.value, WorkerOutOfMemory)
        (status,) = kit.pool.statuses()
        assert (status.state, status.failure, status.pid) == ("BACKOFF", cause, None)
        assert status.failing_since_s is not None
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("hello again") == "hello again"
        (status,) = kit.pool.statuses()
        assert (status.failure, status.failing_since_s) == (None, None)


@pytest.mark.parametrize("request_text", ["signal 9", "exit 137"])
async def test_a_worker_that_the_kernel_killed_for_memory_was_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_text: str
) -> None:
    (tmp_path / "proc").mkdir()
    counter = tmp_path / "proc" / "vmstat"
    counter.write_text("oom_kill 4\n")
    monkeypatch.setattr(worker_process, "memory_kills", MemoryKills(tmp_path))
    async with running(tmp_path) as kit:
        counter.write_text("oom_kill 5\n")
        with pytest.raises(WorkerOutOfMemory, match="out of memory"):
            await kit.ask(request_text)
        await kit.until(lambda: kit.states() == ["READY"])
        with pytest.raises(WorkerDied) as again:
            await kit.ask(request_text)
        assert type(again.value) is WorkerDied


async def test_kill_9_of_one_worker_fails_only_the_batch_that_it_had_started(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as kit:
        victim = int(await kit.ask("pid"))
        jobs = [kit.submit("sleep 1") for _ in range(8)]
        while min(link.started() or 0 for link in kit.scheduler.links) <= 1:  # batch 1 asked for the pid
            await asyncio.sleep(0.02)
        os.kill(victim, signal.SIGKILL)
        answers = await asyncio.gather(*(answer(job) for job in jobs), return_exceptions=True)
    failed = [item for item in answers if item != "slept"]
    assert len(failed) == 1
    assert isinstance(failed[0], WorkerDied)


async def test_an_answer_given_just_before_the_death_is_delivered(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        assert await kit.ask("thread_exit 5") == "soon"
        await kit.until(lambda: kit.scheduler.lost)
        assert kit.scheduler.lost[0].message == "Worker died. Cause: exit code 5"


async def test_a_worker_that_does_not_answer_in_time_is_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, response_timeout_s=0.5) as kit:
        (before,) = kit.pids()
        with pytest.raises(ResponseTimeout):
            await kit.ask("sleep 600")
        await kit.until(lambda: kit.states() == ["READY"])
        assert kit.pids() != [before]
    assert "Backend worker did not respond in given time" in caplog.text
    assert "Number or consecutive unsuccessful inference 1" in caplog.text


async def test_a_stopped_process_is_no_obstacle(tmp_path: Path) -> None:
    async with running(tmp_path, response_timeout_s=0.5) as kit:
        with pytest.raises(ResponseTimeout):
            await kit.ask("stop")
        await kit.until(lambda: kit.states() == ["READY"])


async def test_children_of_a_handler_die_with_its_worker(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        left = [int(pid) for pid in (await kit.ask("spawn")).split()]
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
        while not all(map(is_gone, left)):
            await asyncio.sleep(0.02)
        await kit.until(lambda: kit.states() == ["READY"])


async def test_children_of_a_handler_die_when_the_pool_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        left = [int(pid) for pid in (await kit.ask("spawn")).split()]
        assert len(left) == 2
        assert not any(map(is_gone, left))
    while not all(map(is_gone, left)):
        await asyncio.sleep(0.02)


async def test_a_worker_that_closes_its_socket_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        with pytest.raises(WorkerDied, match="closed its connection"):
            await kit.ask("close_socket")
        await kit.until(lambda: kit.states() == ["READY"])


async def test_without_pidfd_deaths_are_noticed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pidfd(pid: int, flags: int = 0) -> int:
        raise OSError("not here")

    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    async with running(tmp_path) as kit:
        with pytest.raises(WorkerDied, match="exit code 3"):
            await kit.ask("exit 3")
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("hello") == "hello"


async def test_the_log_has_torchserves_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path) as kit:
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
        await kit.until(lambda: kit.states() == ["READY"])
    for line in (
        "9000 Worker disconnected. WORKER_MODEL_LOADED",
        "Worker W-9000-m_1.0 died: exit code 3",
        "Auto recovery start timestamp: ",
        "Retry worker: 9000 in 1 seconds.",
        "Auto recovery succeeded, reset recoveryStartTS",
    ):
        assert line in caplog.text
    record = next(record for record in caplog.records if "Retry worker" in record.message)
    assert record.__dict__["thread_label"] == "W-9000-m_1.0"


async def test_while_a_worker_is_only_restarted_requests_wait_for_it(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
        assert await kit.ask("patience") == "patience"
        assert all(failure is None for _, failure in kit.scheduler.pool_statuses)
