"""Rows of tensors for handlers, and tensors of what handlers return."""

from __future__ import annotations

import base64
from array import array
from typing import Any

import numpy as np
import pytest
import torch
from tensor_kit import arrived
from worker_rig import Rig

from stoker.core.tensors import Form, TensorHead, TensorInterface, TensorJob, TensorSpec
from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import JobHeader, Predict
from stoker.tensors import elements, jobs
from stoker.tensors.datatypes import DATATYPES
from stoker.worker.exceptions import PredictionException
from stoker.worker.tensors import TensorCodec

ROWS = TensorInterface(rows=True)


def raw(datatype: str, *values: Any) -> bytearray:
    return bytearray(elements.raw_of(DATATYPES[datatype], values))


def row(job: TensorJob, interface: TensorInterface = ROWS, **inputs: bytearray) -> dict[str, Any]:
    return TensorCodec(interface, "m").row(jobs.encode(job), dict(inputs), {})


def answered(output: Any, interface: TensorInterface = ROWS, form: Form = Form.ROW, names: Any = ("x",)) -> Any:
    header = JobHeader("id", [(name, "", 0) for name in names], {}, None, jobs.encode(TensorJob(form)))
    (answer,) = TensorCodec(interface, "m").answers([header], [output])
    if isinstance(answer, Failure | PredictionException):
        return answer
    _, outputs = arrived(answer)
    return [
        (name, datatype, list(shape), elements.values_of(DATATYPES[datatype], data))
        for name, datatype, shape, data, _, _ in outputs
    ]


# ------------------------------------------------------------------------------------------------- rows


def test_a_row_has_nested_lists_by_name_and_the_only_one_under_data_too() -> None:
    job = TensorJob(Form.ROW, tensors=[TensorHead("FP32", [2, 2])])
    assert row(job, x=raw("FP32", 1, 2, 3, 4)) == {key: [[1, 2], [3, 4]] for key in ("x", "data")}
    two = TensorJob(Form.ROW, tensors=[TensorHead("INT8", []), TensorHead("BOOL", [1])])
    assert row(two, a=raw("INT8", 5), b=raw("BOOL", True)) == {"a": 5, "b": [True]}


def test_one_element_of_bytes_is_a_bytearray_and_several_are_a_list() -> None:
    for shape in ([], [1], [1, 1]):
        got = row(TensorJob(Form.ROW, tensors=[TensorHead("BYTES", shape)]), x=raw("BYTES", b"a\0b"))
        assert got["x"] == bytearray(b"a\0b") and isinstance(got["x"], bytearray)
    several = TensorJob(Form.ROW, tensors=[TensorHead("BYTES", [2])])
    assert row(several, x=raw("BYTES", b"", b"a"))["x"] == [b"", b"a"]
    assert row(TensorJob(Form.WHOLE, tensors=[TensorHead("BYTES", [0])]), x=raw("BYTES"))["x"] == []


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "INT16", "INT64", "UINT64", "FP16", "FP32", "FP64", "BF16"])
@pytest.mark.parametrize("values", ["numpy", "torch"])
def test_arrays_have_the_datatype_and_can_be_written_to(datatype: str, values: str) -> None:
    job = TensorJob(Form.ROW, tensors=[TensorHead(datatype, [1, 2])])
    array = row(job, TensorInterface(rows=True, values=values), x=raw(datatype, 1, 0))["x"]
    assert array.tolist() == [[1, 0]]
    array[0, 0] = 0
    names = {"BOOL": "bool", "BF16": "float32" if values == "numpy" else "bfloat16"}
    plain = datatype.lower().replace("fp", "float")
    assert str(array.dtype).removeprefix("torch.") == names.get(datatype, plain)


def test_parameters_reach_the_handler_unless_an_input_has_their_name() -> None:
    job = TensorJob(Form.ROW, tensors=[TensorHead("INT8", [])], parameters={"p": 1})
    assert row(job, x=raw("INT8", 1))["parameters"] == {"p": 1}
    assert row(job, parameters=raw("INT8", 1))["parameters"] == 1


