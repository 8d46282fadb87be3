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


@pytest.mark.parametrize("row", [{"instances": [1, 2]}, {"instances": bytearray(b"[1, 2]"), "data": b""}])
def test_a_row_may_hold_the_instances_itself(row: Any) -> None:
    """A form has a field of that name; tests of handlers write it so."""
    assert through(JSONEnvelope, list, [row]) == ['{"predictions": [1, 2]}']


@pytest.mark.parametrize(
    ("instances", "seen"),
    [
        ([{"b64": "aGk="}, {"image": {"b64": "aGk="}, "n": 1}], [b"hi", {"image": b"hi", "n": 1}]),
        ([{"b64": "aGk=", "more": 1}], [{"b64": "aGk=", "more": 1}]),
        ([{"image": {"inner": {"b64": "aGk="}}}], [{"image": {"inner": {"b64": "aGk="}}}]),
        ([{"b64": "aGk="}, 5], [b"hi", 5]),
        ([[1], {"b64": "aGk="}], [[1], {"b64": "aGk="}]),
    ],
)
def test_base64_is_decoded_where_nothing_else_is_in_the_object(instances: Any, seen: Any) -> None:
    got: list[Any] = []
    through(JSONEnvelope, lambda data: got.extend(data) or [1] * len(data), [{"data": {"instances": instances}}])
    assert got == seen


@pytest.mark.parametrize("value", ["aGk", 5, None])
def test_what_is_not_base64_is_the_clients_mistake(value: Any) -> None:
    with pytest.raises(PredictionException) as error:
        through(JSONEnvelope, list, [{"body": {"instances": [{"b64": value}]}}])
    assert error.value.error_code == 400


@pytest.mark.parametrize("kind", [JSONEnvelope, KServeEnvelope, KServev2Envelope])
@pytest.mark.parametrize(
    "body", [bytearray(b"{"), bytearray(b"\xff"), bytearray(b"[1]"), {}, None, {"instances": None, "inputs": 1}]
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


@pytest.mark.parametrize("instances", [{"a": 1}, "text", 5])
def test_kserve_instances_of_any_kind_reach_the_handler(context: Context, instances: Any) -> None:
    rows = [{"body": {"instances": instances}}]
    assert through(KServeEnvelope, lambda data: [data], rows, context) == [{"predictions": [instances]}]


def v2(context: Context, inputs: list[Any], handle: Callable[[Any], Any] = list, **body: Any) -> Any:
    (answer,) = through(KServev2Envelope, handle, [{"body": as_bytes({"inputs": inputs, **body})}], context)
    return answer


def test_inputs_of_the_open_inference_protocol_are_rows_with_nested_data(context: Context) -> None:
    inputs = [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4], "parameters": {"p": 1}},
        {"name": "raw", "shape": [-1], "datatype": "BYTES", "data": ["text", "more"]},
    ]
    seen: list[Any] = []
    answer = v2(context, inputs, lambda data: seen.extend(data) or [[[2, 4], [6, 8]], "out"], id="mine")
    assert seen == [
        {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2], [3, 4]], "parameters": {"p": 1}},
        {"name": "raw", "shape": [-1], "datatype": "BYTES", "data": ["text", "more"]},
    ]
    assert answer == {
        "id": "mine",
        "model_name": "m",
        "model_version": "2.0",
        "outputs": [
            {"name": "x", "datatype": "INT64", "data": [2, 4, 6, 8], "shape": [2, 2]},
            {"name": "raw", "datatype": "BYTES", "data": ["out"], "shape": [1]},
        ],
    }


