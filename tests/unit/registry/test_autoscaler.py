"""Which models are scaled by their load, and what an operator, a request and the machine's memory change about it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from registry_fakes import World, turns

from stoker.config.model_config import ModelConfig
from stoker.core.ports import Health, Load, RegisterRequest, ScaleRequest
from stoker.registry.autoscaler import Autoscaler
from stoker.registry.entry import ModelEntry, NodeRole
from stoker.registry.preparing import Preparer
from stoker.scheduling.autoscaling import SLEEP_AFTER_S
from stoker.workflows.workflow import EntryModel

NEVER_SHORT = 100.0


class Scaled:
    """A registry with the model ``a``, of ``yaml``, and time that passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, yaml: dict[str, Any], **settings: Any) -> None:
        async def config(preparer: Preparer, unpacked: object) -> ModelConfig:
            return ModelConfig.of(yaml)

        monkeypatch.setattr(Preparer, "_model_config", config)
        self.world = World(**settings)
        self.registry = self.world.registry
        self.autoscaler: Autoscaler = self.registry._operations._autoscaler
        self.available = NEVER_SHORT
        self.autoscaler._available = lambda: self.available

    async def register(self, name: str = "a") -> str:
        return await self.registry.register(RegisterRequest(url=name, synchronous=True))

    @property
    def entry(self) -> ModelEntry:
        return next(iter(self.registry._catalog))

    @property
    def workers(self) -> int:
        return self.world.pools["a/1.0"].count

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            self.world.clock.time += 0.5
            if self.autoscaler._timer is not None:
                self.autoscaler._timer.cancel()
                self.autoscaler._tick()

    def load(self, **load: Any) -> None:
        self.world.schedulers["a/1.0"].load_now = Load(**load)

    @property
    def described(self) -> dict[str, Any]:
        (entry,) = self.registry.describe("a", None)
        return entry


@pytest.mark.parametrize(
    ("yaml", "setting", "scaled"),
    [
        ({}, "off", False),
        ({"autoscale": True}, "off", True),
        ({}, "on", True),
        ({"autoscale": False}, "on", False),
    ],
)
async def test_who_is_scaled(monkeypatch: pytest.MonkeyPatch, yaml: dict[str, Any], setting: str, scaled: bool) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 4, **yaml}, autoscaling=setting)
    await it.register()
    assert (it.entry.scaling is not None) == scaled
    assert it.autoscaler.running == scaled  # there is no timer for others
    assert (list(it.described)[-1] == "autoscale") == scaled
    await it.registry.close()
    assert not it.autoscaler.running


async def test_what_waits_gets_workers_and_the_reason_is_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 4, "autoscale": True, "autoscaleTargetWaitMs": 50})
    await it.register()
    it.load(waiting=3, oldest_wait_s=1.0, running=1, busy=1)
    with caplog.at_level(logging.INFO):
        it.pass_time(1)
    assert it.workers == 4
    assert "a/1.0 is scaled from 1 to 2 workers: 3 requests wait" in caplog.text
    told = it.described["autoscale"]
    assert (told["targetWaitMs"], told["workers"]) == (50, 4)
    assert told["reason"] == "3 requests wait and none has been answered yet"
    (figures,) = it.registry.figures()
    assert figures.wanted == 4
    assert figures.changes == {"up": 2, "down": 0, "sleep": 0, "wake": 0}


async def test_a_model_of_no_fewest_workers_sleeps_until_a_request_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 0, "maxWorkers": 2, "autoscale": True})
    text = await it.register()
    assert text.endswith("0 initial workers. The first request starts one.")
    assert it.workers == 0
    assert not it.autoscaler.running
    assert it.registry.health("a") is Health.SERVING  # else a load balancer would never send that request
    assert it.registry.readiness().ready
    wake = it.world.schedulers["a/1.0"].wake
    assert wake is not None
    wake()
    wake()
    assert it.workers == 1
    assert it.autoscaler.running
    assert it.described["autoscale"]["reason"] == "a request woke the model"
    it.pass_time(SLEEP_AFTER_S + 1)
    assert it.workers == 0
    assert not it.autoscaler.running


@pytest.mark.parametrize(("autoscale", "fewest"), [(True, 0), (False, 1)])
async def test_without_autoscaling_no_fewest_workers_means_one(
    monkeypatch: pytest.MonkeyPatch, autoscale: bool, fewest: int
) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 0, "maxWorkers": 2, "autoscale": autoscale})
    await it.register()
    assert it.described["minWorkers"] == it.workers == fewest
    await it.registry.close()


async def test_a_model_with_job_tickets_never_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 2, "autoscale": True, "useJobTicket": True})
    await it.register()
    await it.registry.scale(ScaleRequest(model="a", min_workers=0, max_workers=2))
    it.pass_time(10 * SLEEP_AFTER_S)
    assert it.workers == 1
    assert it.world.schedulers["a/1.0"].wake is None
    await it.registry.close()


