"""The order of things in register, scale and unregister, without archives and processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from registry_fakes import World, turns

from stoker import errors
from stoker.core.ports import Readiness, RegisterRequest, ScaleRequest
from stoker.registry import loading


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for gate in (world.gate, world.close_gate):
        if gate is not None:
            gate.set()
    await world.registry.close()


def names(world: World) -> list[str]:
    return [model["modelName"] for model in world.registry.list_models(100, 0)["models"]]


async def register(world: World, url: str, workers: int | None = 1, *, synchronous: bool = True) -> str:
    return await world.registry.register(RegisterRequest(url=url, initial_workers=workers, synchronous=synchronous))


# ------------------------------------------------------------------------------------------------- register


async def test_register_says_what_torchserve_says(world: World) -> None:
    assert await register(world, "a", 2) == 'Model "a" Version: 1.0 registered with 2 initial workers'
    assert await register(world, "b", 2, synchronous=False) == "Processing worker updates..."
    assert await register(world, "c", None) == (
        'Model "c" Version: 1.0 registered with 0 initial workers. Use scale workers API to add workers for the model.'
    )


async def test_a_download_is_signed_where_the_registration_asks_for_it(world: World) -> None:
    for asked in (True, False):
        await world.registry.register(RegisterRequest(url=f"m@{asked}", s3_sse_kms=asked))
    assert world.store.asked_for_s3 == [True, False]


async def test_a_second_register_of_a_version_is_refused_and_only_its_own_files_go(world: World) -> None:
    await register(world, "a@1.0")

    with pytest.raises(errors.AlreadyRegistered):
        await register(world, "a@1.0")

    assert names(world) == ["a"]
    assert world.store.discarded == [("a@1.0", True)]
    assert not world.pools["a/1.0"].closed


async def test_two_registers_of_one_version_at_once_end_with_one_of_them(world: World) -> None:
    world.store.gate = asyncio.Event()
    both = [asyncio.ensure_future(register(world, "a@1.0")) for _ in range(2)]
    await turns()
    world.store.gate.set()

    results = await asyncio.gather(*both, return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["AlreadyRegistered", "str"]
    assert len(world.store.discarded) == 1


async def test_a_register_that_is_refused_leaves_nothing(world: World) -> None:
    world.store.extra = {"handler": None}

    with pytest.raises(errors.InvalidArchive):
        await register(world, "a")

    assert names(world) == [] and world.store.left == [] and world.pools == {}


async def test_a_synchronous_register_whose_workers_fail_leaves_nothing_and_tells_waiting_jobs(world: World) -> None:
    world.gate = asyncio.Event()
    registering = asyncio.ensure_future(register(world, "a"))
    await turns()
    world.schedulers["a/1.0"].held = True
    reply = world.registry.submit("a", None, [])
    world.pools["a/1.0"].error = errors.WorkerDied("exit code 3")
    world.gate.set()

    with pytest.raises(errors.WorkersFailedToStart) as failure:
        await registering

    assert failure.value.message == "Failed to start workers for model a version: 1.0 Cause: exit code 3"
    assert isinstance(reply.error, errors.ModelUnregistered)
    assert names(world) == [] and world.store.left == [] and world.pools["a/1.0"].closed


async def test_the_error_of_workers_that_do_not_start_is_kept_and_want_of_memory_is_told_from_the_rest(
    world: World,
) -> None:
    for error, kind in (
        (errors.WorkerDied("exit code 3"), errors.WorkersFailedToStart),
        (errors.WorkerOutOfMemory("MemoryError: 3 GB"), errors.WorkersOutOfMemory),
    ):
        world.worker_error = error
        with pytest.raises(errors.WorkersFailedToStart) as failure:
            await register(world, "a")
        assert type(failure.value) is kind
        assert failure.value.__cause__ is error
        assert failure.value.message.endswith(f"Cause: {error.cause}")


async def test_an_asynchronous_register_whose_workers_fail_stays(world: World) -> None:
    world.worker_error = errors.WorkerDied("exit code 3")

    await register(world, "a", synchronous=False)

    assert names(world) == ["a"]
    assert world.registry.describe("a", None)[0]["workers"][0]["failure"] == "exit code 3"


async def test_a_slow_register_holds_up_its_own_name_only(world: World) -> None:
    world.gate = asyncio.Event()
    slow = asyncio.ensure_future(register(world, "a"))
    await turns()
    scale = asyncio.ensure_future(world.registry.scale(ScaleRequest(model="a", min_workers=3)))
    world.gate, gate = None, world.gate
    await register(world, "b")
    await turns()
    assert not slow.done() and not scale.done()

    gate.set()
    await slow
    await scale
    assert world.pools["a/1.0"].count == 3


# ---------------------------------------------------------------------------------------------------- scale


@pytest.mark.parametrize(
    ("before", "fewest", "most", "after"),
    [(1, 3, None, 3), (3, 1, None, 1), (3, 1, 5, 3), (3, 4, 5, 4), (3, 1, 2, 2), (3, 0, None, 0), (3, 0, 5, 3)],
)
async def test_scaling_goes_up_to_the_minimum_and_down_to_the_maximum(
    world: World, before: int, fewest: int, most: int | None, after: int
) -> None:
    await register(world, "a", before)

    await world.registry.scale(ScaleRequest(model="a", min_workers=fewest, max_workers=most))

    assert world.pools["a/1.0"].count == after
    described = world.registry.describe("a", None)[0]
    assert (described["minWorkers"], described["maxWorkers"]) == (fewest, fewest if most is None else most)


async def test_scale_says_what_torchserve_says(world: World) -> None:
    await register(world, "a")
    scale = world.registry.scale

    assert await scale(ScaleRequest(model="a", min_workers=2)) == "Processing worker updates..."
    assert await scale(ScaleRequest(model="a", min_workers=2, synchronous=True)) == "Workers scaled to 2 for model: a"
    with_version = ScaleRequest(model="a", version="1.0", min_workers=1, synchronous=True)
    assert await scale(with_version) == "Workers scaled to 1 for model: a, version: 1.0"


@pytest.mark.parametrize(
    ("error", "text", "request_"),
    [
        (errors.BadRequest, "max_worker cannot be less than", ScaleRequest(model="a", min_workers=2, max_workers=1)),
        (errors.BadRequest, "min_worker cannot be less than 0", ScaleRequest(model="a", min_workers=-1)),
        (errors.BadRequest, "more than 4096", ScaleRequest(model="a", min_workers=2**31 - 1)),
        (errors.BadRequest, "Parameter model_name is required", ScaleRequest(model="")),
        (errors.ModelNotFound, "^Model not found: b$", ScaleRequest(model="b")),
        (errors.ModelVersionNotFound, "^Model version: 7 does not", ScaleRequest(model="a", version="7")),
    ],
)
async def test_a_wrong_scale_changes_nothing(
    world: World, error: type[errors.ServingError], text: str, request_: ScaleRequest
) -> None:
    await register(world, "a")

    with pytest.raises(error, match=text):
        await world.registry.scale(request_)

    assert world.pools["a/1.0"].count == 1


async def test_a_synchronous_scale_that_fails_names_the_cause_and_the_model_stays(world: World) -> None:
    await register(world, "a")
    world.pools["a/1.0"].error = errors.WorkerDied("killed by signal 9 (SIGKILL)")

    with pytest.raises(errors.WorkersFailedToStart, match="model a version: null Cause: killed by signal 9"):
        await world.registry.scale(ScaleRequest(model="a", min_workers=2, synchronous=True))

    assert names(world) == ["a"]


# -------------------------------------------------------------------------------------- default, unregister


async def test_set_default_moves_requests_without_a_version(world: World) -> None:
    await register(world, "a@1.0")
    await register(world, "a@2.0")

    text = await world.registry.set_default("a", "2.0")

    assert text == 'Default version successfully updated for model "a" to "2.0"'
    world.registry.submit("a", None, [])
    assert len(world.schedulers["a/2.0"].jobs) == 1 and not world.schedulers["a/1.0"].jobs


async def test_an_unregistered_model_takes_no_more_jobs_and_answers_those_it_has(world: World) -> None:
    await register(world, "a")
    scheduler = world.schedulers["a/1.0"]
    scheduler.held = True
    reply = world.registry.submit("a", None, [])

    leaving = asyncio.ensure_future(world.registry.unregister("a", None))
    await turns()
    with pytest.raises(errors.ModelNotFound):
        world.registry.submit("a", None, [])
    assert not world.pools["a/1.0"].closed

    scheduler.answer_all()
    assert await leaving == 'Model "a" unregistered'
    assert reply.error is None and reply.ended
    assert world.pools["a/1.0"].closed and world.store.discarded == [("a", True)]


async def test_unregistering_what_may_not_go_changes_nothing(world: World) -> None:
    await register(world, "a@1.0")
    await register(world, "a@2.0")

    for error, model, version in (
        (errors.CannotRemoveDefault, "a", None),
        (errors.ModelNotFound, "b", None),
        (errors.ModelVersionNotFound, "a", "9"),
    ):
        with pytest.raises(error):
            await world.registry.unregister(model, version)
    with pytest.raises(errors.BadRequest, match=r"^Parameter url is required\.$"):
        await world.registry.unregister("", None)

    assert not any(pool.closed for pool in world.pools.values()) and world.store.discarded == []


async def test_an_unregister_that_takes_too_long_says_so_and_goes_on_cleaning() -> None:
    world = World(drain_timeout_s=0.0, unregister_model_timeout_s=0.0)
    world.close_gate = asyncio.Event()
    await register(world, "a")

    with pytest.raises(errors.UnregisterTimeout, match=r"^Timed out while cleaning resources: a$"):
        await world.registry.unregister("a", None)

    assert names(world) == [] and world.store.discarded == []
    world.close_gate.set()
    await turns()
    assert world.pools["a/1.0"].closed and world.store.discarded == [("a", True)]
    await world.registry.close()


# --------------------------------------------------------------------------------------------- stop, callers


async def test_after_admission_is_closed_everything_new_is_refused(world: World) -> None:
    await register(world, "a")

    world.registry.close_admission()

    for attempt in (
        register(world, "b"),
        world.registry.scale(ScaleRequest(model="a")),
        world.registry.set_default("a", "1.0"),
        world.registry.unregister("a", None),
    ):
        with pytest.raises(errors.ServerStopping):
            await attempt
    for model in ("a", "unknown"):
        with pytest.raises(errors.ServerStopping):
            world.registry.submit(model, None, [])


async def test_a_model_that_is_still_being_unpacked_when_admission_closes_is_not_published(world: World) -> None:
    world.store.gate = asyncio.Event()
    registering = asyncio.ensure_future(register(world, "a"))
    await turns()
    world.registry.close_admission()
    world.store.gate.set()

    with pytest.raises(errors.ServerStopping):
        await registering
    assert names(world) == [] and world.store.left == []


async def test_close_cuts_operations_short_and_cleans_up_whatever_they_left(world: World) -> None:
    await register(world, "kept")
    await register(world, "leaving")
    world.schedulers["leaving/1.0"].held = True
    reply = world.registry.submit("leaving", None, [])
    world.gate = asyncio.Event()
    callers = [
        asyncio.ensure_future(world.registry.unregister("leaving", None)),
        asyncio.ensure_future(register(world, "coming")),
    ]
    await turns()

    await world.registry.close()

    for caller in callers:
        with pytest.raises(errors.ServerStopping):
            await caller
    assert isinstance(reply.error, errors.ServerStopping | errors.ModelUnregistered)
    assert all(pool.closed for pool in world.pools.values())
    assert dict(world.store.discarded) == {"kept": False, "leaving": True, "coming": True}


@pytest.mark.parametrize("moment", range(12))
async def test_at_whichever_moment_the_server_closes_nothing_is_left(moment: int) -> None:
    world = World()
    await register(world, "leaving")
    world.schedulers["leaving/1.0"].held = True
    reply = world.registry.submit("leaving", None, [])
    callers = [
        asyncio.ensure_future(world.registry.unregister("leaving", None)),
        asyncio.ensure_future(register(world, "coming")),
    ]
    await turns(moment)

    await world.registry.close()
    await asyncio.wait(callers)

    assert all(pool.closed for pool in world.pools.values())
    assert world.store.left == [] and reply.ended


async def test_a_default_version_that_somebody_chose_while_models_were_loading_stays() -> None:
    world = World(load_models=("a@2.0", "a@1.0", "a@3.0"))
    world.store.slow = {"a@2.0": 20, "a@3.0": 60}
    load = asyncio.ensure_future(world.registry.load_at_startup())
    await turns(40)

    await world.registry.set_default("a", "1.0")
    await load

    assert world.registry.describe("a", None)[0]["modelVersion"] == "1.0"
    assert len(world.registry.describe("a", "all")) == 3
    await world.registry.close()


async def test_load_at_startup_skips_what_fails_and_keeps_the_order_of_default_versions(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(load_models=("missing.mar", "a@2.0", "a@1.0", "named=b"), default_workers_per_model=1)
    world.store.slow = {"a@2.0": 50}  # so that the other version is there first

    await world.registry.load_at_startup()

    assert names(world) == ["a", "named"]
    assert world.registry.describe("a", None)[0]["modelVersion"] == "2.0"
    assert "Failed to load model: missing.mar" in caplog.text
    await world.registry.close()


async def test_downloads_that_hang_hold_up_no_archive_of_the_store_and_are_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "_REPORT_S", 0.0)
    caplog.set_level(logging.INFO)
    slow = [f"https://user:secret@host/{number}.mar" for number in range(8)]
    world = World(load_models=(*slow, "a", "b"))
    world.store.slow = dict.fromkeys(slow, 10**9)
    load = asyncio.ensure_future(world.registry.load_at_startup())
    await turns(100)
    assert names(world) == ["a", "b"] and not load.done()
    assert "Startup models: 2 of 10 are done, waiting for https://host/0.mar" in caplog.text
    assert " and 3 more" in caplog.text and "secret" not in caplog.text
    await world.registry.close()
    await load


async def test_a_store_that_cannot_be_read_is_no_start_without_models(caplog: pytest.LogCaptureFixture) -> None:
    world = World(load_models=("all",))
    world.store.unreadable = True
    await world.registry.load_at_startup()
    assert world.registry.readiness() == Readiness(ready=False, models=("all",))
    assert world.registry.healthy(), "Ping follows TorchServe: what is not registered does not count"
    assert "Failed to load the startup models: Cannot list" in caplog.text
    await world.registry.close()
