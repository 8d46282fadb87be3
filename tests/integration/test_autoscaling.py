"""Models whose number of workers follows their load, with real workers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from model_kit import model_archive
from registry_kit import ask, running

from stoker import errors
from stoker.core.job import Input
from stoker.core.ports import RegisterRequest, ScaleRequest
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
    model_archive(folder / "store", "m", source, config=yaml)
    async with running(folder) as registry:
        await registry.register(RegisterRequest(url="m.mar", synchronous=True))
        yield registry


async def test_requests_wake_a_sleeping_model_and_wait_for_it(folder: Path) -> None:
    async with serving(folder, SLEEPS, ASLEEP) as registry:
        (described,) = registry.describe("m", None)
        assert described["workers"] == []

        late = asyncio.ensure_future(ask(registry, "m", "late", deadline=time.monotonic() + 0.001))
        answers = await asyncio.gather(*(ask(registry, "m", f"n{number}") for number in range(5)))

        assert answers == [f"N{number}" for number in range(5)]
        with pytest.raises(errors.DeadlineExceeded):
            await late
        (described,) = registry.describe("m", None)
        assert described["workers"]
        assert described["autoscale"]["workers"] >= 1


async def test_a_request_whose_sleeping_model_cannot_load_is_told_the_cause(folder: Path) -> None:
    async with serving(folder, "raise ValueError('no weights')", ASLEEP) as registry:
        with pytest.raises(errors.WorkersUnavailable):
            await ask(registry, "m", "x")


async def test_a_request_of_a_waking_model_that_is_scaled_to_nothing_fails_at_once(folder: Path) -> None:
    async with serving(folder, SLEEPS, ASLEEP) as registry:
        asked = asyncio.ensure_future(ask(registry, "m", "x"))
        await asyncio.sleep(0)
        await registry.scale(ScaleRequest(model="m", min_workers=0, max_workers=0))
        with pytest.raises(errors.NoWorkers):
            await asked


async def test_load_gets_workers_and_hands_change_the_bounds(folder: Path) -> None:
    async with serving(folder, SLEEPS, BUSY) as registry:
        entry = next(iter(registry._catalog))
        asked = [asyncio.ensure_future(ask(registry, "m", "x")) for _ in range(70)]  # too many for one within 10 s
        assert set(await asyncio.gather(*asked)) == {"X"}
        assert entry.scaling is not None
        assert entry.scaling.changes["up"] >= 1
        assert entry.target > 1

        text = await registry.scale(ScaleRequest(model="m", min_workers=1, max_workers=1, synchronous=True))

        assert text == "Workers scaled to 1 for model: m"
        assert await ask(registry, "m", "y") == "Y"
        (described,) = registry.describe("m", None)
        assert len(described["workers"]) == 1
        assert described["autoscale"]["reason"] == "scaled by hand: between 1 and 1 workers"


SLOW_START = "import time\n\ntime.sleep(1)\n" + SLEEPS


async def test_a_deadline_that_comes_while_the_model_wakes_fails_one_request_and_not_the_next(folder: Path) -> None:
    async with serving(folder, SLOW_START, ASLEEP) as registry:
        with pytest.raises(errors.DeadlineExceeded):
            await ask(registry, "m", "late", deadline=time.monotonic() + 0.3)
        assert await ask(registry, "m", "patient") == "PATIENT"


async def test_a_request_that_its_client_leaves_at_once_wakes_nobody(folder: Path) -> None:
    async with serving(folder, SLEEPS, ASLEEP) as registry:
        registry.submit("m", None, [Input("data", "", b"x")]).cancel()
        await asyncio.sleep(0)
        (described,) = registry.describe("m", None)
        assert described["workers"] == []
        assert described["autoscale"]["workers"] == 0


async def test_a_request_that_woke_a_model_is_answered_before_the_model_is_unregistered(folder: Path) -> None:
    async with serving(folder, SLOW_START, ASLEEP) as registry:
        asked = asyncio.ensure_future(ask(registry, "m", "x"))
        await asyncio.sleep(0.05)
        await registry.unregister("m", None)
        assert await asked == "X"
