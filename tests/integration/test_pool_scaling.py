"""Scaling, draining and closing with real worker processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from pool_kit import answer, children, is_gone, open_files, running

from stoker.core.ports import WorkerLink
from stoker.errors import NoWorkers, ServingError, WorkerDied


async def test_scaling_keeps_the_lowest_ids_and_uses_freed_ones_again(tmp_path: Path) -> None:
    async with running(tmp_path, workers=3) as kit:
        kit.pool.scale(1)
        await kit.pool.wait_settled()
        assert [status.id for status in kit.pool.statuses()] == [9000]
        kit.pool.scale(2)
        await kit.pool.wait_settled()
        assert [(status.id, status.state) for status in kit.pool.statuses()] == [(9000, "READY"), (9001, "READY")]


async def test_scaling_down_lets_the_running_batch_end(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        job = kit.submit("sleep 0.5")
        while not kit.scheduler.links[0].started():
            await asyncio.sleep(0.02)
        kit.pool.scale(0)
        assert kit.states() == ["DRAINING"]
        assert kit.scheduler.pool_statuses[-1] == (0, None)
        with pytest.raises(NoWorkers):
            kit.submit("too late")
        assert await answer(job) == "slept"
        await kit.pool.wait_settled()
        assert kit.pool.statuses() == []


async def test_scaling_down_takes_idle_workers_before_those_in_use(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as kit:
        jobs = [kit.submit("sleep 0.1"), kit.submit("sleep 0.7")]
        assert await answer(jobs[0]) == "slept"
        idle, in_use = sorted(kit.scheduler.links, key=lambda link: not kit.scheduler.worker_idle(link))
        kit.pool.scale(1)
        assert kit.scheduler.draining == [idle.id]
        assert not kit.scheduler.worker_idle(in_use)
        assert await answer(jobs[1]) == "slept"


async def test_workers_whose_process_is_not_there_yet_are_the_first_to_go(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        kit.pool.scale(3)
        await asyncio.sleep(0)
        kit.pool.scale(1)
        await kit.pool.wait_settled()
        assert [(status.id, status.state) for status in kit.pool.statuses()] == [(9000, "READY")]


async def test_a_worker_that_is_scaled_down_gets_no_new_work(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as kit:
        stays = next(status.pid for status in kit.pool.statuses() if status.id == 9000)
        busy = [kit.submit("sleep 0.5") for _ in range(2)]
        while not all(link.started() for link in kit.scheduler.links):
            await asyncio.sleep(0.02)
        kit.pool.scale(1)
        assert kit.states() == ["READY", "DRAINING"]
        assert kit.scheduler.draining == [9001]
        waiting = [kit.submit("pid") for _ in range(4)]
        assert [await answer(job) for job in waiting] == [str(stays)] * 4
        assert [await answer(job) for job in busy] == ["slept"] * 2


async def test_closing_kills_what_does_not_end_within_its_grace(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        (pid,) = kit.pids()
        job = kit.submit("sleep 600")
        while not kit.scheduler.links[0].started():
            await asyncio.sleep(0.02)
        await kit.pool.close(0.2)
        with pytest.raises(WorkerDied, match="stopped by the server"):
            await answer(job)
        assert is_gone(pid)


async def test_a_second_close_shortens_the_grace_of_the_first(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        job = kit.submit("sleep 600")
        while not kit.scheduler.links[0].started():
            await asyncio.sleep(0.02)
        patient = asyncio.ensure_future(kit.pool.close(600))
        await asyncio.sleep(0)
        await asyncio.wait_for(kit.pool.close(0), 60)
        await asyncio.wait_for(patient, 60)
        with pytest.raises(WorkerDied):
            await answer(job)


async def test_a_cancelled_close_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        (pid,) = kit.pids()
        closing = asyncio.ensure_future(kit.pool.close(5))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait({closing})
        await kit.pool.close(5)
        assert is_gone(pid)


async def test_workers_that_still_load_are_ended_at_once(tmp_path: Path) -> None:
    files, processes = open_files(), children()
    async with running(tmp_path, "slow_to_load", workers=0) as kit:
        kit.pool.scale(2)
        await kit.until(lambda: kit.states() == ["LOADING", "LOADING"])
        await kit.pool.close(600)
    assert children() <= processes
    assert open_files() <= files


async def test_scaling_in_every_phase_ends_with_the_wanted_number(tmp_path: Path) -> None:
    async with running(tmp_path, workers=0) as kit:
        for count in (2, 0, 1, 3, 1, 0, 2):
            kit.pool.scale(count)
            await asyncio.sleep(0.03)
        await asyncio.wait_for(kit.pool.wait_settled(), 60)
        assert kit.states() == ["READY", "READY"]
        assert await kit.ask("hello") == "hello"


async def test_scale_after_close_starts_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        await kit.pool.close(0)
        kit.pool.scale(2)
        assert kit.pool.statuses() == []


async def test_a_worker_runs_in_its_model_folder_without_standard_input_and_with_its_share_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HIDE_ME", "x")
    monkeypatch.setenv("STOKER_MANAGEMENT_TOKEN", "secret")
    async with running(tmp_path, workers=2, options={"blacklist_env_vars": "HIDE_.*"}) as kit:
        assert await kit.ask("cwd now") == str(kit.model_dir)
        assert await kit.ask("stdin now") == "''"
        assert await kit.ask("env HIDE_ME") == "<unset>"
        assert await kit.ask("env STOKER_MANAGEMENT_TOKEN") == "<unset>"
        assert int(await kit.ask("env OMP_NUM_THREADS")) >= 1


def test_all_this_works_on_uvloop(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, workers=2) as kit:
            with pytest.raises(WorkerDied, match="exit code 3"):
                await kit.ask("exit 3")
            await kit.until(lambda: kit.states() == ["READY", "READY"])
            kit.pool.scale(1)
            await kit.pool.wait_settled()
            assert await kit.ask("hello") == "hello"

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(story())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def test_a_defect_of_a_listener_or_of_the_scheduler_does_not_end_the_supervision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as kit:
        told = kit.scheduler.worker_lost

        def defect(worker: WorkerLink, error: ServingError) -> None:
            told(worker, error)
            raise RuntimeError("a defect")

        monkeypatch.setattr(kit.scheduler, "worker_lost", defect)
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("hello") == "hello"
        monkeypatch.undo()
    assert "a defect" in caplog.text
