"""What becomes of a request: which version, which deadline, which error."""

from __future__ import annotations

import asyncio

import pytest
from registry_fakes import World, turns

from stoker import errors
from stoker.core.job import Input
from stoker.core.ports import Health, Readiness, RegisterRequest, ScaleRequest
from stoker.core.reply import ResponseMeta


async def world_with(*urls: str, workers: int = 1) -> World:
    world = World()
    for url in urls:
        await world.registry.register(RegisterRequest(url=url, initial_workers=workers))
    return world


async def test_a_request_becomes_one_job_of_the_version_it_asks_for() -> None:
    world = await world_with("a@1.0", "a@2.0")
    inputs = [Input("data", "", b"x")]

    reply = world.registry.submit("a", "2.0", inputs, headers={"k": "v"}, deadline=7.0)

    (job,) = world.schedulers["a/2.0"].jobs
    assert job.reply is reply and job.inputs is inputs and job.headers == {"k": "v"} and job.deadline == 7.0
    assert job.key == ("a", "2.0") and not job.alone


@pytest.mark.parametrize(
    ("client_timeout_s", "deadline", "becomes"),
    [(0.0, None, None), (0.0, 5000.0, 5000.0), (2.0, None, 1002.0), (2.0, 5000.0, 1002.0), (2.0, 1001.0, 1001.0)],
)
async def test_the_earlier_of_the_callers_and_the_models_deadline_counts(
    client_timeout_s: float, deadline: float | None, becomes: float | None
) -> None:
    world = await world_with("a")
    entry = next(iter(world.registry._catalog))
    entry.spec = _changed(entry.spec, client_timeout_s=client_timeout_s)

    world.registry.submit("a", None, [], deadline=deadline)

    assert world.schedulers["a/1.0"].jobs[0].deadline == becomes


@pytest.mark.parametrize(
    ("streaming", "changed", "alone"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"stream_batching": True}, False),
        (True, {"continuous": True}, False),
    ],
)
async def test_a_stream_is_a_batch_of_its_own_unless_the_model_says_otherwise(
    streaming: bool, changed: dict[str, bool], alone: bool
) -> None:
    world = await world_with("a")
    entry = next(iter(world.registry._catalog))
    entry.spec = _changed(entry.spec, **changed)

    world.registry.submit("a", None, [], streaming=streaming)

    (job,) = world.schedulers["a/1.0"].jobs
    assert (job.streaming, job.alone) == (streaming, alone)


async def test_a_stream_may_ask_to_share_its_batch_and_for_its_id() -> None:
    world = await world_with("a")

    world.registry.submit("a", None, [], streaming=True, alone=False, request_id="mine")

    (job,) = world.schedulers["a/1.0"].jobs
    assert (job.streaming, job.alone, job.id) == (True, False, "mine")


@pytest.mark.parametrize(
    ("models", "only"), [((), None), (("a@1.0",), "a"), (("a@1.0", "a@2.0"), "a"), (("a", "b"), None)]
)
async def test_a_request_without_a_name_means_the_one_model_of_the_start(
    models: tuple[str, ...], only: str | None
) -> None:
    world = World(load_models=models, default_workers_per_model=1)
    await world.registry.load_at_startup()
    await world.registry.register(RegisterRequest(url="late"))

    assert world.registry.only_startup_model() == only


async def test_a_job_knows_the_version_only_where_the_request_named_it() -> None:
    world = await world_with("a")
    for version in ("", None, "1.0"):
        world.registry.submit("a", version, [])
    assert [job.named_version or None for job in world.schedulers["a/1.0"].jobs] == [None, None, "1.0"]


async def test_a_request_without_a_model_and_one_for_an_unknown_model_are_different_errors() -> None:
    world = await world_with("a")

    with pytest.raises(errors.BadRequest, match=r"^Parameter model_name is required\.$"):
        world.registry.submit("", None, [])
    with pytest.raises(errors.ModelNotFound):
        world.registry.submit("b", None, [])
    with pytest.raises(errors.ModelVersionNotFound):
        world.registry.submit("a", "9", [])


@pytest.mark.parametrize(
    ("answer", "members"),
    [
        (b'{"classes": 2}', {"customizedMetadata": {"classes": 2}}),
        (b"{", {"customizedMetadata": {}}),
        (b"[1]", {"customizedMetadata": {}}),
        (b'{"x": NaN}', {"customizedMetadata": {}}),
        (b'{"x": "\\ud800"}', {"customizedMetadata": {}}),
        (b"[" * 100_000, {"customizedMetadata": {}}),
        (b"null", {}),
        (b"  ", {}),
        (b"", {}),
    ],
)
async def test_customized_metadata_is_what_the_handler_says_if_it_is_an_object(
    answer: bytes, members: dict[str, object]
) -> None:
    world = await world_with("a")
    world.schedulers["a/1.0"].answer = answer

    ((entry,), _) = await world.registry.describe_customized("a", None)

    (job,) = world.schedulers["a/1.0"].jobs
    assert job.headers == {"describe": "True"} and job.inputs == () and job.alone
    assert {name: entry[name] for name in entry if name == "customizedMetadata"} == members


