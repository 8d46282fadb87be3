"""Registers workflows: every node becomes a model, all of them or none."""

from __future__ import annotations

import asyncio

import pytest
from registry_fakes import turns
from workflow_fakes import WorkflowRig, registered

from stoker import errors
from stoker.core.ports import Health, RegisterRequest


async def test_every_node_becomes_a_model_of_its_own() -> None:
    rig = WorkflowRig()

    text = await rig.register("diamond.war")

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
    await rig.register(workflow_name="other")

    assert rig.models() == {"other__pre", "other__post"}


async def test_timeouts_reach_every_node() -> None:
    rig = WorkflowRig()
    await rig.register("diamond.war", response_timeout_s=7, startup_timeout_s=8)

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
        await rig.register(workflow_name=name)

    assert rig.models() == set()
    assert rig.store.left == 0


async def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing() -> None:
    rig = await registered()
    with pytest.raises(errors.WorkflowAlreadyRegistered, match=r"^Workflow two is already registered\.$"):
        await rig.register()

    assert rig.models() == {"two__pre", "two__post"}
    assert rig.store.left == 1


async def test_of_two_registrations_at_once_one_wins() -> None:
    rig = WorkflowRig()
    outcomes = await asyncio.gather(*(rig.register() for _ in range(3)), return_exceptions=True)

    conflicts = [each for each in outcomes if isinstance(each, errors.WorkflowAlreadyRegistered)]
    assert len(conflicts) == 2
    assert len(rig.models()) == 2
    assert rig.store.left == 1


async def test_a_node_that_fails_takes_the_others_with_it() -> None:
    rig = WorkflowRig()
    rig.world.worker_error = errors.WorkerDied("exit code 1")
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.register()

    assert failed.value.message.startswith("Workflow two has failed to register. Failures: [Failed to start workers")
    assert rig.models() == set()
    assert all(pool.closed for pool in rig.world.pools.values())
    assert rig.store.left == 0
    assert not rig.knows("two")


async def test_a_missing_archive_of_a_node_is_named() -> None:
    rig = WorkflowRig()
    rig.store.archives["bad.war"] = {"models": {"m": {"url": "missing.mar"}}, "dag": {"m": []}}
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.register("bad.war")

    assert failed.value.message == (
        "Workflow bad has failed to register. Failures: "
        "[Workflow Node bad__m failed to register. Details: Model not found at: missing.mar]"
    )


async def test_a_model_that_has_a_nodes_name_already_stays_as_it_is() -> None:
    """TorchServe's roll-back unregistered it."""
    rig = WorkflowRig()
    await rig.registry.register(RegisterRequest(url="two__post@2.0", synchronous=True))
    with pytest.raises(errors.WorkflowNotRegistered) as failed:
        await rig.register()

    assert "Model version 2.0 is already registered for model two__post" in failed.value.message
    assert rig.models() == {"two__post"}
    rig.submit("two__post")


async def test_a_registration_goes_on_when_its_client_leaves() -> None:
    rig = WorkflowRig()
    rig.world.gate = asyncio.Event()
    client = asyncio.ensure_future(rig.register())
    await turns()
    client.cancel()
    rig.world.gate.set()
    await turns()

    assert rig.workflows.health("two") is Health.SERVING


async def test_a_stop_in_the_middle_of_a_registration_leaves_no_files() -> None:
    rig = WorkflowRig()
    rig.world.gate = asyncio.Event()
    client = asyncio.ensure_future(rig.register())
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
        await WorkflowRig().register(**values)


async def test_the_envelope_is_around_the_workflow_and_not_around_each_node() -> None:
    rig = WorkflowRig(service_envelope="kserve")
    rig.store.archives["three.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["b"], "b": ["c"]}}
    rig.store.archives["one.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": []}}
    await rig.register("three.war")
    await rig.register("one.war")

    envelopes = {str(key): s.spec.envelope for key, s in rig.world.schedulers.items()}
    assert envelopes == {
        "three__a/1.0": "kserve:input",
        "three__b/1.0": None,
        "three__c/1.0": "kserve:output",
        "one__a/1.0": "kserve",
    }
