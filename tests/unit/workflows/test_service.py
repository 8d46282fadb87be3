from __future__ import annotations

import asyncio
from typing import Any

import pytest
from registry_fakes import turns
from workflow_fakes import DIAMOND, TWO_FUNCTIONS, WorkflowRig

from stoker import errors
from stoker.config.model_snapshot import ModelSnapshot, SnapshotWorkflow
from stoker.core.job import Input
from stoker.core.ports import Health, RegisterRequest, ScaleRequest
from stoker.core.reply import ReplyStream
from stoker.core.workflows import RegisterWorkflowRequest

INPUTS = [Input("data", "", b"x")]


def request(url: str = "two.war", **values: Any) -> RegisterWorkflowRequest:
    return RegisterWorkflowRequest(url=url, **values)


async def registered(url: str = "two.war", **settings: Any) -> WorkflowRig:
    rig = WorkflowRig(**settings)
    await rig.workflows.register_workflow(request(url))
    return rig


def submit(rig: WorkflowRig, name: str, *, version: str | None = None, streaming: bool = False) -> ReplyStream:
    return rig.registry.submit(name, version, INPUTS, streaming=streaming)


# ---------------------------------------------------------------------------------------------- registering


async def test_every_node_becomes_a_model_of_its_own() -> None:
    rig = WorkflowRig()

    text = await rig.workflows.register_workflow(request("diamond.war"))

    assert text == "Workflow diamond has been registered and scaled successfully."
    assert rig.models() == {"diamond__pre", "diamond__m1", "diamond__m2", "diamond__post"}
    spec = rig.world.schedulers["diamond__pre/1.0"].spec
    assert (spec.handler, spec.model_dir, spec.batch_size, spec.max_batch_delay_s) == ("handler.py:pre", "/war", 1, 0.0)
    assert dict(spec.yaml_config) == {}


async def test_as_many_workers_start_as_the_specification_says_and_one_must_be_ready() -> None:
    rig = await registered("diamond.war")

    assert rig.world.pools["diamond__m2/1.0"].count == 3
    (entry,) = rig.registry.describe("diamond__m2", None)
    assert (entry["minWorkers"], entry["maxWorkers"]) == (1, 3)


async def test_the_name_of_the_request_counts() -> None:
    rig = WorkflowRig()
    await rig.workflows.register_workflow(request(workflow_name="other"))

    assert rig.models() == {"other__pre", "other__post"}


async def test_timeouts_reach_every_node() -> None:
    rig = WorkflowRig()
    await rig.workflows.register_workflow(request("diamond.war", response_timeout_s=7, startup_timeout_s=8))

    times = {(s.spec.response_timeout_s, s.spec.startup_timeout_s) for s in rig.world.schedulers.values()}
    assert times == {(7, 8)}


async def test_functions_are_not_listed_and_have_no_url_but_are_described() -> None:
    rig = await registered("diamond.war")

    listed = rig.registry.list_models(100, 0)["models"]
    assert listed == [
        {"modelName": "diamond__m1", "modelUrl": "a.mar"},
        {"modelName": "diamond__m2", "modelUrl": "b.mar"},
    ]
    (function,) = rig.registry.describe("diamond__pre", None)
    assert "modelUrl" not in function


@pytest.mark.parametrize("name", ["a b", "a/b", "-a", "a:b"])
async def test_a_name_that_could_not_be_asked_for_is_refused(name: str) -> None:
    rig = WorkflowRig()
    with pytest.raises(errors.InvalidWorkflow):
        await rig.workflows.register_workflow(request(workflow_name=name))

    assert rig.models() == set()
    assert rig.store.left == 0


async def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing() -> None:
    rig = await registered()
    with pytest.raises(errors.WorkflowAlreadyRegistered, match=r"^Workflow two is already registered\.$"):
        await rig.workflows.register_workflow(request())

    assert rig.models() == {"two__pre", "two__post"}
    assert rig.store.left == 1


async def test_of_two_registrations_at_once_one_wins() -> None:
    rig = WorkflowRig()
    outcomes = await asyncio.gather(
        *(rig.workflows.register_workflow(request()) for _ in range(3)), return_exceptions=True
    )

    conflicts = [each for each in outcomes if isinstance(each, errors.WorkflowAlreadyRegistered)]
    assert len(conflicts) == 2
    assert len(rig.models()) == 2
    assert rig.store.left == 1