async def test_a_describe_request_takes_the_callers_headers_along_and_brings_the_handlers_back() -> None:
    world = await world_with("a")
    scheduler = world.schedulers["a/1.0"]
    scheduler.meta = ResponseMeta(206, "", {"x-model": "a"})

    described = await world.registry.describe_customized("a", None, headers={"X-Who": "me", "describe": "no"})

    assert scheduler.jobs[0].headers == {"X-Who": "me", "describe": "True"}
    assert described.meta == scheduler.meta


async def test_a_describe_request_without_a_worker_has_torchserves_other_text() -> None:
    world = await world_with("a")
    world.schedulers["a/1.0"].refusal = errors.QueueFull("a")
    with pytest.raises(errors.QueueFull):
        await world.registry.describe_customized("a", None)

    await world.registry.scale(ScaleRequest(model="a", min_workers=0))
    with pytest.raises(errors.NoWorkersToDescribe, match=r'^Model "a" has no worker to serve describe request'):
        await world.registry.describe_customized("a", None)


async def test_a_client_that_leaves_its_describe_request_cancels_the_job() -> None:
    world = await world_with("a")
    world.schedulers["a/1.0"].held = True
    caller = asyncio.ensure_future(world.registry.describe_customized("a", None))
    await turns()
    cancelled: list[object] = []

    class Producer:
        def job_cancelled(self, job: object) -> None:
            cancelled.append(job)

        def job_consumed(self, job: object, nbytes: int) -> None: ...

    (job,) = world.schedulers["a/1.0"].jobs
    job.reply.producer, job.reply.job = Producer(), job
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert cancelled == [job]


# --------------------------------------------------------------------------------------------------- health


async def test_the_server_is_healthy_without_models() -> None:
    assert World().registry.healthy()


async def test_ping_is_patient_with_failing_workers_until_their_retry_time_is_over() -> None:
    world = await world_with("a")
    pool = world.pools["a/1.0"]
    pool.error, pool.failing_since = errors.WorkerDied("exit code 1"), world.clock.time
    pool._on_change()

    assert world.registry.healthy()
    world.clock.time += 299.0
    assert world.registry.healthy()
    world.clock.time += 1.0
    assert not world.registry.healthy()

    pool.error = pool.failing_since = None
    pool._on_change()
    assert world.registry.healthy()


async def test_ping_looks_at_default_versions_only() -> None:
    world = await world_with("a@1.0", "a@2.0")
    pool = world.pools["a/2.0"]
    pool.error, pool.failing_since = errors.WorkerDied("exit code 1"), 0.0
    pool._on_change()
    assert world.registry.healthy()

    await world.registry.set_default("a", "2.0")
    assert not world.registry.healthy()


async def test_a_model_serves_when_its_workers_are_ready_and_not_before() -> None:
    world = World()
    world.gate = asyncio.Event()
    await world.registry.register(RegisterRequest(url="a", initial_workers=1))
    health = world.registry.health

    assert health("a") is Health.NOT_SERVING and health("a/1.0") is Health.NOT_SERVING
    world.gate.set()
    assert health("a") is Health.SERVING and health("a/1.0") is Health.SERVING
    assert health("a/2.0") is Health.UNKNOWN and health("b") is Health.UNKNOWN


async def test_a_model_without_workers_does_not_serve() -> None:
    world = await world_with("a", workers=0)

    assert world.registry.health("a") is Health.NOT_SERVING and world.registry.healthy()


async def test_the_server_serves_until_it_stops() -> None:
    world = World()
    await world.registry.load_at_startup()
    assert world.registry.health("") is Health.SERVING

    world.registry.close_admission()
    assert world.registry.health("") is Health.NOT_SERVING


async def test_ready_means_that_every_model_of_the_start_is_there_and_every_version_has_its_workers() -> None:
    world = World(load_models=("a", "missing.mar"), default_workers_per_model=1)
    await world.registry.load_at_startup()
    assert world.registry.readiness() == Readiness(ready=False, models=("missing.mar",))

    world.registry.close_admission()
    assert world.registry.readiness().reason == "The server is stopping."


async def test_a_version_that_lacks_workers_is_named_and_one_scaled_to_zero_is_not() -> None:
    world = await world_with("a", "b")
    await world.registry.load_at_startup()
    assert world.registry.readiness() == Readiness(ready=True)

    world.pools["a/1.0"].error = errors.WorkerDied("exit code 1")
    assert world.registry.readiness() == Readiness(ready=False, models=("a/1.0",))
    assert (world.registry.health("a"), world.registry.health("b")) == (Health.NOT_SERVING, Health.SERVING)

    await world.registry.scale(ScaleRequest(model="a", min_workers=0))
    assert world.registry.readiness().ready
    assert world.registry.health("unknown") is Health.UNKNOWN


async def test_listeners_hear_of_many_changes_once_and_not_after_they_left() -> None:
    world = await world_with("a")
    await turns()
    heard: list[str] = []
    leave = world.registry.on_change(lambda: heard.append("x"))

    for _ in range(5):
        world.pools["a/1.0"]._on_change()
    await turns()
    assert heard == ["x"]

    leave()
    leave()
    world.pools["a/1.0"]._on_change()
    await turns()
    assert heard == ["x"]


def _changed(spec, **values):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(spec, **values)