@pytest.mark.parametrize(
    ("tensor", "data"),
    [
        ({"datatype": "INT64", "shape": [], "data": 5}, 5),
        ({"datatype": "INT8", "shape": [1], "data": [1000]}, [1000]),
        ({"datatype": "INT64", "shape": 3, "data": [1, 2, 3]}, [1, 2, 3]),
        ({"datatype": "INT64", "shape": -1, "data": [1, 2]}, [1, 2]),
        ({"datatype": "INT64", "shape": [2, -1], "data": [1, 2, 3, 4]}, [[1, 2], [3, 4]]),
        ({"datatype": "BOOL", "shape": [1, 2], "data": [True, False]}, [[True, False]]),
        ({"datatype": "FP32", "shape": [3, 0], "data": []}, [[], [], []]),
        ({"datatype": "BYTES", "data": ["a"]}, "a"),
        ({"datatype": "OWN", "shape": [1], "data": ["a"]}, ["a"]),
    ],
)
def test_data_keeps_its_values_and_takes_its_shape(context: Context, tensor: Any, data: Any) -> None:
    seen: list[Any] = []
    v2(context, [{"name": "x", **tensor}], lambda rows: seen.extend(rows) or [0])
    assert seen == [{"name": "x", **tensor, "data": data}]


def test_the_handler_finds_id_and_names_of_its_own_request_on_the_context(context: Context) -> None:
    one = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    with pytest.raises(ZeroDivisionError):
        v2(context, [one], lambda _: 1 / 0, id="failed")
    assert v2(context, [one, one], lambda _: [context.input_names], id=" ")["id"] == "the-request"
    assert v2(context, [one], lambda _: [context.input_request_id], id="mine")["outputs"][0]["data"] == ["mine"]
    assert not hasattr(context, "input_names") and not hasattr(context, "input_request_id")


def test_an_array_keeps_its_shape(context: Context) -> None:
    one = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    (output,) = v2(context, [one], lambda _: [torch.ones(2, 3)])["outputs"]
    assert (output["shape"], output["data"]) == ([2, 3], [1.0] * 6)


def test_every_request_of_a_batch_is_answered_with_its_own_outputs(context: Context) -> None:
    def body(*values: int, **members: Any) -> dict[str, Any]:
        inputs = [{"name": f"x{value}", "shape": [1], "datatype": "INT8", "data": [value]} for value in values]
        return {"body": {"inputs": inputs, **members}}

    rows = [body(1, 2, id="a"), body(3)]
    context.request_ids = {0: "first", 1: "second"}
    answers = through(KServev2Envelope, lambda data: [row["data"] for row in data], rows, context)
    assert [answer["id"] for answer in answers] == ["a", "second"]
    assert [[(o["name"], o["data"]) for o in answer["outputs"]] for answer in answers] == [
        [("x1", [1]), ("x2", [2])],
        [("x3", [3])],
    ]
    with pytest.raises(PredictionException, match="1 outputs of 3 inputs"):
        through(KServev2Envelope, lambda data: [1], rows, context)