async def test_a_node_that_fails_takes_the_others_with_it() -> None:
    rig = WorkflowRig()
    rig.world.worker_error = errors.WorkerDied("exit code 1")
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.workflows.register_workflow(request())

    assert failed.value.message.startswith("Workflow two has failed to register. Failures: [Failed to start workers")
    assert rig.models() == set()
    assert all(pool.closed for pool in rig.world.pools.values())
    assert rig.store.left == 0
    assert submit_is_unknown(rig, "two")


def submit_is_unknown(rig: WorkflowRig, name: str) -> bool:
    try:
        submit(rig, name)
    except errors.ModelNotFound:
        return True
    return False


async def test_a_missing_archive_of_a_node_is_named() -> None:
    rig = WorkflowRig()
    rig.store.archives["bad.war"] = {"models": {"m": {"url": "missing.mar"}}, "dag": {"m": []}}
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.workflows.register_workflow(request("bad.war"))

    assert failed.value.message == (
        "Workflow bad has failed to register. Failures: "
        "[Workflow Node bad__m failed to register. Details: Model not found at: missing.mar]"
    )


async def test_a_model_that_has_a_nodes_name_already_stays_as_it_is() -> None:
    """TorchServe's roll-back unregistered it."""
    rig = WorkflowRig()
    await rig.registry.register(RegisterRequest(url="two__post@2.0", synchronous=True))
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.workflows.register_workflow(request())

    assert "Model version 2.0 is already registered for model two__post" in failed.value.message
    assert rig.models() == {"two__post"}
    submit(rig, "two__post")


async def test_a_registration_goes_on_when_its_client_leaves() -> None:
    rig = WorkflowRig()
    rig.world.gate = asyncio.Event()
    client = asyncio.ensure_future(rig.workflows.register_workflow(request()))
    await turns()
    client.cancel()
    rig.world.gate.set()
    await turns()

    assert rig.workflows.health("two") is Health.SERVING


async def test_a_stop_in_the_middle_of_a_registration_leaves_no_files() -> None:
    rig = WorkflowRig()
    rig.world.gate = asyncio.Event()
    client = asyncio.ensure_future(rig.workflows.register_workflow(request()))
    await turns()
    await rig.workflows.close()
    with pytest.raises(errors.ServerStopping):
        await client
    await rig.registry.close()

    assert rig.store.left == 0
    assert all(pool.closed for pool in rig.world.pools.values())


@pytest.mark.parametrize("values", [{"response_timeout_s": -1}, {"startup_timeout_s": -1}])
async def test_a_negative_timeout_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(errors.BadRequest):
        await WorkflowRig().workflows.register_workflow(request(**values))


# ---------------------------------------------------------------------------------------------- its models


async def test_a_node_is_not_unregistered_behind_the_workflows_back() -> None:
    rig = await registered()
    with pytest.raises(errors.ModelOfWorkflow, match="two__pre belongs to workflow two"):
        await rig.registry.unregister("two__pre", None)

    assert "two__pre" in rig.models()


async def test_no_other_version_is_registered_beside_a_node() -> None:
    rig = await registered()
    with pytest.raises(errors.AlreadyRegistered):
        await rig.registry.register(RegisterRequest(url="two__pre@2.0"))


async def test_a_node_can_be_scaled_and_without_workers_the_workflow_is_not_ready() -> None:
    rig = await registered()
    assert rig.workflows.health("two") is Health.SERVING
    await rig.registry.scale(ScaleRequest(model="two__pre", min_workers=0))

    assert rig.workflows.health("two") is Health.NOT_SERVING


async def test_a_node_answers_under_its_own_name_too() -> None:
    rig = await registered()

    assert submit(rig, "two__pre").is_one_chunk


# ---------------------------------------------------------------------------------------------- asking


async def test_a_workflow_answers_by_its_name_where_no_model_has_it() -> None:
    rig = await registered()
    rig.world.schedulers["two__post/1.0"].answer = b"text"
    (chunk,) = submit(rig, "two").read_nowait()

    assert bytes(chunk.data) == b"text"
    assert chunk.meta is not None
    assert chunk.meta.headers == {"content-type": "application/json"}


async def test_a_model_of_the_same_name_comes_first_unless_the_workflow_is_meant() -> None:
    rig = await registered()
    await rig.registry.register(RegisterRequest(url="two@1.0", initial_workers=1, synchronous=True))
    rig.world.schedulers["two/1.0"].answer = b"model"
    rig.world.schedulers["two__post/1.0"].answer = b"workflow"

    assert bytes(submit(rig, "two").read_nowait()[0].data) == b"model"
    assert bytes(submit(rig, "workflow:two").read_nowait()[0].data) == b"workflow"