async def test_scaled_by_hand_it_goes_on_between_the_new_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 2, "autoscale": True})
    await it.register()
    await it.registry.scale(ScaleRequest(model="a", min_workers=3, max_workers=5, synchronous=True))
    assert it.workers == 3
    assert it.described["autoscale"]["reason"] == "scaled by hand: between 3 and 5 workers"
    it.pass_time(300)
    assert it.workers == 3
    it.load(waiting=9, oldest_wait_s=9.0, running=3, busy=3)
    it.pass_time(30)
    assert it.workers == 5
    await it.registry.scale(ScaleRequest(model="a", min_workers=0, max_workers=0))
    assert it.workers == 0
    assert it.world.schedulers["a/1.0"].wake is None  # the operator wants none
    assert it.registry.health("a") is Health.NOT_SERVING


async def test_an_idle_model_is_unloaded_only_when_memory_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Scaled(
        monkeypatch,
        {"minWorkers": 2, "maxWorkers": 4, "autoscale": True, "unloadAfterMs": 20_000},
        memory_low_percent=15.0,
    )
    await it.register()
    it.pass_time(100)
    assert it.workers == 2
    it.available = 14.0
    it.load(running=1, busy=1)
    it.pass_time(19)
    assert it.workers == 2
    it.load()
    it.pass_time(22)
    assert it.workers == 0
    assert "only 14 % of the memory is available" in it.described["autoscale"]["reason"]
    assert it.registry.healthy()
    assert it.registry.readiness().ready
    wake = it.world.schedulers["a/1.0"].wake
    assert wake is not None
    wake()
    assert it.workers == 2
    await it.registry.close()


async def test_workers_that_open_sequences_need_are_kept_however_idle_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(
        monkeypatch,
        {"minWorkers": 0, "maxWorkers": 4, "autoscale": True, "unloadAfterMs": 1000},
        memory_low_percent=15.0,
    )
    await it.register()
    wake = it.world.schedulers["a/1.0"].wake
    assert wake is not None
    wake()
    it.load(held=1)
    it.available = 1.0
    it.pass_time(2 * SLEEP_AFTER_S)
    assert it.workers == 1
    it.load()
    it.pass_time(1)
    assert it.workers == 0
    await it.registry.close()


@pytest.mark.parametrize("busy_last", ["a", "b"])
async def test_of_two_idle_models_the_one_idle_for_longer_is_unloaded_first(
    monkeypatch: pytest.MonkeyPatch, busy_last: str
) -> None:
    """What it frees may be enough for the other one to stay."""
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 4, "autoscale": True, "unloadAfterMs": 20_000})
    await it.register("a")
    await it.register("b")
    it.pass_time(5)
    it.world.schedulers[f"{busy_last}/1.0"].load_now = Load(running=1, busy=1)
    it.pass_time(1)
    it.world.schedulers[f"{busy_last}/1.0"].load_now = Load()
    it.pass_time(30)
    it.available = 1.0
    it.pass_time(0.5)
    counts = {key: pool.count for key, pool in it.world.pools.items()}
    assert counts == {"a/1.0": 1, "b/1.0": 1, **{"b/1.0" if busy_last == "a" else "a/1.0": 0}}
    it.pass_time(10)
    assert {pool.count for pool in it.world.pools.values()} == {0}
    await it.registry.close()


async def test_an_unregistered_model_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 2, "autoscale": True})
    await it.register()
    await it.registry.unregister("a", None)
    assert not it.autoscaler.running
    assert it.world.schedulers["a/1.0"].wake is None


async def test_the_timer_goes_on_after_a_defect(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = Scaled(monkeypatch, {"minWorkers": 1, "maxWorkers": 2, "autoscale": True})
    await it.register()
    monkeypatch.setattr(it.world.pools["a/1.0"], "states", lambda: 1 / 0)
    it.pass_time(1)
    assert it.autoscaler.running
    assert "could not be scaled" in caplog.text
    await it.registry.close()
    await turns()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_a_node_of_a_workflow_is_scaled_as_any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Scaled(monkeypatch, {"autoscale": True})
    role = NodeRole(workflow="w", min_workers=0, workers=3)
    wanted = RegisterRequest(url="a", initial_workers=3, synchronous=True)
    entry = await it.registry._operations.register_node(wanted, role)
    node = EntryModel(entry)
    assert (it.workers, node.ready) == (3, True)
    it.pass_time(SLEEP_AFTER_S + 5)
    assert (it.workers, node.ready) == (0, True)  # a request will wake it
    wake = it.world.schedulers["a/1.0"].wake
    assert wake is not None
    wake()
    assert it.workers == 1
    await it.registry.close()