def test_a_document_is_what_torchserves_handlers_get() -> None:
    heads = [TensorHead("UINT64", [1]), TensorHead("BYTES", [2], {"q": 1}), TensorHead("BYTES", [1], None, True)]
    job = TensorJob(Form.DOCUMENT, "7", heads, {"p": True}, [("out", {})])
    headers: dict[str, Any] = {}
    inputs = {"a": raw("UINT64", 2**63 + 5), "b": raw("BYTES", b"\xff", b""), "c": raw("BYTES", b"text")}
    got = TensorCodec(TensorInterface(), "m").row(jobs.encode(job), inputs, headers)
    assert headers["body"] == {"content-type": "application/json"}
    assert got == {
        "body": {
            "id": "7",
            "model_name": "m",
            "inputs": [
                {"name": "a", "shape": [1], "datatype": "UINT64", "data": [2**63 + 5]},
                {
                    "name": "b",
                    "shape": [2],
                    "datatype": "BYTES",
                    "data": [base64.b64encode(b"\xff").decode(), ""],
                    "parameters": {"q": 1},
                },
                {"name": "c", "shape": [1], "datatype": "BYTES", "data": ["text"]},
            ],
            "parameters": {"p": True},
            "outputs": [{"name": "out"}],
        }
    }


# ---------------------------------------------------------------------------------------------- results

RESULTS: list[tuple[Any, tuple[str, list[int], list[Any]]]] = [
    (True, ("BOOL", [], [True])),
    (3, ("INT64", [], [3])),
    (2**63, ("UINT64", [], [2**63])),
    (0.5, ("FP32", [], [0.5])),
    ([1, 2], ("INT64", [2], [1, 2])),
    ([1, 2.5], ("FP32", [2], [1.0, 2.5])),
    ([[1, 2], [3, 4]], ("INT64", [2, 2], [1, 2, 3, 4])),
    ([], ("FP32", [0], [])),
    (b"raw\0", ("BYTES", [], [b"raw\0"])),
    ("text", ("BYTES", [], [b"text"])),
    ([b"a", b"b"], ("BYTES", [2], [b"a", b"b"])),
    ({"cat": 0.5}, ("BYTES", [], [b'{"cat":0.5}'])),
    (["a", "b"], ("BYTES", [], [b'["a","b"]'])),
    ([[1], [1, 2]], ("BYTES", [], [b"[[1],[1,2]]"])),
    (None, ("BYTES", [], [b"null"])),
    (np.float16([1, 2]), ("FP16", [2], [1.0, 2.0])),
    (np.int32(7), ("INT32", [], [7])),
    (np.array([[1, 2], [3, 4]], order="F"), ("INT64", [2, 2], [1, 2, 3, 4])),
    (np.array(["é", "b"]), ("BYTES", [2], ["é".encode(), b"b"])),
    (torch.ones(1, 2, requires_grad=True), ("FP32", [1, 2], [1.0, 1.0])),
    (torch.tensor([1.5], dtype=torch.bfloat16), ("BF16", [1], [1.5])),
    (torch.tensor(True), ("BOOL", [], [True])),
    ([np.float32(0.5), np.float32(2)], ("FP32", [2], [0.5, 2.0])),
    ([np.ones(2, "int8"), np.zeros(2, "int8")], ("INT8", [2, 2], [1, 1, 0, 0])),
    ([[torch.ones(1)], [torch.zeros(1)]], ("FP32", [2, 1, 1], [1.0, 0.0])),
]


class LyingBytes(bytes):
    def __len__(self) -> int:
        return 1


class LyingBytearray(bytearray):
    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("kind", [LyingBytes, LyingBytearray])
@pytest.mark.parametrize("form", [Form.ROW, Form.WHOLE])
def test_the_length_of_a_text_is_that_of_its_bytes_whatever_its_class_says(kind: type[Any], form: Form) -> None:
    lying = kind(b"text")
    for interface in (ROWS, TensorInterface()):
        assert answered(lying, interface, form)[0][3] == [b"text"]
        assert answered([lying, b"b"], interface, form)[0][3] == [b"text", b"b"]
    assert answered(np.array([lying, "b"], dtype=object))[0][3] == [b"text", b"b"]


def test_a_view_of_numbers_is_as_long_as_its_bytes() -> None:
    numbers = memoryview(array("i", [1, 2]))
    assert answered(numbers)[0][3] == [numbers.tobytes()]