async def test_a_workflow_has_no_versions() -> None:
    rig = await registered()
    with pytest.raises(errors.ModelNotFound):
        submit(rig, "two", version="1.0")


async def test_an_unknown_name_is_that_of_a_model_unless_a_workflow_is_meant() -> None:
    rig = await registered()
    with pytest.raises(errors.ModelNotFound, match=r"^Model not found: other$"):
        submit(rig, "other")
    with pytest.raises(errors.WorkflowNotFound, match=r"^Workflow not found: other$"):
        submit(rig, "workflow:other")


async def test_several_leaves_are_one_message_even_for_a_stream() -> None:
    rig = WorkflowRig()
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 5}, "dag": {"a": ["b", "c"]}}
    await rig.workflows.register_workflow(request("fork.war"))
    for name in ("b", "c"):
        rig.world.schedulers[f"fork__{name}/1.0"].answer = name.encode()

    assert submit(rig, "fork", streaming=True).is_one_chunk
    assert not rig.world.schedulers["fork__b/1.0"].jobs[0].streaming


async def test_an_expired_request_is_not_begun() -> None:
    rig = await registered()
    with pytest.raises(errors.DeadlineExceeded):
        rig.registry.submit("two", None, INPUTS, deadline=rig.world.clock.time)
    assert rig.world.schedulers["two__pre/1.0"].jobs == []


async def test_a_deadline_reaches_every_node() -> None:
    rig = await registered()
    rig.registry.submit("two", None, INPUTS, deadline=rig.world.clock.time + 1)

    deadlines = [scheduler.jobs[0].deadline for scheduler in rig.world.schedulers.values()]
    assert deadlines == [rig.world.clock.time + 1] * 2


async def test_nodes_carry_the_requests_id() -> None:
    rig = await registered()
    rig.registry.submit("two", None, INPUTS, request_id="the-id")

    assert [s.jobs[0].id for s in rig.world.schedulers.values()] == ["the-id/pre", "the-id/post"]


# ---------------------------------------------------------------------------------------------- describing


async def test_a_description_has_the_global_numbers_and_the_dag_as_it_was_written() -> None:
    rig = WorkflowRig()
    rig.store.archives["w.war"] = {
        "models": {"min-workers": 2, "max-workers": 4, "batch-size": 3, "max-batch-delay": 70, "m1": {"url": "a.mar"}},
        "dag": {"pre": ["m1", "m2"], "m1": ["agg"], "m2": ["agg"], "agg": []},
    }
    await rig.workflows.register_workflow(request("w.war"))

    assert rig.workflows.describe_workflow("w") == [
        {
            "workflowName": "w",
            "workflowUrl": "w.war",
            "minWorkers": 2,
            "maxWorkers": 4,
            "batchSize": 3,
            "maxBatchDelay": 70,
            "workflowDag": "{pre=[m1, m2], m1=[agg], m2=[agg], agg=[]}",
        }
    ]
    (described,) = rig.workflows.describe_workflow("w", with_nodes=True)
    assert described["nodes"][:2] == [
        {"name": "pre", "kind": "function", "modelName": "w__pre", "workers": 1, "ready": True},
        {"name": "m1", "kind": "model", "modelName": "w__m1", "url": "a.mar", "workers": 4, "ready": True},
    ]


async def test_workflows_are_listed_by_name_and_page() -> None:
    rig = WorkflowRig()
    for name in ("b", "a", "c"):
        await rig.workflows.register_workflow(request(workflow_name=name))

    first = rig.workflows.list_workflows(2, 0)
    assert first == {
        "nextPageToken": "2",
        "workflows": [{"workflowName": "a", "workflowUrl": "two.war"}, {"workflowName": "b", "workflowUrl": "two.war"}],
    }
    assert [each["workflowName"] for each in rig.workflows.list_workflows(2, 2)["workflows"]] == ["c"]


# ---------------------------------------------------------------------------------------------- unregistering


async def test_unregistering_ends_every_node_and_removes_the_files() -> None:
    rig = await registered()

    assert await rig.workflows.unregister_workflow("two") == 'Workflow "two" unregistered'
    assert rig.models() == set()
    assert rig.store.left == 0
    assert rig.workflows.health("two") is Health.UNKNOWN
    with pytest.raises(errors.WorkflowNotFound):
        await rig.workflows.unregister_workflow("two")


async def test_accepted_requests_are_served_before_the_nodes_end() -> None:
    rig = await registered()
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = submit(rig, "two")
    leaving = asyncio.ensure_future(rig.workflows.unregister_workflow("two"))
    await turns()
    assert submit_is_unknown(rig, "two")
    assert not leaving.done()
    rig.world.schedulers["two__pre/1.0"].answer_all()
    rig.world.schedulers["two__post/1.0"].answer_all()
    await leaving

    assert reply.is_one_chunk


