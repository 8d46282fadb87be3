"""The server's side of placing by Ray: real agents and workers, and a driver of the test's own instead of Ray's."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pool_kit import HANDLERS, KEY

from stoker import __version__
from stoker.archive.limits import UnpackLimits
from stoker.core.model import ModelSpec
from stoker.core.ranks import Ranks
from stoker.core.remote import RayNeeds
from stoker.errors import WorkerDied
from stoker.pool.child_process import spawn
from stoker.pool.ranks import RankGroup
from stoker.pool.remote import driver_process, ray_placer
from stoker.pool.remote.border import Border
from stoker.pool.remote.bundles import Bundles
from stoker.pool.remote.driver_process import Driver, DriverLost
from stoker.pool.remote.placement import Launch
from stoker.pool.remote.ray_placer import NodeOptions, RayPlacer
from stoker.pool.running_process import RunningProcess

DRIVER = Path(__file__).resolve().parents[1] / "support" / "fake_driver.py"
PYTHON = ".".join(map(str, sys.version_info[:3]))


class Kit:
    """``shortages``: what `on_pending` was called with."""

    def __init__(self, folder: Path, placer: RayPlacer, drivers: list[Driver]) -> None:
        self.folder, self.placer, self.drivers = folder, placer, drivers
        self.shortages: list[str] = []
        self.spec = ModelSpec(key=KEY, url="m.mar", model_dir=str(folder), handler="faults.py")

    async def start(self, *, resources: dict[str, float] | None = None, **changes: Any) -> RunningProcess:
        needs = RayNeeds(tuple((resources or {"CPU": 1.0}).items()), True)
        launch = Launch(name="W-1", spec=replace(self.spec, ray=needs, **changes))
        return await self.placer.start(launch, on_pending=self.shortages.append)

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.01)


def start_fake(address: str) -> Driver:
    def command(socket_fd: int, progress_fd: int) -> Sequence[str]:
        return [sys.executable, str(DRIVER), str(socket_fd), address, __version__, PYTHON]

    driver = Driver(spawn(command, cwd="/", env=dict(os.environ)))
    driver.start()
    return driver


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    (tmp_path / "faults.py").write_bytes((HANDLERS / "faults.py").read_bytes())
    drivers: list[Driver] = []

    def start(address: str) -> Driver:
        drivers.append(start_fake(address))
        return drivers[-1]

    with ThreadPoolExecutor(1) as executor:
        placer = RayPlacer(
            "auto",
            node_options=NodeOptions(shares_disk=True),
            check=lambda cluster: None,
            border_of=lambda cluster: Border("127.0.0.1"),
            bundle_of=Bundles(executor=executor, limits=UnpackLimits()).of,
            start=start,
        )
        await placer.open()
        yield Kit(tmp_path, placer, drivers)
        await placer.close()


async def ended(process: RunningProcess) -> int | None:
    process.kill_group()
    code = await process.exited
    process.close()
    return code


async def test_a_worker_runs_on_the_node_that_it_was_given(kit: Kit) -> None:
    process = await kit.start()
    assert process.node == "node-a (127.0.0.1)"
    assert await ended(process) == -9
    assert kit.shortages == []


async def test_a_worker_without_room_says_what_is_missing_and_starts_when_there_is_some(kit: Kit) -> None:
    first = await kit.start(resources={"CPU": 2.0})
    waiting = asyncio.ensure_future(kit.start())
    await kit.until(lambda: kit.shortages)
    assert kit.shortages == ["no node of the Ray cluster has CPU 1 free (of 2, 0 free in all)"]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await ended(first) == -9


async def test_the_ranks_of_a_worker_start_together(kit: Kit) -> None:
    group = await kit.start(ranks=Ranks("pp", 2))
    assert isinstance(group, RankGroup)
    assert [rank.node for rank in group] == ["node-a (127.0.0.1)"] * 2
    assert list(group.devices) == [0, 1]
    assert await ended(group) == -9


async def test_a_node_with_another_stoker_is_refused_by_name(kit: Kit) -> None:
    with pytest.raises(WorkerDied, match=r"node-a \(127.0.0.1\) has stoker 0.0.1, the server .*must be the same"):
        await kit.start(resources={"old": 1.0})


async def test_a_driver_that_dies_fails_what_waits_and_the_next_worker_gets_a_new_one(kit: Kit) -> None:
    waiting = asyncio.ensure_future(kit.start(resources={"CPU": 3.0}))
    await kit.until(lambda: kit.shortages)
    kit.drivers[0].kill()
    with pytest.raises(DriverLost, match=r"its driver ended: killed by signal 9 \(SIGKILL\)"):
        await waiting
    process = await kit.start()
    assert len(kit.drivers) == 2
    assert await ended(process) == -9


def placer_at(address: str) -> RayPlacer:
    return RayPlacer(
        address,
        node_options=NodeOptions(),
        check=lambda cluster: None,
        border_of=lambda cluster: Border("127.0.0.1"),
        bundle_of=lambda model_dir: asyncio.get_running_loop().create_future(),
        start=start_fake,
    )


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("none", "no Ray cluster runs here"),
        (
            "fatal",
            "the Ray cluster cannot be joined: Ray ended the attempt (exit code 134); Ray printed: "
            "the cluster has Python 3.9 [path]",
        ),
        ("silent", "the Ray cluster did not answer within 5 s; Ray printed: the cluster has Python 3.9 [path]"),
    ],
)
async def test_without_a_cluster_nothing_opens_and_the_reason_is_rays_own(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setattr(ray_placer, "CONNECT_S", 5.0 if address == "silent" else 60.0)
    monkeypatch.setattr(driver_process, "CONNECT_S", 5.0)
    monkeypatch.setattr(driver_process, "_CLOSED_GRACE_S", 60.0)
    placer = placer_at(address)
    with pytest.raises(DriverLost) as raised:
        await placer.open()
    assert raised.value.cause == reason
    await placer.close()