@pytest.mark.parametrize(("result", "wanted"), RESULTS, ids=[repr(result)[:30] for result, _ in RESULTS])
def test_every_kind_of_result_is_a_tensor(result: Any, wanted: Any) -> None:
    assert answered(result) == [("output", *wanted)]


def test_results_without_a_dimension_have_one_where_there_is_no_batch() -> None:
    for result, values in ((3, [3]), ("a", [b"a"]), (b"a", [b"a"])):
        interface = TensorInterface(rows=True, batched=False)
        assert answered(result, interface, Form.WHOLE)[0][2:] == ([1], values)


@pytest.mark.parametrize(
    ("datatype", "result", "values"),
    [
        ("FP64", [1, 2], [1.0, 2.0]),
        ("FP16", np.float32([1, 2]), [1.0, 2.0]),
        ("INT32", torch.tensor([1, 2]), [1, 2]),
        ("BF16", torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        ("UINT8", [1, 2], [1, 2]),
        ("BYTES", ["a", "b"], [b"a", b"b"]),
        ("BOOL", np.int8([1, 0]), [True, False]),
    ],
)
def test_a_configured_datatype_is_kept(datatype: str, result: Any, values: Any) -> None:
    interface = TensorInterface(rows=True, outputs=(TensorSpec("scores", datatype, (-1, 2)),))
    assert answered(result, interface) == [("scores", datatype, [2], values)]


@pytest.mark.parametrize(
    ("datatype", "result"),
    [("INT32", [1.5]), ("FP32", "text"), ("INT8", [1000]), ("BYTES", np.int8([1])), ("FP32", {"other": 1})],
)
def test_a_result_that_is_not_of_the_configured_datatype_fails_its_row_alone(datatype: str, result: Any) -> None:
    interface = TensorInterface(rows=True, outputs=(TensorSpec("scores", datatype, (-1, 1)),))
    failure = answered(result, interface)
    assert isinstance(failure, Failure) and failure.kind == "output" and "scores" in failure.message


def test_a_dict_that_has_an_array_is_a_tensor_each() -> None:
    assert answered({"a": np.int8([1, 2]), "n": 3, "t": "x"}) == [
        ("a", "INT8", [2], [1, 2]),
        ("n", "INT64", [], [3]),
        ("t", "BYTES", [], [b"x"]),
    ]


@pytest.mark.parametrize("arrays", [[np.ones(1), np.ones(2)], [torch.ones(1), torch.ones(2)], [np.ones(1), "x"]])
def test_arrays_that_differ_are_no_tensor(arrays: Any) -> None:
    assert "differ in shape or kind" in answered(arrays).message


@pytest.mark.parametrize("result", [object(), np.datetime64("2026-01-01"), np.complex64(1)])
def test_a_result_that_nothing_can_be_made_of_fails(result: Any) -> None:
    assert isinstance(answered(result), Failure)


def test_a_dict_of_configured_outputs_is_a_tensor_each() -> None:
    outputs = (TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "BYTES", (-1,)))
    interface = TensorInterface(rows=True, outputs=outputs)
    assert answered({"b": "x", "a": 1}, interface) == [("b", "BYTES", [], [b"x"]), ("a", "FP32", [], [1.0])]
    assert answered({"p": np.int8([1])}) == [("p", "INT8", [1], [1])]


def test_a_document_of_the_protocol_is_taken_as_it_is() -> None:
    document = {
        "id": "own",
        "model_name": "n",
        "model_version": "9",
        "outputs": [
            {"name": "a", "datatype": "FP16", "shape": [2, 1], "data": [1.0, 2.0], "parameters": {"p": 1}},
            {"datatype": "BYTES", "shape": [1], "data": ["aGk="]},
        ],
    }
    header = JobHeader("id", [], {}, None, jobs.encode(TensorJob(Form.JSON, names=["in0", "in1"])))
    (sent,) = TensorCodec(TensorInterface(), "m").answers([header], [document])
    head, outputs = arrived(sent)
    assert (head.id, head.model_name, head.model_version) == ("own", "n", "9")
    assert [(t.name, t.datatype, list(t.shape), dict(t.parameters)) for t in outputs] == [
        ("a", "FP16", [2, 1], {"p": 1}),
        ("in1", "BYTES", [1], {}),
    ]
    assert elements.values_of(DATATYPES["BYTES"], outputs[1].data) == [b"aGk="]


