"""Workflows as frontends and operators see them: asked, described, unregistered, resumed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from registry_fakes import turns
from workflow_fakes import DIAMOND, INPUTS, TWO_FUNCTIONS, WorkflowRig, registered

from stoker import errors
from stoker.config.model_snapshot import ModelSnapshot, SnapshotWorkflow
from stoker.core.ports import Health, RegisterRequest, ScaleRequest

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

    assert rig.submit("two__pre").is_one_chunk


# ---------------------------------------------------------------------------------------------- asking


async def test_a_workflow_answers_by_its_name_where_no_model_has_it() -> None:
    rig = await registered()
    rig.world.schedulers["two__post/1.0"].answer = b"text"
    (chunk,) = rig.submit("two").read_nowait()

    assert bytes(chunk.data) == b"text"
    assert chunk.meta is not None
    assert chunk.meta.headers == {"content-type": "application/json"}


async def test_a_model_of_the_same_name_comes_first_unless_the_workflow_is_meant() -> None:
    rig = await registered()
    await rig.registry.register(RegisterRequest(url="two@1.0", initial_workers=1, synchronous=True))
    rig.world.schedulers["two/1.0"].answer = b"model"
    rig.world.schedulers["two__post/1.0"].answer = b"workflow"

    assert bytes(rig.submit("two").read_nowait()[0].data) == b"model"
    assert bytes(rig.submit("workflow:two").read_nowait()[0].data) == b"workflow"


async def test_a_workflow_has_no_versions() -> None:
    rig = await registered()
    with pytest.raises(errors.ModelNotFound):
        rig.submit("two", version="1.0")


async def test_an_unknown_name_is_that_of_a_model_unless_a_workflow_is_meant() -> None:
    rig = await registered()
    with pytest.raises(errors.ModelNotFound, match=r"^Model not found: other$"):
        rig.submit("other")
    with pytest.raises(errors.WorkflowNotFound, match=r"^Workflow not found: other$"):
        rig.submit("workflow:other")


async def test_several_leaves_are_one_message_even_for_a_stream() -> None:
    rig = WorkflowRig()
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 5}, "dag": {"a": ["b", "c"]}}
    await rig.register("fork.war")
    for name in ("b", "c"):
        rig.world.schedulers[f"fork__{name}/1.0"].answer = name.encode()

    assert rig.submit("fork", streaming=True).is_one_chunk
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
    await rig.register("w.war")

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
        await rig.register(workflow_name=name)

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
    reply = rig.submit("two")
    leaving = asyncio.ensure_future(rig.workflows.unregister_workflow("two"))
    await turns()
    assert not rig.knows("two")
    assert not leaving.done()
    rig.world.schedulers["two__pre/1.0"].answer_all()
    rig.world.schedulers["two__post/1.0"].answer_all()
    await leaving

    assert reply.is_one_chunk


async def test_requests_that_take_too_long_are_told() -> None:
    rig = await registered(drain_timeout_s=0.0)
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = rig.submit("two")
    await rig.workflows.unregister_workflow("two")

    assert isinstance(reply.error, errors.WorkflowUnregistered)


# ---------------------------------------------------------------------------------------------- start and stop


async def test_a_stop_lets_accepted_requests_reach_their_next_nodes() -> None:
    rig = await registered()
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = rig.submit("two")
    rig.workflows.close_admission()
    rig.registry.close_admission()
    with pytest.raises(errors.ServerStopping):
        rig.submit("two")
    rig.world.schedulers["two__pre/1.0"].answer_all()
    rig.world.schedulers["two__post/1.0"].answer_all()

    assert reply.is_one_chunk
    await rig.workflows.close()
    await rig.registry.close()


async def test_what_a_stop_does_not_wait_for_is_told() -> None:
    rig = await registered()
    for scheduler in rig.world.schedulers.values():
        scheduler.held = True
    reply = rig.submit("two")
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
    await rig.register(response_timeout_s=7)
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


def test_the_fakes_are_specifications_that_users_write() -> None:
    assert set(TWO_FUNCTIONS) == set(DIAMOND) == {"models", "dag"}
