"""Tensors in, tensors out: raw and typed contents, rows of a batch, parameters."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc_fakes import Running
from open_inference_kit import CODE, STANDARD, TORCHSERVE, Client, X
from tensor_kit import answer, answering, raw, raw_request, typed_request

from stoker import errors as e
from stoker.core.reply import ResponseMeta
from stoker.core.tensors import Form, Tensor
from stoker.protos import grpc_predict_v2_pb2 as pb


@pytest.mark.parametrize("service", [STANDARD, TORCHSERVE])
async def test_raw_contents_come_back_raw_and_typed_ones_typed(run: Running, service: str) -> None:
    call = Client(run, service)
    back = await call.infer(raw_request(id="7"))
    assert (back.model_name, back.model_version, back.id) == ("m", "1.0", "7")
    assert [(out.name, out.datatype, list(out.shape)) for out in back.outputs] == [("x", "FP32", [1, 2])]
    assert list(back.raw_output_contents) == [raw("FP32", 1.0, 2.0)]
    assert not back.outputs[0].HasField("contents")
    back = await call.infer(typed_request("FP32", [1, 2], [1.0, 2.0]))
    assert list(back.outputs[0].contents.fp32_contents) == [1.0, 2.0]
    assert not back.raw_output_contents


TYPED: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "INT8": [-128, 127],
    "INT16": [-(2**15), 1],
    "INT32": [-(2**31), 1],
    "INT64": [-(2**63), 1],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**63 + 5],
    "FP32": [0.5, float("inf")],
    "FP64": [0.1, -1.0],
    "BYTES": [b"a\0b", b""],
}


@pytest.mark.parametrize("datatype", TYPED)
async def test_every_datatype_with_typed_contents_keeps_its_values(call: Client, datatype: str) -> None:
    back = await call.infer(typed_request(datatype, [2], TYPED[datatype]))
    fields = back.outputs[0].contents.ListFields()
    assert [list(values) for _, values in fields] == [TYPED[datatype]]


async def test_outputs_without_typed_contents_make_the_whole_answer_raw(call: Client) -> None:
    half = Tensor("h", "FP16", [1], raw("FP16", 0.5))
    call.run.ports.inference.on_submit = answering(X, half)
    back = await call.infer(typed_request("FP32", [1, 2], [1.0, 2.0]))
    assert list(back.raw_output_contents) == [X.data, half.data]
    assert not any(output.HasField("contents") for output in back.outputs)


@pytest.mark.parametrize(("service", "is_raw"), [(STANDARD, True), (TORCHSERVE, False)])
async def test_a_request_without_inputs_is_answered_as_its_clients_read(
    run: Running, service: str, is_raw: bool
) -> None:
    run.ports.inference.on_submit = answering(X)
    back = await Client(run, service).infer(pb.ModelInferRequest(model_name="m"))
    assert bool(back.raw_output_contents) is is_raw


async def test_each_row_of_a_batch_is_a_job_and_the_answer_one(call: Client) -> None:
    request = pb.ModelInferRequest(model_name="configured")
    request.inputs.add(name="a", datatype="INT32", shape=[3, 2])
    request.inputs.add(name="b", datatype="BYTES", shape=[3])
    request.raw_input_contents.extend([raw("INT32", *range(6)), raw("BYTES", b"", b"x", b"yy")])
    call.run.ports.inference.on_submit = None
    answered = asyncio.ensure_future(call.infer(request))
    await call.run.ports.inference.submitted(3)
    jobs = call.run.ports.inference.submissions
    assert [job.inputs for job in jobs] == [
        {"a": raw("INT32", 2 * row, 2 * row + 1), "b": raw("BYTES", text)}
        for row, text in enumerate([b"", b"x", b"yy"])
    ]
    assert {(job.tensors.form, job.alone) for job in jobs if job.tensors} == {(Form.ROW, False)}
    for row in (2, 0, 1):  # in any order
        jobs[row].answer(answer(Tensor("total", "INT64", [], raw("INT64", row))))
    back = await answered
    assert (list(back.outputs[0].shape), back.raw_output_contents[0]) == ([3], raw("INT64", 0, 1, 2))


async def test_more_rows_than_the_queue_takes_wait_for_their_turn(call: Client) -> None:
    call.run.ports.models.has_room = False
    request = typed_request("INT8", [3], [1, 2, 3])
    assert list((await call.infer(request)).outputs[0].contents.int_contents) == [1, 2, 3]


async def test_the_first_error_of_a_row_fails_the_request_and_cancels_the_others(call: Client) -> None:
    call.run.ports.inference.on_submit = None
    refused = asyncio.ensure_future(call.error("ModelInfer", typed_request("INT8", [3], [1, 2, 3])))
    await call.run.ports.inference.submitted(3)
    jobs = call.run.ports.inference.submissions
    jobs[1].reply.fail(e.HandlerRefused("bad row", 400))
    assert await refused == (CODE.INVALID_ARGUMENT, "bad row")
    assert [job.cancelled for job in jobs] == [True, False, True]


async def test_rows_whose_outputs_differ_cannot_be_joined(call: Client) -> None:
    def ragged(submission: Any) -> None:
        size = submission.inputs["x"][0]
        submission.answer(answer(Tensor("o", "INT8", [size], bytes(size))))

    call.run.ports.inference.on_submit = ragged
    code, text = await call.error("ModelInfer", typed_request("INT8", [2], [1, 2]))
    assert (code, "different" in text) == (CODE.INTERNAL, True)


async def test_a_batch_of_no_rows_is_answered_without_a_job(call: Client) -> None:
    request = pb.ModelInferRequest(model_name="configured")
    request.inputs.add(name="a", datatype="INT32", shape=[0, 2])
    request.inputs.add(name="b", datatype="BYTES", shape=[0])
    request.raw_input_contents.extend([b"", b""])
    back = await call.infer(request)
    assert [(out.name, list(out.shape)) for out in back.outputs] == [("total", [0]), ("label", [0])]
    assert not call.run.ports.inference.submissions


async def test_a_client_that_leaves_cancels_all_rows(call: Client) -> None:
    call.run.ports.inference.on_submit = None
    asked = asyncio.ensure_future(call.infer(typed_request("INT8", [3], [1, 2, 3])))
    await call.run.ports.inference.submitted(3)
    asked.cancel()
    jobs = call.run.ports.inference.submissions
    for _ in range(500):
        if all(job.cancelled for job in jobs):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the jobs go on")


async def test_a_model_that_knows_no_tensors_gets_torchserves_document(call: Client) -> None:
    request = raw_request("plain", id="7")
    request.parameters["p"].string_param = "v"
    request.parameters["priority"].uint64_param = 2
    request.outputs.add(name="x")
    await call.infer(request)
    (job,) = call.run.ports.inference.submissions
    assert job.tensors is not None
    assert (job.tensors.form, job.tensors.id, job.tensors.parameters) == (Form.DOCUMENT, "7", {"p": "v"})
    assert (job.inputs, list(job.tensors.outputs)) == ({"x": raw("FP32", 1.0, 2.0)}, [("x", {})])


async def test_requested_outputs_filter_and_order(call: Client) -> None:
    a, b = Tensor("a", "INT8", [], b"\1"), Tensor("b", "INT8", [], b"\2")
    call.run.ports.inference.on_submit = answering(a, b)
    for names in (["b", "a"], ["b"], []):
        request = raw_request()
        for name in names:
            request.outputs.add(name=name)
        back = await call.infer(request)
        assert [out.name for out in back.outputs] == (names or ["a", "b"])


async def test_headers_that_the_handler_sets_are_parameters_of_the_answer(call: Client) -> None:
    headers = {"X-Note": "n", "content-type": "text/plain", "ts_stream_next": "false"}
    call.run.ports.inference.on_submit = answering(X, meta=ResponseMeta(headers=headers), parameters={"own": 2})
    back = await call.infer(raw_request())
    assert {name: value.WhichOneof("parameter_choice") for name, value in back.parameters.items()} == {
        "X-Note": "string_param",
        "own": "int64_param",
    }


async def test_a_status_that_the_handler_sets_is_the_error(call: Client) -> None:
    call.run.ports.inference.on_submit = answering(X, meta=ResponseMeta(status=404, reason="gone"))
    assert await call.error("ModelInfer", raw_request()) == (CODE.NOT_FOUND, "gone")


async def test_sequence_and_timeout_reach_the_server_and_other_parameters_the_handler(call: Client) -> None:
    request = raw_request()
    for name, value in {"sequence_id": 7, "timeout": 10_000_000}.items():
        request.parameters[name].int64_param = value
    request.parameters["sequence_start"].bool_param = True
    request.parameters["mine"].double_param = 0.5
    await call.infer(request)
    (job,) = call.run.ports.inference.submissions
    assert job.headers == {"ts_request_sequence_id": "7", "ts_request_sequence_start": "true"}
    assert job.deadline is not None
    assert job.tensors is not None and job.tensors.parameters == {"mine": 0.5}
