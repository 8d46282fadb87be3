"""What asynchronous handlers, vLLM's handler, job tickets and explanations answer, over both engines and REST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from backend_kit import WAYS, Servers, Way, servers
from model_kit import model_directory

from stoker.client import CallError
from stoker.protos import inference_pb2 as pb

CODE = grpc.StatusCode
FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_vllm" / "vllm"
ASYNC = """
import asyncio, os
from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException

async def handle(data, context):
    if data is None:
        return None
    word, _, rest = bytes(data[0]["data"]).decode().partition(" ")
    if word == "parts":
        for number in range(int(rest)):
            send_intermediate_predict_response([f"{number};"], context.request_ids, "", 200, context)
            await asyncio.sleep(0)
        return ["end"]
    if word == "raise":
        raise ValueError("secret of the handler")
    if word == "raise-after-a-part":
        send_intermediate_predict_response(["0;"], context.request_ids, "", 200, context)
        raise ValueError("secret of the handler")
    if word == "code":
        raise PredictionException("not this one", int(rest))
    if word == "cancel-itself":
        raise asyncio.CancelledError
    if word == "rows":
        return [str(len(data)) + str(sorted(context.request_ids))]
    return {"none": None, "nothing": [], "two": ["a", "b"], "object": [object()], "text": "text", "bytes": [b"b"],
            "json": [{"a": 1}], "empty": [""], "number": [7]}[word]
"""
SLOW = """
import time

def handle(data, context):
    if data is not None:
        time.sleep(float(bytes(data[0]["data"])))
        return ["done"] * len(data)
"""
EXPLAINS = """
def handle(data, context):
    if data is not None:
        asked = context.get_request_header(0, "explain")
        return [f"{asked} {len(data)}"] * len(data)
"""
LLM = """
asyncCommunication: true
handler: {model_path: weights}
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    store, workers = tmp_path_factory.mktemp("models"), "minWorkers: 1\nmaxWorkers: 1\n"
    archives = [
        model_directory(
            store, "async", "handler.py", files={"handler.py": ASYNC}, config=workers + "asyncCommunication: true\n"
        ),
        model_directory(
            store, "ticket", "handler.py", files={"handler.py": SLOW}, config=workers + "useJobTicket: true\n"
        ),
        model_directory(
            store, "explains", "handler.py", files={"handler.py": EXPLAINS}, config=workers + "batchSize: 4\n"
        ),
        model_directory(store, "llm", "vllm_handler", config=workers + LLM),
    ]
    shutil.copytree(FAKE, archives[-1] / "vllm")
    (archives[-1] / "weights").mkdir()
    with servers(archives, load_models="all", openai_model="llm") as started:
        yield started


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, started: Servers) -> Way:
    return started.way(request.param)


# -------------------------------------------------------------------------------------------- asynchronous handlers


class Row(NamedTuple):
    asked: str
    text: str
    code: grpc.StatusCode = CODE.OK


ANSWERS = [
    Row("rows", "1[0]"),
    Row("bytes", "b"),
    Row("empty", ""),
    Row("number", "7"),
    Row("parts 0", "end"),
    Row("parts 3", "0;1;2;end"),
    Row("code 404", "not this one", CODE.NOT_FOUND),
    Row("code 429", "not this one", CODE.RESOURCE_EXHAUSTED),
    Row("raise", "Prediction failed", CODE.INTERNAL),
    Row("cancel-itself", "Prediction failed", CODE.INTERNAL),
    Row("none", "Invalid model predict output", CODE.INTERNAL),
    Row("text", "Invalid model predict output", CODE.INTERNAL),
    Row("nothing", "number of batch response mismatched", CODE.INTERNAL),
    Row("two", "number of batch response mismatched", CODE.INTERNAL),
    Row("object", "Unsupported model output data type.", CODE.INTERNAL),
]


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: row.asked)
@pytest.mark.parametrize("call", ["predict", "stream"])
def test_an_asynchronous_call_is_answered_or_fails_alone(way: Way, call: str, row: Row) -> None:
    with ThreadPoolExecutor(1) as callers:
        other = callers.submit(way.stream, "async", {"data": b"parts 50"})
        answer = getattr(way, call)("async", {"data": row.asked.encode()})
        way.check(answer, row.code)
        assert answer.text.partition("\n")[0] == row.text
        way.check(other.result(), CODE.OK)


def test_json_is_indented_as_for_any_handler(way: Way) -> None:
    assert json.loads(way.predict("async", {"data": b"json"}).text) == {"a": 1}


def test_an_error_after_a_part_ends_the_stream_with_it(way: Way) -> None:
    if way.is_rest:
        with pytest.raises(httpx.RemoteProtocolError):
            way.stream("async", {"data": b"raise-after-a-part"})
        return
    stream = way.client.predict_stream("async", b"raise-after-a-part", timeout=60)
    assert next(stream).text == "0;"
    with pytest.raises(Exception, match="INTERNAL: Prediction failed"):
        next(stream)