def test_more_outputs_than_inputs_are_numbered(context: Context) -> None:
    one = {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
    assert [output["name"] for output in v2(context, [one], lambda _: [1, 2])["outputs"]] == ["x", "output-1"]


@pytest.mark.parametrize(
    ("output", "datatype", "data"),
    [
        (torch.ones(2), "FP32", [1.0, 1.0]),
        (torch.ones(1, requires_grad=True), "FP32", [1.0]),
        (torch.ones(1, dtype=torch.bfloat16), "FP32", [1.0]),
        ([torch.tensor(1), torch.tensor(2)], "INT64", [1, 2]),
        ([1.5, 2.5], "FP32", [1.5, 2.5]),
        (np.array([1.5]), "FP64", [1.5]),
        (np.int32([1]), "INT32", [1]),
        (3, "INT64", [3]),
        (True, "BOOL", [True]),
        (np.float16([1]), "FP16", [1.0]),
        ({"cat": 0.5}, "BYTES", [{"cat": 0.5}]),
        ([{"cat": 0.5}, {"dog": 1}], "BYTES", [{"cat": 0.5}, {"dog": 1}]),
        (None, "BYTES", [None]),
        ("text", "BYTES", ["text"]),
        (b"raw", "BYTES", ["raw"]),
        (["a", "b"], "BYTES", ["a", "b"]),
        ([[1], [1, 2]], "BYTES", [[1], [1, 2]]),
    ],
)
def test_every_kind_of_answer_has_a_datatype(context: Context, output: Any, datatype: str, data: Any) -> None:
    answer = v2(context, [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}], lambda _: [output])
    assert answer["outputs"] == [{"name": "x", "datatype": datatype, "data": data, "shape": [len(data)]}]
    json.dumps(answer)


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "x", "shape": [3], "datatype": "INT32", "data": [1]},
        {"name": "x", "shape": [1], "datatype": "INT32", "data": [[1], [1, 2]]},
        {"name": "x", "shape": [10**9, 0], "datatype": "INT32", "data": []},
        {"name": "x", "shape": ["a"], "datatype": "INT32", "data": [1]},
        {"name": "x", "shape": [1], "datatype": "BYTES", "data": []},
        {"name": "x", "datatype": "INT8", "data": [1]},
        {"shape": [1], "datatype": "INT8", "data": [1]},
        {"name": "x", "shape": [1], "data": [1]},
        "x",
    ],
)
def test_a_tensor_that_is_none_is_the_clients_mistake(context: Context, tensor: Any) -> None:
    with pytest.raises(PredictionException) as error:
        v2(context, [tensor])
    assert error.value.error_code == 400


# ---------------------------------------------------------------------------------------------- one side only


def input_side(kind: Callable[..., BaseEnvelope], handle: Callable[[Any], Any], rows: Any, context: Any = None) -> Any:
    return kind(lambda data, _: handle(data)).handle_input(rows, context)


def output_side(kind: Callable[..., BaseEnvelope], handle: Callable[[Any], Any], rows: Any, context: Any = None) -> Any:
    return kind(lambda data, _: handle(data)).handle_output(rows, context)


@pytest.mark.parametrize(("instances", "output"), [([1, 2], [[1, 2]]), ([1], [1])])
def test_the_first_node_of_a_workflow_reads_the_format_and_answers_in_its_own(
    context: Context, instances: Any, output: Any
) -> None:
    assert input_side(KServeEnvelope, list, [{"body": as_bytes({"instances": instances})}], context) == output


def test_the_first_node_keeps_the_instances_of_each_request_apart() -> None:
    rows = [{"body": as_bytes({"instances": [1, 2]})}, {"body": as_bytes({"instances": [3]})}]

    assert input_side(JSONEnvelope, list, rows) == [[1, 2], 3]


@pytest.mark.parametrize(
    ("kind", "output"),
    [
        (BodyEnvelope, 7),
        (JSONEnvelope, '{"predictions": [7]}'),
        (KServeEnvelope, {"predictions": [7]}),
    ],
)
def test_the_last_node_of_a_workflow_gets_rows_and_answers_each_in_the_format(
    context: Context, kind: Any, output: Any
) -> None:
    rows = [{"body": bytearray(b"a")}, {"body": bytearray(b"b")}]
    seen: list[Any] = []

    assert output_side(kind, lambda data: seen.extend(data) or [7, 7], rows, context) == [output, output]
    assert seen == rows


def test_the_last_node_answers_in_the_open_inference_protocol(context: Context) -> None:
    (answer,) = output_side(KServev2Envelope, lambda data: [[1, 2]], [{"body": b""}], context)

    assert answer["outputs"] == [{"name": "output-0", "datatype": "INT64", "data": [1, 2], "shape": [2]}]


@pytest.mark.parametrize("side", [input_side, output_side])
def test_what_is_no_list_passes_either_side_as_it_is(side: Any, context: Context) -> None:
    assert side(BodyEnvelope, lambda data: None, [{"body": b""}], context) is None
    assert side(BodyEnvelope, lambda data: data, None, context) is None
