"""The template process: when there is one, what it refuses, and that losing it harms nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from pool_kit import Kit, answer, children, is_gone, open_files, running
from template_kit import fake_torch, only_forked  # noqa: F401 - fixtures

from stoker.errors import WorkerDied
from stoker.pool import forking as server_side
from stoker.pool.forking import Template, templates

USES_TORCH = "shared_model"


def the_template() -> Template:
    (template,) = templates._templates.values()
    return template


async def parents(kit: Kit) -> set[int]:
    return {int(await kit.ask("ppid")) for _ in range(4)}


async def scale(kit: Kit, count: int) -> None:
    kit.pool.scale(count)
    await asyncio.wait_for(kit.pool.wait_settled(), 60)


async def gone(pid: int) -> None:
    while not is_gone(pid):
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("fake_torch")
async def test_further_workers_of_a_model_that_imports_torch_are_forked(tmp_path: Path) -> None:
    files, processes = open_files(), children()
    async with running(tmp_path, USES_TORCH) as kit:
        assert await parents(kit) == {os.getpid()}
        await scale(kit, 2)
        assert kit.states() == ["READY", "READY"]
        assert await parents(kit) == {os.getpid(), the_template().pid}
        assert [status.memory_bytes > 1 << 20 for status in kit.pool.statuses()] == [True, True]
    assert children() <= processes
    assert open_files() <= files


async def test_a_model_without_torch_has_no_template(tmp_path: Path) -> None:
    async with running(tmp_path, workers=2) as kit:
        assert not templates._templates
        assert await parents(kit) == {os.getpid()}


@pytest.mark.usefixtures("fake_torch")
async def test_templates_can_be_switched_off(tmp_path: Path) -> None:
    async with running(tmp_path, USES_TORCH, workers=2, options={"template": False}) as kit:
        assert not templates._templates
        assert await parents(kit) == {os.getpid()}


@pytest.mark.usefixtures("fake_torch")
async def test_a_killed_template_harms_no_worker_and_another_one_follows(tmp_path: Path) -> None:
    async with running(tmp_path, USES_TORCH) as kit:
        await scale(kit, 2)
        first = the_template().pid
        workers = kit.pids()
        os.kill(first, signal.SIGKILL)
        await gone(first)
        assert kit.states() == ["READY", "READY"]
        assert [await kit.ask(f"echo {i}") for i in range(4)] == [f"echo {i}" for i in range(4)]
        assert kit.pids() == workers
        await scale(kit, 3)  # spawned
        await scale(kit, 4)  # forked from the next template
        assert kit.states() == ["READY"] * 4
        assert the_template().pid != first


@pytest.mark.usefixtures("only_forked")
async def test_an_orphan_of_a_template_that_dies_is_replaced_and_its_group_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        template = the_template().pid
        os.kill(template, signal.SIGKILL)
        await gone(template)
        left = [int(pid) for pid in (await kit.ask("spawn")).split()]
        with pytest.raises(WorkerDied, match="for an unknown reason"):
            await kit.ask("exit 3")
        for pid in left:
            await gone(pid)
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("hello") == "hello"


@pytest.mark.usefixtures("only_forked")
async def test_an_orphan_of_a_template_answers_its_batch_when_it_is_scaled_down(tmp_path: Path) -> None:
    async with running(tmp_path) as kit:
        template = the_template().pid
        os.kill(template, signal.SIGKILL)
        await gone(template)
        job = kit.submit("sleep 0.3")
        while not kit.scheduler.links[0].started():
            await asyncio.sleep(0.02)
        kit.pool.scale(0)
        assert await answer(job) == "slept"
        await kit.pool.wait_settled()


@pytest.mark.usefixtures("only_forked")
async def test_a_template_that_hangs_is_ended_and_workers_are_spawned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_side, "FORK_TIMEOUT_S", 0.3)
    async with running(tmp_path, workers=0) as kit:
        template = the_template().pid
        os.kill(template, signal.SIGSTOP)
        await scale(kit, 1)
        assert await parents(kit) == {os.getpid()}
        await gone(template)


@pytest.mark.usefixtures("only_forked")
async def test_a_worker_of_a_hanging_template_that_dies_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_side, "REAP_TIMEOUT_S", 0.3)
    async with running(tmp_path) as kit:
        template = the_template().pid
        os.kill(template, signal.SIGSTOP)
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
        await kit.until(lambda: kit.states() == ["READY"])
        await gone(template)


@pytest.mark.usefixtures("only_forked")
async def test_a_worker_that_is_not_waited_for_any_more_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, workers=0) as kit:
        before = children()
        for _ in range(5):
            kit.pool.scale(2)
            await asyncio.sleep(0)
            kit.pool.scale(0)
            await asyncio.wait_for(kit.pool.wait_settled(), 60)
        while children() != before:
            await asyncio.sleep(0.02)
        assert kit.pool.statuses() == []
        assert kit.scheduler.links == []


@pytest.mark.usefixtures("only_forked")
async def test_a_module_of_the_model_with_the_name_of_an_imported_one_is_the_one_that_it_gets(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "torch.py").write_text("set_num_threads = print\nname = 'its own'\n")
    (tmp_path / "model" / "own.py").write_text(
        "import torch\n\ndef handle(data, _):\n    return data and [torch.name]\n"
    )
    async with running(tmp_path, "own") as kit:
        assert await kit.ask("which") == "its own"


@pytest.mark.usefixtures("fake_torch")
async def test_a_template_that_cannot_be_prepared_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('no such thing')")
    monkeypatch.setenv("PYTHONPATH", f"{broken}{os.pathsep}{os.environ['PYTHONPATH']}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "odd.py").write_text(
        "import os, sys\nsys.modules['torch'] = sys\ndef handle(data, _):\n    return data and [str(os.getppid())]\n"
    )
    async with running(tmp_path, "odd") as kit:
        await scale(kit, 2)
        await scale(kit, 3)
        assert await parents(kit) == {os.getpid()}
        assert caplog.text.count("No template process for workers: ImportError: no such thing") == 1


@pytest.mark.usefixtures("fake_torch")
async def test_a_template_with_threads_forks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threaded = tmp_path / "path"
    threaded.mkdir()
    (threaded / "torch.py").write_text(
        "import os, threading, time\n"
        "if '1' == os.environ.get('OMP_NUM_THREADS'):\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "def get_num_threads(): return 1\n"
        "def set_num_threads(count): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{threaded}{os.pathsep}{os.environ['PYTHONPATH']}")
    async with running(tmp_path, USES_TORCH) as kit:
        await scale(kit, 2)
        assert await parents(kit) == {os.getpid()}
