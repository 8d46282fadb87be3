"""Several processes as one worker: two ranks on gloo."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from pool_kit import KEY, Kit, answer, children, is_gone, open_files, running
from processes import arguments_of

from stoker.core.job import Input, Job
from stoker.core.ranks import Ranks
from stoker.errors import DeadlineExceeded, HandlerRaised, WorkerDied

pytest.importorskip("torch")

TP = Ranks("tp", 2)


def two_ranks(tmp_path: Path, ranks: Ranks = TP, **spec: Any) -> Any:
    spec.setdefault("startup_timeout_s", 60.0)
    return running(tmp_path, "ranked", ranks=ranks, **spec)


async def pids(kit: Kit) -> list[int]:
    return [int(pid) for pid in (await kit.ask("pid")).split()]


async def gone(pids: list[int]) -> None:
    while not all(map(is_gone, pids)):
        await asyncio.sleep(0.02)


async def parts(kit: Kit, text: str) -> list[str]:
    job = Job(KEY, [Input("data", "", text.encode())], streaming=True, alone=True)
    kit.scheduler.submit(job)
    found = []
    while (chunk := await asyncio.wait_for(job.reply.next(), 60)) is not None:
        found.append(bytes(chunk.data).decode())
    return found


async def test_ranks_answer_together_fail_together_and_leave_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One long test: two processes that import torch take seconds to start."""
    caplog.set_level(logging.INFO)
    files, processes = open_files(), children()
    async with two_ranks(tmp_path) as kit:
        assert "rank 0 of 2 loaded" in caplog.text and "rank 1 of 2 loaded" in caplog.text
        labels = {getattr(record, "thread_label", "") for record in caplog.records}
        assert "W-9000-m_1.0-rank1-stdout" in labels
        # all ranks see the same batches, in the same order; rank 0 answers
        assert [await kit.ask("sum") for _ in range(3)] == ["12"] * 3
        assert await asyncio.gather(*(kit.ask("sum") for _ in range(20))) == ["12"] * 20
        assert await parts(kit, "stream") == ["10 ", "12 ", "14 ", "16"]
        assert await kit.ask("nothing") == "12", "what other ranks return is not looked at"
        first, second = await pids(kit)
        assert kit.pids() == [first]
        assert await kit.ask("env WORLD_SIZE") == "2" and await kit.ask("env OMP_NUM_THREADS") == "1"
        # a failure on any rank fails the batch, and only that
        with pytest.raises(HandlerRaised, match="Prediction failed"):
            await kit.ask("raise 0")
        with pytest.raises(HandlerRaised, match=r"Prediction failed \(rank 1\)"):
            await kit.ask("raise 1")
        assert await pids(kit) == [first, second]
        # a request that is late is run to its end on all ranks, and its answer dropped
        late = Job(KEY, [Input("data", "", b"cancelled")], deadline=kit.scheduler._now() + 0.05)
        kit.scheduler.submit(late)
        with pytest.raises(DeadlineExceeded):
            await answer(late)
        assert await kit.ask("cancelled") == "12 False"
        # a rank that waits for one that failed ends with the worker
        with pytest.raises(WorkerDied, match=r"rank 1 failed \(Prediction failed\)"):
            await kit.ask("raise-in-collective 1")
        await gone([first, second])
        await kit.until(lambda: kit.states() == ["READY"])
        # the death of a rank is the worker's
        first, second = await pids(kit)
        with pytest.raises(WorkerDied, match=r"rank 1: killed by signal 9 \(SIGKILL\)"):
            await kit.ask("kill 1")
        await gone([first, second])
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("sum") == "12"
        first, second = await pids(kit)
        os.kill(second, 9)  # between two requests
        await gone([first, second])
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("sum") == "12"
    assert children() <= processes
    assert open_files() <= files


async def test_a_rank_that_cannot_load_fails_the_start_and_is_named(tmp_path: Path) -> None:
    async with two_ranks(tmp_path, workers=0) as kit:
        (kit.model_dir / "cannot_load_1").touch()
        kit.pool.scale(1)
        await asyncio.wait_for(kit.pool.wait_settled(), 60)
        (status,) = kit.pool.statuses()
        assert status.failure == "rank 1: ValueError: no weights"
        assert not any("--name" in arguments_of(process) for process in psutil.Process().children()), "an orphan"
        (kit.model_dir / "cannot_load_1").unlink()
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("sum") == "12"


async def test_a_rank_that_hangs_is_found_by_the_response_timeout(tmp_path: Path) -> None:
    async with two_ranks(tmp_path, response_timeout_s=2.0) as kit:
        found = await pids(kit)
        with pytest.raises(Exception, match="responseTimeout"):
            await kit.ask("hang 1")
        await gone(found)


async def test_with_pipelines_only_rank_0_gets_requests(tmp_path: Path) -> None:
    async with two_ranks(tmp_path, Ranks("pp", 2)) as kit:
        assert await kit.ask("env RANK") == "0"
        with pytest.raises(HandlerRaised):
            await kit.ask("raise 0")
        assert await kit.ask("raise 1") == "fine", "rank 1 was not asked"


async def test_two_workers_have_ports_of_their_own(tmp_path: Path) -> None:
    async with two_ranks(tmp_path, workers=2) as kit:
        asked = await asyncio.gather(*(kit.ask("env MASTER_PORT") for _ in range(8)))
        assert len(set(asked)) == 2
        assert len(await pids(kit)) == 2
