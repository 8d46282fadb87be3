"""Workflows answer over HTTP at TorchServe's paths, with the status that fits the cause of a failure."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from http_workflow_kit import NO_WORKFLOW, is_error, serving
from waiting import until
from workflow_fakes import WorkflowRig

from stoker import errors as e
from stoker.core.ports import RegisterRequest
from stoker.core.reply import Chunk


@pytest.mark.parametrize("output", [b"It's a cat!", b"\x80\x02torch", b"42", b"null", b'{\n  "a": 1\n}'])
async def test_the_only_leaf_is_answered_untouched_and_always_as_json(
    rig: WorkflowRig, client: httpx.AsyncClient, output: bytes
) -> None:
    await rig.register()
    rig.node("two__post").answer = output
    answer = await client.post("/wfpredict/two", content=b"picture")

    assert (answer.status_code, answer.content) == (200, output)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]


async def test_several_leaves_are_one_object_in_the_order_of_the_specification(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    rig.store.archives["fork.war"] = {"models": {"timeout-ms": 9}, "dag": {"a": ["c", "b"]}}
    await rig.register("fork.war")
    rig.node("fork__b").answer, rig.node("fork__c").answer = b"text", '{"x": null, "é": 1}'.encode()
    answer = await client.post("/wfpredict/fork")

    assert answer.text == '{\n  "c": {\n    "x": null,\n    "é": 1\n  },\n  "b": "text"\n}\n'


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_any_method_predicts(rig: WorkflowRig, client: httpx.AsyncClient, method: str) -> None:
    await rig.register()
    assert (await client.request(method, "/wfpredict/two")).content == b"answer"


@pytest.mark.parametrize("path", ["/wfpredict/two", "/WfPredict/two", "/wfpredict/two/1.0/more", "/wfpredict/two?a=b"])
async def test_the_first_word_is_read_in_any_case_and_what_follows_the_name_is_ignored(
    rig: WorkflowRig, client: httpx.AsyncClient, path: str
) -> None:
    await rig.register()
    assert (await client.post(path, content=b"x")).content == b"answer"
    (job,) = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in job.inputs] == [("body", b"x")]


@pytest.mark.parametrize("path", ["/wfpredict/other", "/wfpredict/Two"])
async def test_an_unknown_name_is_no_workflow(rig: WorkflowRig, client: httpx.AsyncClient, path: str) -> None:
    await rig.register()
    await rig.registry.register(RegisterRequest(url="other@1.0"))
    name = path.rpartition("/")[2]

    is_error(await client.post(path), 404, NO_WORKFLOW, f"Workflow not found: {name}")


@pytest.mark.parametrize("path", ["/wfpredict", "/wfpredict/"])
async def test_without_a_name_there_is_nothing(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path)).status_code == 404


async def test_every_node_gets_the_clients_headers_and_none_of_the_servers_own(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await rig.register()
    await client.post("/wfpredict/two", content=b"{}", headers={"Content-Type": "application/json", "X-Mine": "1"})

    for node in ("two__pre", "two__post"):
        headers = {name.lower(): value for name, value in (rig.node(node).jobs[0].headers or {}).items()}
        assert headers["x-mine"] == "1"
        assert headers["content-type"] == "application/json"
        assert not {"explain", "url_path"} & set(headers)


async def test_the_start_node_gets_fields_of_a_form_and_the_type_of_a_body(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await rig.register()
    await client.post("/wfpredict/two", data={"a": "1", "b": "2"})
    await client.post("/wfpredict/two", json={"c": 3})

    form, body = rig.node("two__pre").jobs
    assert [(each.name, bytes(each.value)) for each in form.inputs] == [("a", b"1"), ("b", b"2")]
    assert [(each.name, each.content_type) for each in body.inputs] == [("body", "application/json")]


async def test_the_id_of_the_answer_is_in_the_id_that_each_node_sees(
    rig: WorkflowRig, client: httpx.AsyncClient
) -> None:
    await rig.register()
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
    await rig.register()
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
    await rig.register("once.war")
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
    await rig.register()
    rig.node("two__post").error = error
    async with serving(rig, workflow_status_codes="torchserve") as client:
        is_error(await client.post("/wfpredict/two"), 500, "InternalServerException", message)


async def test_a_full_queue_is_429_where_that_is_asked_for(rig: WorkflowRig) -> None:
    await rig.register()
    rig.node("two__post").error = e.QueueFull("two__post")
    async with serving(rig, queue_full_status=429) as client:
        answer = await client.post("/wfpredict/two")

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_the_inference_key_is_asked_for(rig: WorkflowRig) -> None:
    await rig.register()
    async with serving(rig, token="the-token") as client:
        answer = await client.post("/wfpredict/two")
        assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException")
        headers = {"authorization": "Bearer the-token"}
        assert (await client.post("/wfpredict/two", headers=headers)).status_code == 200


async def test_parts_of_the_leaf_arrive_as_they_come(rig: WorkflowRig, client: httpx.AsyncClient) -> None:
    await rig.register()
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
    await rig.register()
    leaf = rig.node("two__post")
    leaf.held = True
    asked = asyncio.ensure_future(client.post("/wfpredict/two"))
    await until(lambda: bool(leaf.jobs))
    asked.cancel()

    await asyncio.wait_for(rig.workflows.drain(20), 20)