async def test_requests_that_take_too_long_are_told() -> None:
    rig = await registered(drain_timeout_s=0.0)
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = submit(rig, "two")
    await rig.workflows.unregister_workflow("two")

    assert isinstance(reply.error, errors.WorkflowUnregistered)


# ---------------------------------------------------------------------------------------------- start and stop


async def test_a_stop_lets_accepted_requests_reach_their_next_nodes() -> None:
    rig = await registered()
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = submit(rig, "two")
    rig.workflows.close_admission()
    rig.registry.close_admission()
    with pytest.raises(errors.ServerStopping):
        submit(rig, "two")
    rig.world.schedulers["two__pre/1.0"].answer_all()
    rig.world.schedulers["two__post/1.0"].answer_all()

    assert reply.is_one_chunk
    await rig.workflows.close()
    await rig.registry.close()


async def test_what_a_stop_does_not_wait_for_is_told() -> None:
    rig = await registered()
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = submit(rig, "two")
    await rig.workflows.close()
    await rig.registry.close()

    assert isinstance(reply.error, errors.ServerStopping)


async def test_the_start_loads_what_the_settings_name_and_reports_what_it_could_not() -> None:
    rig = WorkflowRig(load_workflows=("mine=two.war", "missing.war"))
    await rig.registry.load_at_startup()

    assert rig.models() == {"mine__pre", "mine__post"}
    assert rig.store.from_operator == [True, True]
    assert rig.registry.readiness().models == ("missing.war",)


async def test_all_loads_every_archive_of_the_store() -> None:
    rig = WorkflowRig(load_workflows=("all",))
    await rig.registry.load_at_startup()

    assert [each["workflowName"] for each in rig.workflows.list_workflows(100, 0)["workflows"]] == ["diamond", "two"]


class Kept:
    """Keeps the snapshots that are written."""

    def __init__(self) -> None:
        self.written: list[ModelSnapshot] = []

    def write(self, kind: str, snapshot: ModelSnapshot) -> Any:
        self.written.append(snapshot)


async def test_snapshots_hold_workflows_and_not_their_models() -> None:
    kept = Kept()
    rig = WorkflowRig(snapshots=kept)
    await rig.registry.load_at_startup()
    await rig.workflows.register_workflow(request(response_timeout_s=7))
    await rig.workflows.close()
    await rig.registry.close()

    newest = kept.written[-1]
    assert newest.models == ()
    assert newest.workflows == (SnapshotWorkflow(name="two", war_name="two.war", response_timeout_s=7),)
    assert newest.resume


async def test_a_snapshot_is_resumed_and_what_is_missing_stays_in_it() -> None:
    saved = (
        SnapshotWorkflow(name="mine", war_name="two.war", response_timeout_s=7),
        SnapshotWorkflow(name="lost", war_name="lost.war"),
    )
    kept = Kept()
    rig = WorkflowRig(
        snapshots=kept, model_snapshot=ModelSnapshot((), workflows=saved), load_workflows=("diamond.war",)
    )
    await rig.registry.load_at_startup()

    assert rig.models() == {"mine__pre", "mine__post"}
    assert rig.world.schedulers["mine__pre/1.0"].spec.response_timeout_s == 7
    assert {each.name for each in kept.written[-1].workflows} == {"mine", "lost"}
    with pytest.raises(errors.WorkflowNotFound):
        await rig.workflows.unregister_workflow("lost")
    await rig.workflows.close()
    await rig.registry.close()
    assert [each.name for each in kept.written[-1].workflows] == ["mine"]


async def test_the_envelope_is_around_the_workflow_and_not_around_each_node() -> None:
    rig = WorkflowRig(service_envelope="kserve")
    rig.store.archives["three.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["b"], "b": ["c"]}}
    rig.store.archives["one.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": []}}
    await rig.workflows.register_workflow(request("three.war"))
    await rig.workflows.register_workflow(request("one.war"))

    envelopes = {str(key): s.spec.envelope for key, s in rig.world.schedulers.items()}
    assert envelopes == {
        "three__a/1.0": "kserve:input",
        "three__b/1.0": None,
        "three__c/1.0": "kserve:output",
        "one__a/1.0": "kserve",
    }


def test_the_fakes_are_specifications_that_users_write() -> None:
    assert set(TWO_FUNCTIONS) == set(DIAMOND) == {"models", "dag"}
