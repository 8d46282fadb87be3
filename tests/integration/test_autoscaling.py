"""Models whose number of workers follows their load, with real workers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from workflow_kit import model_archive

from stoker import errors
from stoker.archive.store import ModelStore
from stoker.config.settings import Settings
from stoker.core.clock import MonotonicClock
from stoker.core.job import Input
from stoker.core.ports import RegisterRequest, ScaleRequest
from stoker.pool.devices import Devices
from stoker.registry.registry import Registry

SLEEPS = """
import time

def handle(data, context):
    if data is None:
        return None
    time.sleep(0.2)
    return [bytes(row["data"]).upper() for row in data]
"""
ASLEEP = "autoscale: true\nminWorkers: 0\nmaxWorkers: 2\n"
BUSY = "autoscale: true\nminWorkers: 1\nmaxWorkers: 3\nautoscaleTargetWaitMs: 50\n"


@contextlib.asynccontextmanager
async def serving(folder: Path, source: str, yaml: str) -> AsyncIterator[Registry]:
    """A registry with one model, ``m``."""
    model_archive(folder, "m", source, config=yaml)
    store = ModelStore(folder, temp_dir=folder / "temp")
    (folder / "temp").mkdir()
    registry = Registry(settings=Settings(model_store=folder), store=store, devices=Devices(), clock=MonotonicClock())
    try:
        async with registry:
            await registry.register(RegisterRequest(url="m.mar", synchronous=True))
            yield registry
    finally:
        store.close()


async def ask(registry: Registry, text: str, deadline: float | None = None) -> str:
    chunk = await registry.submit("m", None, [Input("data", "", text.encode())], deadline=deadline).next()
    assert chunk is not None
    return bytes(chunk.data).decode()


async def test_requests_wake_a_sleeping_model_and_wait_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path, SLEEPS, ASLEEP) as registry:
        (described,) = registry.describe("m", None)
        assert described["workers"] == []

        late = asyncio.ensure_future(ask(registry, "late", deadline=time.monotonic() + 0.001))
        answers = await asyncio.gather(*(ask(registry, f"n{number}") for number in range(5)))

        assert answers == [f"N{number}" for number in range(5)]
        with pytest.raises(errors.DeadlineExceeded):
            await late
        (described,) = registry.describe("m", None)
        assert described["workers"]
        assert described["autoscale"]["workers"] >= 1


async def test_a_request_whose_sleeping_model_cannot_load_is_told_the_cause(tmp_path: Path) -> None:
    async with serving(tmp_path, "raise ValueError('no weights')", ASLEEP) as registry:
        with pytest.raises(errors.WorkersUnavailable):
            await ask(registry, "x")


async def test_a_request_of_a_waking_model_that_is_scaled_to_nothing_fails_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, SLEEPS, ASLEEP) as registry:
        asked = asyncio.ensure_future(ask(registry, "x"))
        await asyncio.sleep(0)
        await registry.scale(ScaleRequest(model="m", min_workers=0, max_workers=0))
        with pytest.raises(errors.NoWorkers):
            await asked


async def test_load_gets_workers_and_hands_change_the_bounds(tmp_path: Path) -> None:
    async with serving(tmp_path, SLEEPS, BUSY) as registry:
        entry = next(iter(registry._catalog))
        asked = [asyncio.ensure_future(ask(registry, "x")) for _ in range(40)]
        assert set(await asyncio.gather(*asked)) == {"X"}
        assert entry.scaling is not None
        assert entry.scaling.changes["up"] >= 1
        assert entry.target > 1

        text = await registry.scale(ScaleRequest(model="m", min_workers=1, max_workers=1, synchronous=True))

        assert text == "Workers scaled to 1 for model: m"
        assert await ask(registry, "y") == "Y"
        (described,) = registry.describe("m", None)
        assert len(described["workers"]) == 1
        assert described["autoscale"]["reason"] == "scaled by hand: between 1 and 1 workers"


SLOW_START = "import time\n\ntime.sleep(1)\n" + SLEEPS


async def test_a_deadline_that_comes_while_the_model_wakes_fails_one_request_and_not_the_next(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW_START, ASLEEP) as registry:
        with pytest.raises(errors.DeadlineExceeded):
            await ask(registry, "late", deadline=time.monotonic() + 0.3)
        assert await ask(registry, "patient") == "PATIENT"


async def test_a_request_that_its_client_leaves_at_once_wakes_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, SLEEPS, ASLEEP) as registry:
        registry.submit("m", None, [Input("data", "", b"x")]).cancel()
        await asyncio.sleep(0)
        (described,) = registry.describe("m", None)
        assert described["workers"] == []
        assert described["autoscale"]["workers"] == 0


async def test_a_request_that_woke_a_model_is_answered_before_the_model_is_unregistered(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW_START, ASLEEP) as registry:
        asked = asyncio.ensure_future(ask(registry, "x"))
        await asyncio.sleep(0.05)
        await registry.unregister("m", None)
        assert await asked == "X"
