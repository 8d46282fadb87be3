"""Workflows are registered, described and unregistered over HTTP with TorchServe's paths, statuses and texts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from http_workflow_kit import NO_WORKFLOW, is_error, serving
from workflow_fakes import WorkflowRig

from stoker import errors as e


async def test_a_workflow_is_registered_and_scaled(client: httpx.AsyncClient) -> None:
    answer = await client.post("/workflows?url=two.war")

    assert answer.status_code == 200
    assert answer.text == '{\n  "status": "Workflow two has been registered and scaled successfully."\n}\n'


@pytest.mark.parametrize("as_json", [False, True])
async def test_every_parameter_may_be_in_the_query_or_in_a_json_body(
    rig: WorkflowRig, client: httpx.AsyncClient, as_json: bool
) -> None:
    asked = {"url": "two.war", "workflow_name": "mine", "response_timeout": 7, "startup_timeout": 8}
    given: dict[str, Any] = {"json": asked} if as_json else {"params": asked}
    assert (await client.post("/workflows", **given)).status_code == 200

    spec = rig.node("mine__pre").spec
    assert (spec.response_timeout_s, spec.startup_timeout_s) == (7, 8)


async def test_timeouts_that_a_json_body_leaves_out_are_the_default_ones(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    """TorchServe took them for zero, so that no node could start."""
    assert (await client.post("/workflows", json={"url": "two.war"})).status_code == 200

    assert rig.node("two__pre").spec.response_timeout_s == 120


BAD: dict[str, Any] = {
    "two-starts.war": {"models": {"timeout-ms": 1}, "dag": {"a": ["c"], "b": ["c"]}},
    "self.war": {"models": {"timeout-ms": 1}, "dag": {"a": ["a"]}},
    "twice.war": {"models": {"timeout-ms": 1}, "dag": {"a": ["b", "b"]}},
    "cycle.war": {"models": {"timeout-ms": 1}, "dag": {"a": ["b"], "b": ["c"], "c": ["b"]}},
    "no-models.war": {"dag": {"a": []}},
    "lost.war": {"models": {"m": {"url": "missing.mar"}}, "dag": {"m": []}},
}
REFUSALS = [
    ("", 400, "BadRequestException", "Parameter url is required."),
    ("url=", 404, NO_WORKFLOW, "Workflow not found at: "),
    ("url=other.war", 404, NO_WORKFLOW, "Workflow not found at: other.war"),
    ("url=two-starts.war", 400, "InvalidDAGException", "DAG should have only one start node"),
    ("url=self.war", 400, "InvalidDAGException", "Self loop exception"),
    ("url=twice.war", 400, "InvalidDAGException", "loop exception"),
    ("url=cycle.war", 400, "InvalidDAGException", "Not a valid DAG"),
    (
        "url=no-models.war",
        400,
        "InvalidWorkflowException",
        "Invalid workflow specification: models is missing or empty",
    ),
    (
        "url=two.war&workflow_name=a%20b%2Fc",
        400,
        "InvalidWorkflowException",
        "Workflow name contains special characters: a b/c",
    ),
    (
        "url=lost.war",
        500,
        "WorkflowException",
        "Workflow lost has failed to register. Failures: "
        "[Workflow Node lost__m failed to register. Details: Model not found at: missing.mar]",
    ),
    ("url=two.war&response_timeout=-5", 400, "BadRequestException", "response_timeout cannot be less than 0."),
]


@pytest.mark.parametrize(("query", "status", "kind", "message"), REFUSALS)
async def test_a_registration_that_is_refused_says_why_and_leaves_nothing(
    rig: WorkflowRig, client: httpx.AsyncClient, query: str, status: int, kind: str, message: str
) -> None:
    rig.store.archives.update(BAD)
    is_error(await client.post(f"/workflows?{query}"), status, kind, message)

    assert rig.models() == set()
    assert rig.store.left == 0
    assert (await client.get("/workflows")).json() == {"workflows": []}


@pytest.mark.parametrize("body", ["{", "[]", ""])
async def test_a_body_that_is_no_json_object_is_the_clients_mistake(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/workflows", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["type"]) == (400, "BadRequestException")


async def test_a_name_that_is_taken_is_a_conflict(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await rig.register()
    is_error(
        await client.post("/workflows?url=two.war"),
        409,
        "ConflictStatusException",
        "Workflow two is already registered.",
    )


async def test_a_node_whose_workers_do_not_start_is_named(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    rig.world.worker_error = e.WorkerDied("exit code 1")
    answer = await client.post("/workflows?url=two.war")

    assert (answer.status_code, answer.json()["type"]) == (500, "WorkflowException")
    assert "Failed to start workers for model two__pre version: 1.0" in answer.json()["message"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/workflows?url=two.war"), ("DELETE", "/workflows/two")])
async def test_without_the_model_api_nothing_is_registered_or_unregistered(
    rig: WorkflowRig, method: str, path: str
) -> None:
    await rig.register("diamond.war")
    async with serving(rig, enabled=False) as client:
        assert (await client.request(method, path)).status_code == 405
        assert (await client.get("/workflows/diamond")).status_code == 200


# ---------------------------------------------------------------------------------------------- describing


async def test_a_description_has_torchserves_members_in_their_order(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await rig.register("diamond.war")
    answer = await client.get("/workflows/diamond")

    assert list(answer.json()[0].items()) == [
        ("workflowName", "diamond"),
        ("workflowUrl", "diamond.war"),
        ("minWorkers", 1),
        ("maxWorkers", 1),
        ("batchSize", 1),
        ("maxBatchDelay", 50),
        ("workflowDag", "{pre=[m1, m2], m1=[post], m2=[post]}"),
    ]
    assert (await client.get("/workflows/diamond/whatever")).json() == answer.json()


@pytest.mark.parametrize(
    ("query", "names", "token"),
    [("", "abc", None), ("limit=2", "ab", "2"), ("limit=2&next_page_token=2", "c", None), ("limit=x", "abc", None)],
)
async def test_workflows_are_listed_page_by_page(
    rig: WorkflowRig, client: httpx.AsyncClient, query: str, names: str, token: str | None
) -> None:
    for name in "cab":
        await rig.register(workflow_name=name)
    page = (await client.get(f"/workflows?{query}")).json()

    assert [each["workflowName"] for each in page["workflows"]] == list(names)
    assert all(each["workflowUrl"] == "two.war" for each in page["workflows"])
    assert page.get("nextPageToken") == token


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_workflow_is_not_found(client: httpx.AsyncClient, method: str) -> None:
    is_error(await client.request(method, "/workflows/other"), 404, NO_WORKFLOW, "Workflow not found: other")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/workflows/two", 405),
        ("PATCH", "/workflows", 405),
        ("PUT", "/workflows", 405),
        ("GET", "/workflows/a/b/c/d", 404),
    ],
)
async def test_other_methods_and_longer_paths_are_refused(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert (await client.request(method, path)).status_code == status


async def test_unregistering_says_so(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await rig.register()
    answer = await client.delete("/workflows/two")

    assert answer.json() == {"status": 'Workflow "two" unregistered'}
    assert rig.models() == set()


async def test_a_node_is_not_unregistered_through_the_models_api(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await rig.register()
    is_error(
        await client.delete("/models/two__pre"),
        409,
        "ConflictStatusException",
        "Model two__pre belongs to workflow two: unregister the workflow.",
    )


async def test_the_management_key_is_asked_for(rig: WorkflowRig) -> None:
    async with serving(rig, token="the-token") as client:
        answer = await client.post("/workflows?url=two.war")
        assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException")
        assert rig.models() == set()
        headers = {"authorization": "Bearer the-token"}
        assert (await client.post("/workflows?url=two.war", headers=headers)).status_code == 200


async def test_a_page_of_another_site_registers_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/workflows?url=two.war", headers={"origin": "https://evil.example"})

    assert answer.status_code == 403