# ------------------------------------------------------------------------------------------------------ vLLM's paths


CHAT = {"model": "weights", "messages": [{"role": "user", "content": "count"}]}
COMPLETION = {"model": "weights", "prompt": "count"}
ASKED: dict[str, tuple[str, Any, int, str]] = {
    "models": ("v1/models", None, 200, '"id":"weights"'),
    "a chat": ("v1/chat/completions", CHAT, 200, '"content":"0 1 2 "'),
    "a completion": ("v1/completions", COMPLETION, 200, '"text":"0 1 2 "'),
    "a slash in front": ("/v1/completions", COMPLETION, 200, '"text":"0 1 2 "'),
    "events": ("v1/completions", {**COMPLETION, "stream": True}, 200, "data: [DONE]"),
    "an unknown model": ("v1/completions", {**COMPLETION, "model": "no"}, 404, "does not exist"),
    "no JSON": ("v1/completions", "{", 400, "the request is not valid"),
    "no object": ("v1/completions", "[1]", 400, "the request is not valid"),
    "nothing asked": ("v1/completions", {}, 400, "the request is not valid"),
    "an unknown path of vLLM's": ("v1/nothing", {}, 404, "Not Found"),
    "a path beside vLLM's": ("metrics", {}, 404, "Unknown API endpoint: metrics"),
    "a path that leads out": ("v1/../metrics", {}, 404, ""),
    "another version of the API": ("v2/models", {}, 404, "Unknown API endpoint: v2/models"),
}


def asked_of_vllm(way: Way, path: str, body: Any) -> tuple[int, str]:
    """Returns status and text. Over gRPC an error of vLLM is an answer with its status beside it."""
    data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if way.is_rest:
        address = f"{way.server.inference}/predictions/llm/1.0/{path.lstrip('/')}"
        headers = {"content-type": "application/json"} if data else {}
        answered = httpx.request("POST" if data else "GET", address, content=data, headers=headers, timeout=60)
        return answered.status_code, answered.text
    inputs = {"url_path": path.encode(), **({"data": data} if data else {})}
    try:
        prediction = way.client.predict("llm", inputs, timeout=60)
    except CallError as error:
        return {CODE.NOT_FOUND: 404}.get(error.code, 0), error.message
    return int(prediction.headers.get("ts-status", 200)), prediction.text


@pytest.mark.parametrize("name", ASKED)
def test_vllm_answers_its_paths_with_its_status(way: Way, name: str) -> None:
    path, body, status, text = ASKED[name]
    answered, answer = asked_of_vllm(way, path, body)
    assert answered == status
    assert text in answer


# ------------------------------------------------------------------------------------------------------ job tickets


def test_a_request_without_a_ticket_is_refused_at_once_and_the_next_one_gets_it(way: Way) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: way.predict("ticket", {"data": b"0.5"}), range(8)))
    served = [answer for answer in answers if answer.code is CODE.OK]
    refused = [answer for answer in answers if answer.code is not CODE.OK]
    assert served and refused
    for answer in refused:
        way.check(answer, CODE.RESOURCE_EXHAUSTED)
    way.check(way.predict("ticket", {"data": b"0"}), CODE.OK)


# ----------------------------------------------------------------------------------------------------- explanations


def explained(way: Way, named: str, *metadata: tuple[str, str]) -> str:
    if way.is_rest:
        path = named if "/" in named else f"predictions/{named}"
        return httpx.post(f"{way.server.inference}/{path}", content=b"x", headers=dict(metadata), timeout=60).text
    with grpc.insecure_channel(way.server.endpoint.inference) as channel:
        request = pb.PredictionsRequest(model_name=named, input={"data": b"x"})
        call = channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions")
        return pb.PredictionResponse.FromString(
            call(request.SerializeToString(), metadata=metadata)
        ).prediction.decode()


def test_an_explanation_is_asked_by_its_path_and_comes_alone(way: Way) -> None:
    assert explained(way, "explanations/explains") == "True 1"
    assert explained(way, "explains") != "True 1"


@pytest.mark.parametrize("value", ["true", "True", "1"])
def test_over_grpc_metadata_asks_for_an_explanation_and_over_rest_a_header_does_not(way: Way, value: str) -> None:
    assert (explained(way, "explains", ("explain", value)) == "True 1") is not way.is_rest


@pytest.mark.parametrize("value", ["false", "", "0", "yes"])
def test_other_words_ask_for_no_explanation(way: Way, value: str) -> None:
    assert explained(way, "explains", ("explain", value)) != "True 1"
