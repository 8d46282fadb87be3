"""When the models are written down, and what is written."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from registry_fakes import World
from waiting import until

from stoker import errors
from stoker.config.model_snapshot import ModelSnapshot, SnapshotModel
from stoker.core.ports import RegisterRequest, ScaleRequest
from stoker.snapshots import keeper as keeping


class Notebook:
    """A writer that keeps what it is given. ``failure`` is raised; ``gate`` holds the thread."""

    def __init__(self) -> None:
        self.written: list[tuple[str, ModelSnapshot]] = []
        self.failure: OSError | None = None
        self.gate: threading.Event | None = None

    def write(self, kind: str, snapshot: ModelSnapshot) -> Path:
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        self.written.append((kind, snapshot))
        return Path(f"{len(self.written)}-{kind}.cfg")

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.written]

    @property
    def names(self) -> dict[str, bool]:
        """Name/version of each model in the newest, and whether it is the default."""
        return {f"{model.name}/{model.version}": model.default for model in self.written[-1][1].models}


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
async def make(notebook: Notebook) -> AsyncIterator[Callable[..., World]]:
    worlds: list[World] = []

    def made(**settings: object) -> World:
        worlds.append(World(snapshots=notebook, **settings))
        return worlds[-1]

    yield made
    for world in worlds:
        await world.registry.close()


async def register(world: World, url: str, workers: int = 1) -> None:
    await world.registry.register(RegisterRequest(url=url, initial_workers=workers, synchronous=True))


def saved(name: str, version: str = "1.0", *, default: bool = True, **more: object) -> SnapshotModel:
    return SnapshotModel(name=name, version=version, default=default, mar_name=f"{name}@{version}", **more)  # type: ignore[arg-type]


def of(*models: SnapshotModel) -> ModelSnapshot:
    return ModelSnapshot(models)


# ------------------------------------------------------------------------------------------- when, and what


async def test_models_are_written_after_the_start_each_change_and_at_the_end(
    make: Callable[..., World], notebook: Notebook
) -> None:
    world = make(load_models=("a@1.0",), default_workers_per_model=1)
    await world.registry.load_at_startup()
    assert notebook.kinds == ["startup"], "it is on the disk before the server says that it is up"
    assert notebook.names == {"a/1.0": True}

    for operation, expected in (
        (register(world, "a@2.0", 2), {"a/1.0": True, "a/2.0": False}),
        (world.registry.set_default("a", "2.0"), {"a/1.0": False, "a/2.0": True}),
        (world.registry.unregister("a", "1.0"), {"a/2.0": True}),
    ):
        await operation
        await until(lambda expected=expected: notebook.names == expected)
    await world.registry.scale(ScaleRequest(model="a", min_workers=3, max_workers=5))
    await until(lambda: notebook.written[-1][1].models[0].min_workers == 3)
    assert notebook.written[-1][1].models[0].max_workers == 5
    assert set(notebook.kinds[1:]) == {"snapshot"}

    await world.registry.close()
    assert notebook.kinds[-1] == "shutdown" and notebook.names == {"a/2.0": True}
    await world.registry.close()
    assert notebook.kinds.count("shutdown") == 1


async def test_a_registration_that_fails_or_is_not_done_is_not_written(
    make: Callable[..., World], notebook: Notebook
) -> None:
    world = make()
    await world.registry.load_at_startup()
    await register(world, "ok")
    await until(lambda: bool(notebook.written))
    world.gate = asyncio.Event()
    pending = asyncio.ensure_future(register(world, "pending"))
    await until(lambda: "pending/1.0" in world.pools)
    await world.registry.scale(ScaleRequest(model="ok", min_workers=2))
    await until(lambda: [model.min_workers for model in notebook.written[-1][1].models] == [2])
    assert notebook.names == {"ok/1.0": True}
    world.pools["pending/1.0"].error = errors.WorkerDied("broken")
    world.gate.set()
    with pytest.raises(errors.WorkersFailedToStart):
        await pending


async def test_a_storm_of_changes_shares_files_and_the_last_state_is_written(
    make: Callable[..., World], notebook: Notebook
) -> None:
    world = make()
    await world.registry.load_at_startup()
    notebook.gate = threading.Event()
    for number in range(50):
        await register(world, f"m{number}")
    notebook.gate.set()
    await until(lambda: bool(notebook.written) and len(notebook.names) == 50)
    assert len(notebook.written) <= 3


async def test_a_disk_that_hangs_costs_a_start_one_warning(
    make: Callable[..., World],
    notebook: Notebook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(keeping, "_WRITE_TIMEOUT_S", 0.01)
    notebook.gate = threading.Event()
    world = make(load_models=("a",))
    await world.registry.load_at_startup()
    assert "The snapshot of this start could not be written in time" in caplog.text
    notebook.gate.set()
    await until(lambda: notebook.kinds == ["startup"])


async def test_a_disk_that_takes_nothing_costs_one_warning_and_no_operation(
    make: Callable[..., World], notebook: Notebook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    notebook.failure = OSError(28, "No space left on device")
    world = make()
    await world.registry.load_at_startup()
    for number in range(3):
        await register(world, f"m{number}")
        await until(lambda: not world.registry._snapshots._wanted)
    await until(lambda: "cannot be written" in caplog.text)
    notebook.failure = None
    await register(world, "last")
    await until(lambda: "written again" in caplog.text)
    warnings = [record for record in caplog.records if "Snapshots cannot be written" in record.message]
    assert len(warnings) == 1 and "No space left on device" in warnings[0].message


async def test_a_start_that_loaded_nothing_says_that_there_is_nothing_to_resume(
    make: Callable[..., World], notebook: Notebook
) -> None:
    for models in ((), ("missing",), ("a", "missing")):
        world = make(load_models=models)
        await world.registry.load_at_startup()
        await world.registry.close()
        assert notebook.kinds[-1] == "shutdown" and not notebook.written[-1][1].resume
    world = make()
    await world.registry.load_at_startup()
    await register(world, "a")
    await world.registry.unregister("a", None)
    await world.registry.close()
    assert notebook.written[-1][1] == ModelSnapshot((), resume=True), "somebody wanted no model"


async def test_a_start_that_was_cut_short_leaves_the_older_snapshots_the_newest(
    make: Callable[..., World], notebook: Notebook
) -> None:
    world = make(load_models=("a",))
    world.store.gate = asyncio.Event()
    loading = asyncio.ensure_future(world.registry.load_at_startup())
    await asyncio.sleep(0)
    loading.cancel()
    await asyncio.wait({loading})
    await world.registry.close()
    assert notebook.written == []


# ------------------------------------------------------------------------------------------------- resuming


async def test_models_come_back_as_they_were_served(make: Callable[..., World], notebook: Notebook) -> None:
    one = saved(
        "a", "1.0", default=False, min_workers=2, max_workers=4, batch_size=8, max_batch_delay_s=0.02,
        response_timeout_s=7, startup_timeout_s=9, handler="other.py",
    )  # fmt: skip
    two = saved("a", "2.0", min_workers=0, max_workers=0)
    world = make(model_snapshot=of(one, two), load_models=("ignored",))
    await world.registry.load_at_startup()
    await until(lambda: notebook.kinds == ["startup"])
    assert set(notebook.written[-1][1].models) == {one, two}
    (first,) = world.registry.describe("a", "1.0")
    assert (first["minWorkers"], first["maxWorkers"], len(first["workers"])) == (2, 4, 2)
    (default,) = world.registry.describe("a", None)
    assert default["modelVersion"] == "2.0"


async def test_what_cannot_be_resumed_is_skipped_loudly_and_stays_in_the_snapshot(
    make: Callable[..., World], notebook: Notebook, caplog: pytest.LogCaptureFixture
) -> None:
    gone, here = saved("missing", "1.0"), saved("a", "1.0", default=False)
    world = make(model_snapshot=of(gone, here, saved("http://x", default=False)))
    await world.registry.load_at_startup()
    await until(lambda: notebook.kinds == ["startup"])
    assert "Failed to load model: missing/1.0 (missing@1.0)" in caplog.text
    assert gone in notebook.written[-1][1].models
    assert [model["modelName"] for model in world.registry.list_models(10, 0)["models"]] == ["a"]

    with pytest.raises(errors.ModelNotFound):
        await world.registry.unregister("missing", None)
    await until(lambda: "missing/1.0" not in notebook.names)


async def test_an_archive_whose_version_changed_is_served_under_its_own(
    make: Callable[..., World], notebook: Notebook, caplog: pytest.LogCaptureFixture
) -> None:
    old = SnapshotModel(name="a", version="1.0", default=True, mar_name="a@9.0")
    world = make(model_snapshot=of(old))
    await world.registry.load_at_startup()
    await until(lambda: notebook.kinds == ["startup"])
    assert notebook.names == {"a/9.0": True}
    assert "was resumed as version 9.0" in caplog.text
