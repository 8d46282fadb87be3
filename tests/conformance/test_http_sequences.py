"""Sequences over HTTP: which header names them, what the handler sees, what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from grpc_fakes import answering
from http_fakes import HttpPorts, Running, running

from stoker import errors as e
from stoker.core.reply import ResponseMeta
from stoker.core.sequences import SequenceLimits

TEXT = {"content-type": "text/plain"}
OURS = ("ts_request_sequence_id", "ts_request_sequence_start", "ts_request_sequence_end", "ts_request_sequence_opened")


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    ports = HttpPorts()
    ports.inference.sequences = SequenceLimits(max_idle_s=1.0)
    ports.inference.on_submit = answering(b"x")
    async with running(ports) as it:
        yield it


async def ask(server: Running, headers: dict[str, str], path: str = "/predictions/m") -> tuple[str, dict[str, str]]:
    """Returns the id in the answer, and what of the sequence the handler sees."""
    response = await server.client.post(path, content="1", headers={**TEXT, **headers})
    assert response.status_code == 200
    seen = server.inference.submissions[-1].headers or {}
    found = {name: value for name, value in seen.items() if name.lower() in OURS}
    return response.headers["ts_request_sequence_id"], found


@pytest.mark.parametrize("name", ["ts_request_sequence_id", "TS_Request_Sequence_ID"])
async def test_a_header_names_the_sequence_in_any_case(server: Running, name: str) -> None:
    assert await ask(server, {name: "s"}) == ("s", {"ts_request_sequence_id": "s"})


async def test_a_request_without_the_header_begins_a_sequence_and_learns_its_id(server: Running) -> None:
    begun = {"ts_request_sequence_id": "ts-seq-generated", "ts_request_sequence_start": "true"}
    assert await ask(server, {}) == ("ts-seq-generated", begun)
    assert await ask(server, {"ts_request_sequence_id": ""}) == ("ts-seq-generated", begun)


@pytest.mark.parametrize(("flag", "true"), [("true", True), ("1", True), ("false", False), ("", False)])
async def test_flags_reach_the_handler_only_where_they_are_true(server: Running, flag: str, true: bool) -> None:
    flags = {"ts_request_sequence_start": flag, "ts_request_sequence_end": flag}
    _, found = await ask(server, {"ts_request_sequence_id": "s", **flags})
    assert found == {"ts_request_sequence_id": "s", **(dict.fromkeys(flags, "true") if true else {})}


async def test_a_client_cannot_claim_that_its_request_opens_the_sequence(server: Running) -> None:
    _, found = await ask(server, {"ts_request_sequence_id": "s", "ts_request_sequence_opened": "true"})
    assert found == {"ts_request_sequence_id": "s"}


async def test_a_handlers_own_header_is_kept(server: Running) -> None:
    meta = ResponseMeta(headers={"ts_request_sequence_id": "own", "ts_request_sequence_end": "own"})
    server.inference.on_submit = answering(b"x", meta=meta)
    response = await server.client.post("/predictions/m", content="1", headers={**TEXT, "ts_request_sequence_id": "s"})
    assert response.headers.get_list("ts_request_sequence_id") == ["own"]
    assert response.headers["ts_request_sequence_end"] == "own"


async def test_an_answer_in_parts_names_the_sequence_before_the_first(server: Running) -> None:
    server.inference.on_submit = answering(b"one", b"two")
    response = await server.client.post("/predictions/m", content="1", headers={**TEXT, "ts_request_sequence_id": "s"})
    assert (response.text, response.headers["ts_request_sequence_id"]) == ("onetwo", "s")


async def test_a_form_field_names_the_sequence_too(server: Running) -> None:
    response = await server.client.post("/predictions/m", data={"data": "1", "ts_request_sequence_id": "field"})
    assert response.headers["ts_request_sequence_id"] == "field"


@pytest.mark.parametrize("id", ["a;b", "x" * 257])
async def test_what_cannot_be_an_id_is_400(server: Running, id: str) -> None:
    response = await server.client.post("/predictions/m", content="1", headers={"ts_request_sequence_id": id})
    assert (response.status_code, response.json()["type"]) == (400, "BadRequestException")
    assert response.json()["message"].startswith("The id of a sequence is")


@pytest.mark.parametrize("error", [e.TooManySequences("m"), e.SequenceQueueFull("m"), e.SequenceClosed("m")])
async def test_limits_and_closed_sequences_are_503_with_torchserves_text(server: Running, error: Exception) -> None:
    server.inference.refusal = error
    response = await server.client.post("/predictions/m", content="1", headers={"ts_request_sequence_id": "s"})
    assert (response.status_code, response.json()["type"]) == (503, "ServiceUnavailableException")
    assert response.json()["message"] == str(e.NoWorkers("m"))


async def test_a_model_without_sequences_gets_the_headers_as_they_are(server: Running) -> None:
    server.inference.sequences = None
    headers = {**TEXT, "ts_request_sequence_id": "a;b", "ts_request_sequence_start": "false"}
    response = await server.client.post("/predictions/m", content="1", headers=headers)
    assert response.status_code == 200
    assert "ts_request_sequence_id" not in response.headers
    seen = server.inference.submissions[-1].headers or {}
    assert (seen["ts_request_sequence_id"], seen["ts_request_sequence_start"]) == ("a;b", "false")
