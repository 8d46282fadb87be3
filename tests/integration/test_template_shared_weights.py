"""``shareWeights``: initialize() runs once and workers are forked from there, or ordinary ones serve."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest
from pool_kit import Kit, children, open_files, running
from template_kit import fake_torch  # noqa: F401 - a fixture

from stoker.errors import WorkerDied, WorkerOutOfMemory
from stoker.pool import forking
from stoker.pool.out_of_memory import MemoryKills
from stoker.pool.spawning import NEEDS_CPU, WorkerOptions, WorkerSpawner

pytestmark = pytest.mark.usefixtures("fake_torch")


def initializations(kit: Kit) -> int:
    return len((kit.model_dir / "marks").read_text().split())


async def scale(kit: Kit, count: int) -> None:
    kit.pool.scale(count)
    await asyncio.wait_for(kit.pool.wait_settled(), 60)


async def test_the_model_is_initialised_once_for_all_its_workers(tmp_path: Path) -> None:
    files, processes = open_files(), children()
    async with running(tmp_path, "shared_model", workers=2, share_weights=True) as kit:
        await scale(kit, 3)
        assert kit.states() == ["READY"] * 3
        answers = {await kit.ask("initialized_in") for _ in range(6)}
        assert len(answers) == 1
        assert int(answers.pop()) not in kit.pids()
        assert initializations(kit) == 1
        assert await kit.ask("env SET_BY_INITIALIZE") == "yes"
        assert await kit.ask("cwd now") == str(kit.model_dir)
    assert children() <= processes
    assert open_files() <= files


async def test_the_weights_are_counted_once(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=3, share_weights=True) as kit:
        own = [psutil.Process(pid).memory_full_info().uss for pid in kit.pids()]
    assert max(own) < 32 << 20  # of more than 64 MiB each


async def test_a_worker_dies_alone_and_its_successor_needs_no_initialization(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=2, share_weights=True) as kit:
        with pytest.raises(WorkerDied, match="exit code 3"):
            await kit.ask("exit 3")
        await kit.until(lambda: kit.states() == ["READY", "READY"])
        assert initializations(kit) == 1


async def test_a_failure_of_initialize_is_an_ordinary_failure_and_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=0, share_weights=True) as kit:
        (kit.model_dir / "broken").touch()
        await scale(kit, 2)
        assert kit.states() == ["BACKOFF", "BACKOFF"]
        assert kit.pool.statuses()[0].failure == "ValueError: the weights are for another model"
        (kit.model_dir / "broken").unlink()
        await kit.until(lambda: kit.states() == ["READY", "READY"])
        assert await kit.ask("hello") == "hello"


async def test_an_initialize_that_is_cancelled_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=0, share_weights=True) as kit:
        (kit.model_dir / "cancelled").touch()
        await scale(kit, 1)
        assert kit.states() == ["BACKOFF"]
        assert kit.pool.statuses()[0].failure == "CancelledError: the download was cancelled"


async def test_a_model_that_starts_threads_is_served_by_ordinary_workers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, "shared_model", workers=0, share_weights=True) as kit:
        (kit.model_dir / "threads").touch()
        await scale(kit, 2)
        assert kit.states() == ["READY", "READY"]
        assert {int(await kit.ask("initialized_in")) for _ in range(6)} <= set(kit.pids())
    assert "served without shared weights, by ordinary workers: after initialize(), it has 2 threads" in caplog.text


async def test_after_the_death_of_the_template_another_one_initialises_the_model(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=1, share_weights=True) as kit:
        template = int(await kit.ask("initialized_in"))
        os.kill(template, signal.SIGKILL)
        await scale(kit, 2)
        assert await kit.ask("hello") == "hello"
        assert initializations(kit) == 2
        assert len({await kit.ask("initialized_in") for _ in range(6)}) == 2


async def test_threads_are_the_workers_share_of_the_cores_unless_the_handler_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    async with running(tmp_path, "shared_model", share_weights=True) as kit:
        assert await kit.ask("torch_threads") == "3"
        assert await kit.ask("env OMP_NUM_THREADS") == "3"
    (tmp_path / "model" / "chosen").touch()
    async with running(tmp_path, "shared_model", share_weights=True) as kit:
        assert await kit.ask("torch_threads") == "1"


async def test_a_model_that_does_not_load_in_time_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, "slow_to_load", startup_timeout_s=0.3, share_weights=True) as kit:
        assert kit.pool.statuses()[0].failure == "the model did not load within 0.3 s (startupTimeout)"


async def test_a_pool_that_closes_while_the_model_loads_ends_at_once(tmp_path: Path) -> None:
    processes = children()
    async with running(tmp_path, "slow_to_load", workers=0, share_weights=True) as kit:
        kit.pool.scale(2)
        await asyncio.sleep(0.1)
        await asyncio.wait_for(kit.pool.close(600), 60)
    assert children() <= processes


async def test_a_template_that_is_killed_for_memory_says_so_to_all_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("model", "proc"):
        (tmp_path / folder).mkdir()
    counter = tmp_path / "proc" / "vmstat"
    counter.write_text("oom_kill 4\n")
    as_the_kernel_does = f"open({str(counter)!r}, 'w').write('oom_kill 5')"
    (tmp_path / "model" / "dies.py").write_text(f"import os\n{as_the_kernel_does}\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setattr(forking, "memory_kills", MemoryKills(tmp_path))
    async with running(tmp_path, "dies", workers=2, share_weights=True) as kit:
        assert [type(status.error) for status in kit.pool.statuses()] == [WorkerOutOfMemory] * 2


async def test_a_worker_with_a_gpu_is_refused_in_a_clear_sentence(tmp_path: Path) -> None:
    async with running(tmp_path, "shared_model", workers=0, share_weights=True) as kit:
        spawner = WorkerSpawner(kit.pool._spec, WorkerOptions())
        with pytest.raises(WorkerDied) as raised:
            await spawner.start("W-9000-m_1.0", gpu_id=0, workers=1)
        assert raised.value.cause == NEEDS_CPU