@pytest.mark.parametrize("datatype", ["BYTES", "INT8", "FP16", "BOOL"])
@pytest.mark.parametrize("shape", [[0], [2, 0]])
def test_an_output_of_a_document_may_be_empty(datatype: str, shape: list[int]) -> None:
    output = {"name": "a", "datatype": datatype, "shape": shape, "data": []}
    assert answered({"outputs": [output]}, TensorInterface(), Form.DOCUMENT) == [("a", datatype, shape, [])]


@pytest.mark.parametrize(
    "output",
    [
        {"name": "a", "datatype": "INT8", "shape": 1, "data": [1]},
        {"name": "a", "datatype": "INT8", "shape": [-1], "data": [1]},
        {"name": "a", "datatype": "INT8", "data": [1.5]},
        {"name": "a"},
        {"name": "a", "datatype": "X", "data": [1]},
        {"datatype": "INT8", "shape": [3], "data": [1]},
        "x",
    ],
)
def test_a_document_that_is_none_fails_and_the_worker_lives(output: Any) -> None:
    assert isinstance(answered({"outputs": [output]}, TensorInterface(), Form.DOCUMENT), Failure)


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (
            {"datatype": "BYTES", "shape": [3], "data": ["a", 1, {"b": None}]},
            ("BYTES", [3], [b"a", b"1", b'{"b":null}']),
        ),
        ({"datatype": "BYTES", "data": [[1], [2]]}, ("BYTES", [2, 1], [b"1", b"2"])),
        ({"datatype": "INT64", "shape": [2], "data": [1.0, 2]}, ("INT64", [2], [1, 2])),
        ({"datatype": "FP16", "shape": [2], "data": [1, True]}, ("FP16", [2], [1.0, 1.0])),
        ({"datatype": "BOOL", "shape": [2], "data": [1, 0]}, ("BOOL", [2], [True, False])),
    ],
)
def test_an_output_of_a_document_is_of_the_datatype_that_it_names(output: Any, wanted: Any) -> None:
    document = {"outputs": [{"name": "a", **output}]}
    assert answered(document, TensorInterface(), Form.DOCUMENT) == [("a", *wanted)]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "\ud800"},
        {"model_name": "\udfff"},
        {"parameters": {"p": "\ud800"}},
        {"parameters": {"\ud800": 1}},
        {"parameters": {"p": 2**70}},
        {"outputs": [{"name": "\ud800", "data": [1]}]},
    ],
)
def test_what_cannot_be_sent_fails_its_request_and_the_worker_lives(fields: Any) -> None:
    document = {"outputs": [{"name": "a", "data": [1]}], **fields}
    assert "cannot be sent" in answered(document, TensorInterface(), Form.DOCUMENT).message


def test_other_results_of_a_document_are_named_like_its_inputs() -> None:
    plain = TensorInterface()
    assert answered([1.5], plain, Form.DOCUMENT, names=["x", "y"]) == [("x", "FP32", [1], [1.5])]
    assert answered(b"{not json", plain, Form.DOCUMENT, names=[]) == [("output0", "BYTES", [1], [b"{not json"])]


def test_refusals_of_the_handler_stay_what_they_are() -> None:
    assert isinstance(answered(PredictionException("no", 404)), PredictionException)


def test_a_row_that_cannot_be_made_fails_its_request_and_the_worker_lives() -> None:
    rig = Rig(interface=TensorInterface(rows=True, values="numpy"))
    job = jobs.encode(TensorJob(Form.ROW, tensors=[TensorHead("INT32", [2])]))
    for number, data in enumerate([b"odd", raw("INT32", 1, 2)], 1):
        header = JobHeader(f"id-{number}", [("x", "", len(data))], {}, None, job)
        rig.server.send(Predict(number, [header]), bytes(data))
    rig.run(lambda data, _: [row["x"].sum() for row in data])
    first, second = rig.answers()
    rig.close()
    assert first.failures[0].number == 503
    assert not second.failures
