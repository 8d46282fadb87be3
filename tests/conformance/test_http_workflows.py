"""Workflows over real HTTP: every row of TorchServe's contract, with a registry behind it whose workers are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from grpc_fakes import until
from http_fakes import FakeAuthorizer, HttpPorts, client_of
from workflow_fakes import WorkflowRig

from stoker import errors as e
from stoker.core.ports import RegisterRequest
from stoker.core.reply import Chunk
from stoker.core.workflows import RegisterWorkflowRequest
from stoker.frontend.http.app import Api, App
from stoker.frontend.http.guards import BrowserGuard
from stoker.frontend.http.management import management_api
from stoker.frontend.http.workflows import workflow_routes

NO_WORKFLOW = "WorkflowNotFoundException"


@asynccontextmanager
async def serving(
    rig: WorkflowRig, *, enabled: bool = True, token: str | None = None, **ports: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """One listener with both APIs, over ``rig``."""
    authorizer = FakeAuthorizer(token)
    api = management_api(rig.registry, authorizer=authorizer, guard=BrowserGuard(), model_api_enabled=enabled)
    routes = [*api.routes, *workflow_routes(rig.workflows, enabled=enabled)]
    app = App([Api(routes=routes, admit=api.admit)])
    made = HttpPorts(inference=rig.registry, authorizer=authorizer, **ports)  # type: ignore[arg-type]
    async with made.listener(app=app) as listener, client_of(f"http://127.0.0.1:{listener.port}") as client:
        yield client


@pytest.fixture
async def rig() -> WorkflowRig:
    return WorkflowRig()


@pytest.fixture
async def client(rig: WorkflowRig) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(rig) as it:
        yield it


async def register(rig: WorkflowRig, url: str = "two.war", **values: Any) -> None:
    await rig.workflows.register_workflow(RegisterWorkflowRequest(url=url, **values))


def is_error(answer: httpx.Response, status: int, kind: str, message: str) -> None:
    assert answer.json() == {"code": status, "type": kind, "message": message}
    assert answer.status_code == status


# ---------------------------------------------------------------------------------------------- registering


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
    await register(rig)
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
    await register(rig, "diamond.war")
    async with serving(rig, enabled=False) as client:
        assert (await client.request(method, path)).status_code == 405
        assert (await client.get("/workflows/diamond")).status_code == 200


# ---------------------------------------------------------------------------------------------- describing


async def test_a_description_has_torchserves_members_in_their_order(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await register(rig, "diamond.war")
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
        await register(rig, workflow_name=name)
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
    await register(rig)
    answer = await client.delete("/workflows/two")

    assert answer.json() == {"status": 'Workflow "two" unregistered'}
    assert rig.models() == set()


async def test_a_node_is_not_unregistered_through_the_models_api(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await register(rig)
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


# ---------------------------------------------------------------------------------------------- predicting


@pytest.mark.parametrize("output", [b"It's a cat!", b"\x80\x02torch", b"42", b"null", b'{\n  "a": 1\n}'])
async def test_the_only_leaf_is_answered_untouched_and_always_as_json(
    rig: WorkflowRig, client: httpx.AsyncClient, output: bytes
) -> None:
    await register(rig)
    rig.node("two__post").answer = output
    answer = await client.post("/wfpredict/two", content=b"picture")

    assert (answer.status_code, answer.content) == (200, output)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]


async def test_several_leaves_are_one_object_in_the_order_of_the_specification(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["c", "b"]}}
    await register(rig, "fork.war")
    rig.node("fork__b").answer, rig.node("fork__c").answer = b"text", '{"x": null, "é": 1}'.encode()
    answer = await client.post("/wfpredict/fork")

    assert answer.text == '{\n  "c": {\n    "x": null,\n    "é": 1\n  },\n  "b": "text"\n}\n'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_any_method_predicts(rig: WorkflowRig, client: httpx.AsyncClient, method: str) -> None:
    await register(rig)
    assert (await client.request(method, "/wfpredict/two")).content == b"answer"


@pytest.mark.parametrize("path", ["/wfpredict/two", "/WfPredict/two", "/wfpredict/two/1.0/more", "/wfpredict/two?a=b"])
async def test_the_first_word_is_read_in_any_case_and_what_follows_the_name_is_ignored(
    rig: WorkflowRig, client: httpx.AsyncClient, path: str
) -> None:
    await register(rig)
    assert (await client.post(path, content=b"x")).content == b"answer"
    (job,) = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in job.inputs] == [("body", b"x")]


@pytest.mark.parametrize("path", ["/wfpredict/other", "/wfpredict/Two"])
async def test_an_unknown_name_is_no_workflow(rig: WorkflowRig, client: httpx.AsyncClient, path: str) -> None:
    await register(rig)
    await rig.registry.register(RegisterRequest(url="other@1.0"))
    name = path.rpartition("/")[2]

    is_error(await client.post(path), 404, NO_WORKFLOW, f"Workflow not found: {name}")


@pytest.mark.parametrize("path", ["/wfpredict", "/wfpredict/"])
async def test_without_a_name_there_is_nothing(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path)).status_code == 404


async def test_every_node_gets_the_clients_headers_and_none_of_the_servers_own(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await register(rig)
    await client.post("/wfpredict/two", content=b"{}", headers={"Content-Type": "application/json", "X-Mine": "1"})

    for node in ("two__pre", "two__post"):
        headers = {name.lower(): value for name, value in (rig.node(node).jobs[0].headers or {}).items()}
        assert headers["x-mine"] == "1"
        assert headers["content-type"] == "application/json"
        assert not {"explain", "url_path"} & set(headers)


async def test_the_start_node_gets_fields_of_a_form_and_the_type_of_a_body(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await register(rig)
    await client.post("/wfpredict/two", data={"a": "1", "b": "2"})
    await client.post("/wfpredict/two", json={"c": 3})

    form, body = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in form.inputs] == [("a", b"1"), ("b", b"2")]
    assert [(each.name, each.content_type) for each in body.inputs] == [("body", "application/json")]


async def test_the_id_of_the_answer_is_in_the_id_that_each_node_sees(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await register(rig)
    answer = await client.post("/wfpredict/two")

    assert rig.node("two__post").jobs[0].id == f"{answer.headers['x-request-id']}/post"


FAILURES: list[tuple[e.ServingError, int, str]] = [
    (e.HandlerRaised(), 500, "Prediction failed"),
    (e.HandlerRefused("bad picture", 422), 422, "bad picture"),
    (e.InvalidOutput("Invalid model predict output"), 500, "Invalid model predict output"),
    (e.OutOfResources(), 507, "Out of resources"),
    (e.WorkerOutOfMemory("it was too large"), 507, "Worker died. Cause: it was too large"),
    (e.ResponseTooLarge(2, 1), 507, "The response is larger than max_response_size: 2 bytes, the limit is 1."),
    (e.NoWorkers("two__post"), 503, e.NoWorkers("two__post").message),
    (e.QueueFull("two__post"), 503, e.QueueFull("two__post").message),
    (e.ModelUnregistered(model="m"), 503, 'Model "m" was unregistered before the request was served.'),
]


@pytest.mark.parametrize(("error", "status", "cause"), FAILURES, ids=lambda value: type(value).__name__)
async def test_a_node_that_fails_is_named_with_its_cause_and_a_status_of_its_own(
    rig: WorkflowRig, client: httpx.AsyncClient, error: e.ServingError, status: int, cause: str
) -> None:
    await register(rig)
    rig.node("two__post").error = error
    answer = await client.post("/wfpredict/two")

    assert answer.status_code == status
    assert answer.json()["message"] == f"Error executing post: {cause}"


@pytest.mark.parametrize(
    ("error", "status"),
    [(e.DeadlineExceeded(), 504), (e.WorkerDied("killed"), 503), (e.ResponseTimeout(seconds=1), 504)],
)
async def test_what_was_tried_again_in_vain_has_its_own_status_too(
    rig: WorkflowRig, client: httpx.AsyncClient, error: e.ServingError, status: int
) -> None:
    rig.store.archives["once.war"] = {"models": {"retry-attempts": 0, "timeout-ms": 9}, "dag": {"a": []}}
    await register(rig, "once.war")
    rig.node("once__a").error = error

    assert (await client.post("/wfpredict/once")).status_code == status


STRICT: list[tuple[e.ServingError, str]] = [
    (e.HandlerRaised(), "Error executing post"),
    (e.HandlerRefused("bad picture", 422), "Error executing post"),
    (e.NoWorkers("two__post"), e.NoWorkers("two__post").message),
    (e.QueueFull("two__post"), e.QueueFull("two__post").message),
]


@pytest.mark.parametrize(("error", "message"), STRICT, ids=lambda value: type(value).__name__)
async def test_torchserves_own_answers_are_there_for_who_wants_them(
    rig: WorkflowRig, error: e.ServingError, message: str
) -> None:
    await register(rig)
    rig.node("two__post").error = error
    async with serving(rig, workflow_status_codes="torchserve") as client:
        is_error(await client.post("/wfpredict/two"), 500, "InternalServerException", message)


async def test_a_full_queue_is_429_where_that_is_asked_for(rig: WorkflowRig) -> None:
    await register(rig)
    rig.node("two__post").error = e.QueueFull("two__post")
    async with serving(rig, queue_full_status=429) as client:
        answer = await client.post("/wfpredict/two")

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_the_inference_key_is_asked_for(rig: WorkflowRig) -> None:
    await register(rig)
    async with serving(rig, token="the-token") as client:
        answer = await client.post("/wfpredict/two")
        assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException")
        headers = {"authorization": "Bearer the-token"}
        assert (await client.post("/wfpredict/two", headers=headers)).status_code == 200


async def test_parts_of_the_leaf_arrive_as_they_come(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await register(rig)
    leaf = rig.node("two__post")
    leaf.held = True

    async def parts() -> None:
        await until(lambda: bool(leaf.jobs))
        leaf.jobs[0].reply.push_parts([Chunk(b"one")], 3)

    seen = []
    sending = asyncio.ensure_future(parts())
    async with client.stream("POST", "/wfpredict/two", content=b"x") as answer:
        async for part in answer.aiter_raw():
            seen.append(part)
            if part == b"one":
                leaf.jobs[0].reply.push(Chunk(b"end"), last=True)
    await sending

    assert seen == [b"one", b"end"]
    assert answer.headers["content-type"] == "application/json"


async def test_a_client_that_leaves_ends_the_request(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await register(rig)
    leaf = rig.node("two__post")
    leaf.held = True
    asked = asyncio.ensure_future(client.post("/wfpredict/two"))
    await until(lambda: bool(leaf.jobs))
    asked.cancel()

    await asyncio.wait_for(rig.workflows.drain(20), 20)
