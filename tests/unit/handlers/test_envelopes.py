from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from stoker.handlers.envelopes.base import BaseEnvelope
from stoker.handlers.envelopes.body import BodyEnvelope
from stoker.handlers.envelopes.json import JSONEnvelope
from stoker.handlers.envelopes.kserve import KServeEnvelope
from stoker.handlers.envelopes.kservev2 import KServev2Envelope
from stoker.handlers.util import PredictionException
from stoker.worker.context import Context, RequestProcessor


@pytest.fixture
def context() -> Context:
    context = Context("m", "/", {"model": {"modelName": "m", "modelVersion": "2.0"}}, 1, None, "0.12.0")
    context.request_ids = {0: "the-request"}
    return context


def through(kind: Callable[..., BaseEnvelope], handle: Callable[[Any], Any], rows: Any, context: Any = None) -> Any:
    return kind(lambda data, _: handle(data)).handle(rows, context)


def as_bytes(content: Any) -> bytearray:
    return bytearray(json.dumps(content).encode())


def test_the_body_envelope_hands_over_the_values() -> None:
    assert through(BodyEnvelope, list, [{"data": b"a"}, {"body": 0}]) == [b"a", 0]


def test_nothing_is_parsed_or_formatted_where_there_is_nothing() -> None:
    assert through(JSONEnvelope, lambda data: data, []) == []
    assert through(JSONEnvelope, lambda data: None, [{"data": {"instances": [1]}}]) is None


def test_each_request_gets_the_answers_to_its_own_instances() -> None:
    rows = [{"data": as_bytes({"instances": [1, 2]})}, {"body": {"instances": [3]}}, {"body": '{"instances": []}'}]
    answers = through(JSONEnvelope, lambda data: [each * 10 for each in data], rows)
    assert answers == ['{"predictions": [10, 20]}', '{"predictions": [30]}', '{"predictions": []}']


def test_base64_values_arrive_decoded() -> None:
    seen: list[Any] = []
    rows = [{"data": {"instances": [{"b64": "aGk="}, {"image": {"b64": "aGk="}, "n": 1}]}}]
    through(JSONEnvelope, lambda data: seen.extend(data) or [1, 2], rows)
    assert seen == [b"hi", {"image": b"hi", "n": 1}]


@pytest.mark.parametrize("kind", [JSONEnvelope, KServeEnvelope, KServev2Envelope])
@pytest.mark.parametrize(
    "body", [bytearray(b"{"), bytearray(b"\xff"), bytearray(b"[1]"), {}, None, {"instances": 1, "inputs": 1}]
)
def test_a_body_of_another_format_is_the_clients_mistake(kind: Any, body: Any, context: Context) -> None:
    with pytest.raises(PredictionException) as error:
        through(kind, lambda data: data, [{"body": body}], context)
    assert error.value.error_code == 400


def test_kserve_instances_become_rows_and_answers_predictions(context: Context) -> None:
    rows = [{"body": as_bytes({"instances": [{"data": 1}, {"data": 2}]})}]
    assert through(KServeEnvelope, lambda data: [row["data"] for row in data], rows, context) == [
        {"predictions": [1, 2]}
    ]
    context.request_processor = [RequestProcessor({"explain": "True"})]
    assert through(KServeEnvelope, list, rows, context) == [{"explanations": [{"data": 1}, {"data": 2}]}]


def test_tensors_of_the_open_inference_protocol_arrive_in_their_shape(context: Context) -> None:
    body = {
        "id": "mine",
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "INT32", "data": [1, 2, 3, 4]},
            {"name": "raw", "shape": [1], "datatype": "BYTES", "data": ["text"]},
        ],
    }
    seen: list[Any] = []
    (answer,) = through(
        KServev2Envelope, lambda data: seen.extend(data) or [data[0] * 2, "out"], [{"body": body}], context
    )
    assert seen[0].tolist() == [[1, 2], [3, 4]] and seen[0].dtype == np.int32 and seen[1] == "text"
    assert answer == {
        "id": "mine",
        "model_name": "m",
        "model_version": "2.0",
        "outputs": [
            {"name": "x", "datatype": "INT32", "data": [2, 4, 6, 8], "shape": [2, 2]},
            {"name": "raw", "datatype": "BYTES", "data": ["out"], "shape": [1]},
        ],
    }
    json.dumps(answer)


@pytest.mark.parametrize(
    ("output", "datatype", "data", "shape"),
    [
        (torch.ones(1, 2), "FP32", [1.0, 1.0], [1, 2]),
        ([1.5, 2.5], "FP64", [1.5, 2.5], [2]),
        (3, "INT64", [3], []),
        (True, "BOOL", [True], []),
        ({"cat": 0.5}, "BYTES", ['{"cat": 0.5}'], [1]),
        (b"raw", "BYTES", ["raw"], [1]),
        ([[1], [1, 2]], "BYTES", ["[[1], [1, 2]]"], [1]),
        (["a", "b"], "BYTES", ['["a", "b"]'], [1]),
    ],
)
def test_every_kind_of_answer_has_a_datatype(
    context: Context, output: Any, datatype: str, data: Any, shape: Any
) -> None:
    rows = [{"body": {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}}]
    (answer,) = through(KServev2Envelope, lambda _: [output], rows, context)
    assert answer["id"] == "the-request"
    assert answer["outputs"] == [{"name": "x", "datatype": datatype, "data": data, "shape": shape}]


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "x", "shape": [3], "datatype": "INT32", "data": [1]},
        {"name": "x", "shape": [1], "datatype": "INT32", "data": ["a"]},
        {"name": "x", "shape": [1], "datatype": "INT8", "data": [1000]},
        {"name": "x", "shape": [1], "datatype": "BYTES", "data": []},
        {"name": "x", "shape": [1], "datatype": "NONSENSE", "data": [1]},
        {"name": "x", "shape": [1], "datatype": ["a"], "data": [1]},
        {"name": "x", "datatype": "INT8", "data": [1]},
        {"shape": [1], "datatype": "INT8", "data": [1]},
        "x",
    ],
)
def test_a_tensor_that_is_none_is_the_clients_mistake(context: Context, tensor: Any) -> None:
    with pytest.raises(PredictionException) as error:
        through(KServev2Envelope, list, [{"body": {"inputs": [tensor]}}], context)
    assert error.value.error_code == 400
