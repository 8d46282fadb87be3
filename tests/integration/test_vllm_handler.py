"""`vllm_handler` in a real worker, around a fake of vLLM (`tests/support/fake_vllm`): no engine of vLLM runs here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_kit import model_directory

from stoker.client import Client
from stoker.testing.server import RunningServer, running_server

NAME = "llm"
FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_vllm" / "vllm"
PREFIX = f"/predictions/{NAME}/1.0/v1"
CONFIG = """
minWorkers: 1
maxWorkers: 1
asyncCommunication: true
handler:
  model_path: weights
  adapters: {poet: lora, far: org/far}
  chat_template: "{{ messages }}"
  vllm_engine_config: {max_model_len: 128, no_such_argument: 1}
"""
CHAT = {"model": "weights", "messages": [{"role": "user", "content": "count"}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    model = model_directory(tmp_path_factory.mktemp("archives"), NAME, "vllm_handler", config=CONFIG)
    (model / "weights").mkdir()
    (model / "lora").mkdir()
    shutil.copytree(FAKE, model / "vllm")
    with running_server(archives=[model], settings={"load_models": "all", "openai_model": NAME}) as server:
        yield server


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.inference, timeout=60) as client:
        yield client


@pytest.mark.parametrize("prefix", [PREFIX, "/v1"])
def test_models_are_listed_with_what_the_config_says_of_the_engine(http: httpx.Client, prefix: str) -> None:
    answer = http.get(f"{prefix}/models")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert [model["id"] for model in document["data"]] == ["weights", "poet", "far"]
    lora = dict(document["facts"]["lora"])
    assert lora["poet"].endswith("/lora")
    assert Path(lora["poet"]).is_absolute()
    assert lora["far"] == "org/far"
    assert document["facts"]["max_model_len"] == 128
    assert document["facts"]["template"] == "{{ messages }}"


def test_an_argument_that_vllm_lacks_is_named_in_the_log(server: RunningServer, http: httpx.Client) -> None:
    assert http.get("/v1/models").status_code == 200
    assert "vllm has no argument no_such_argument" in server.console


@pytest.mark.parametrize("path", [f"{PREFIX}/chat/completions", "/v1/chat/completions", f"/predictions/{NAME}"])
def test_a_chat_is_answered_as_json(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json=CHAT)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["choices"][0]["message"]["content"] == "0 1 2 "


@pytest.mark.parametrize("path", [f"{PREFIX}/completions", "/v1/completions", f"/predictions/{NAME}"])
def test_a_completion_streams_events_and_the_last_one_is_done(http: httpx.Client, path: str) -> None:
    with http.stream("POST", path, json={"model": "poet", "prompt": "x", "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = "".join(answer.iter_text()).split("\n\n")
    assert events.pop() == ""
    assert events.pop() == "data: [DONE]"
    assert [json.loads(event[6:])["choices"][0]["text"] for event in events] == ["0 ", "1 ", "2 "]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        (f"{PREFIX}/chat/completions", {"content": json.dumps({**CHAT, "model": "no"})}, 404, "does not exist"),
        (f"{PREFIX}/chat/completions", {"content": "{"}, 400, "not valid"),
        (f"{PREFIX}/completions", {"content": "{}"}, 400, "not valid"),
        (f"{PREFIX}/nothing", {"content": "{}"}, 404, "Not Found"),
        (f"/predictions/{NAME}/1.0/metrics", {"content": "{}"}, 404, "Unknown API endpoint: metrics"),
        (f"/predictions/{NAME}", {"content": "{}"}, 404, "Unknown API endpoint: "),
    ],
)
def test_errors_are_vllms_with_their_status(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    answer = http.post(path, headers={"content-type": "application/json"}, **body)
    assert answer.status_code == status
    assert text in answer.text


MEMBERS: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "é\u4e2d\U0001f600\n"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ],
    "stop": ["\n\n", "."],
    "n": 2,
    "logprobs": True,
    "top_logprobs": 0,
    "stream_options": {"include_usage": True},
    "max_completion_tokens": None,
    "temperature": 1e-7,
    "seed": 2**53 + 1,
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
}


@pytest.mark.parametrize("path", [f"{PREFIX}/chat/completions", "/v1/chat/completions", f"/predictions/{NAME}"])
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_every_member_reaches_vllm_as_it_was_sent(http: httpx.Client, path: str, kind: str) -> None:
    asked = {"model": "weights", **MEMBERS}
    answer = http.post(path, content=json.dumps(asked), headers={"content-type": kind})
    assert answer.json()["asked"] == asked


def test_streams_run_at_the_same_time_and_leaving_one_leaves_the_other(http: httpx.Client) -> None:
    body = {**CHAT, "stream": True, "max_tokens": 100_000}
    before = http.get("/v1/models").json()["aborted"]
    with http.stream("POST", "/v1/chat/completions", json=body) as stays:
        staying = stays.iter_text()
        with http.stream("POST", f"{PREFIX}/chat/completions", json=body) as leaves:
            leaving = leaves.iter_text()
            for _ in range(3):
                assert next(staying).startswith("data: ") and next(leaving).startswith("data: ")
        while http.get("/v1/models").json()["aborted"] == before:
            pass
        assert next(staying).startswith("data: ")
        assert http.get("/v1/models").json()["aborted"] == before + 1


def test_a_client_that_leaves_aborts_its_request_in_the_engine(http: httpx.Client) -> None:
    before = http.get("/v1/models").json()["aborted"]
    body = {**CHAT, "stream": True, "max_tokens": 100_000}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_text())
    while http.get("/v1/models").json()["aborted"] == before:
        pass


def test_over_grpc_an_input_names_the_path_and_parts_are_the_events(server: RunningServer) -> None:
    body = json.dumps({**CHAT, "stream": True}).encode()
    with Client(server.endpoint) as client:
        inputs = {"url_path": b"v1/chat/completions", "data": body}
        parts = [part.text for part in client.predict_stream(NAME, inputs, timeout=60)]
    assert len(parts) == 4
    assert parts[-1] == "data: [DONE]\n\n"
