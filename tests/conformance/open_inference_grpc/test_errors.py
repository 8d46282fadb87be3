"""Requests that cannot be served say why, and are judged by their own data."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_fakes import Ports, running
from open_inference_kit import CODE, STANDARD, TORCHSERVE, Client
from tensor_kit import CONFIGURED, raw_request, typed_request

from stoker import errors as e
from stoker.protos import grpc_predict_v2_pb2 as pb

BAD: dict[str, tuple[Any, str]] = {
    "no name": (raw_request(""), "Parameter model_name is required."),
    "datatype": (typed_request("INT8", [1], [1]), ""),
    "count": (
        pb.ModelInferRequest(model_name="m", raw_input_contents=[b"x"]),
        "the number of inputs (0) does not match the expected number of raw input contents (1) for model 'm'.",
    ),
    "wrong field": (typed_request("INT8", [1], [1]), "Input 'x' is INT8, and has fp32_contents."),
    "range": (typed_request("INT8", [1], [128]), "Input 'x' has elements that are not INT8."),
    "shape": (typed_request("INT8", [2], [1]), "Input 'x' has 1 bytes where its shape has 2."),
    "negative": (typed_request("INT8", [-1], [1]), "Input 'x' has a negative dimension."),
    "scalar": (typed_request("INT8", [], [1]), "Input 'x' has no batch dimension."),
    "rows": (
        typed_request("BOOL", [10_001], [True] * 10_001),
        "The batch has more than 10000 rows. Models with batchDimension: null take any number.",
    ),
    "missing": (typed_request("INT32", [1, 2], [1, 2], "a", "configured"), "Input 'b' is missing."),
    "shared memory": (raw_request(), "Shared memory is not supported."),
}


def with_parameter(name: str, kind: str, value: Any) -> Any:
    request = raw_request()
    setattr(request.parameters[name], f"{kind}_param", value)
    return request


NOT_A_TIMEOUT = "The parameter 'timeout' is not a number of microseconds."


BAD |= {
    "no name of an input": (typed_request("INT8", [1], [1], name=""), "An input has no name."),
    "twice": (typed_request("INT8", [1], [1]), "Input 'x' appears twice."),
    "an output twice": (raw_request(), "An output is requested twice."),
    "not a boolean": (
        pb.ModelInferRequest(model_name="m", raw_input_contents=[b"\2"]),
        "Input 'x' has elements that are not BOOL.",
    ),
    "beyond the shape": (
        typed_request("BYTES", [2**62, 4], [b"x"]),
        f"Input 'x' has 1 elements where its shape has {2**64}.",
    ),
    "nothing in too many": (typed_request("FP32", [0, 2**62], []), "Input 'x' has no elements and is too large."),
    "timeout of infinity": (with_parameter("timeout", "double", float("inf")), NOT_A_TIMEOUT),
    "timeout of a boolean": (with_parameter("timeout", "bool", True), NOT_A_TIMEOUT),
    "timeout in the past": (with_parameter("timeout", "int64", -1), "The parameter 'timeout' is negative."),
    "sequence of a boolean": (
        with_parameter("sequence_id", "bool", True),
        "The parameter 'sequence_id' is neither a string nor a whole number.",
    ),
    "start of a sequence": (
        with_parameter("sequence_start", "string", "true"),
        "The parameter 'sequence_start' is not a boolean.",
    ),
}


BAD["twice"][0].inputs.add().CopyFrom(BAD["twice"][0].inputs[0])


for _ in range(2):
    BAD["an output twice"][0].outputs.add(name="x")


BAD["not a boolean"][0].inputs.add(name="x", datatype="BOOL", shape=[1, 1])


BAD["datatype"][0].inputs[0].datatype = "int8"
BAD["datatype"] = BAD["datatype"][0], "The datatype of input 'x' is unknown: int8"


BAD["wrong field"][0].inputs[0].contents.ClearField("int_contents")


BAD["wrong field"][0].inputs[0].contents.fp32_contents.append(1.0)


BAD["shared memory"][0].inputs[0].parameters["shared_memory_region"].string_param = "r"


@pytest.mark.parametrize("case", BAD)
async def test_a_request_that_cannot_be_served_says_why_and_queues_nothing(call: Client, case: str) -> None:
    request, text = BAD[case]
    for _ in range(2):  # what is kept of the first must not let the second pass
        assert await call.error("ModelInfer", request) == (CODE.INVALID_ARGUMENT, text)
    assert not call.run.ports.inference.submissions


async def test_contents_beside_raw_ones_are_refused(call: Client) -> None:
    request = raw_request()
    request.inputs[0].contents.fp32_contents.extend([1.0, 2.0])
    code, text = await call.error("ModelInfer", request)
    assert (code, text) == (
        CODE.INVALID_ARGUMENT,
        "contents field must not be specified when using raw_input_contents for input 'x' for model 'm'",
    )


async def test_under_the_envelope_of_the_protocol_a_shape_may_leave_one_size_to_the_data(call: Client) -> None:
    """TorchServe's envelope reshapes by numpy, and TorchServe's own examples send [-1]."""
    call.run.ports.models.add("wrapped", envelope="kservev2")
    await call.infer(typed_request("BYTES", [-1], [b"a", b"b"], model="wrapped"))
    await call.infer(typed_request("FP32", [2, -1], [1.0, 2.0], model="wrapped"))
    (one, two) = call.run.ports.inference.submissions
    assert (one.tensors.tensors[0].shape, two.tensors.tensors[0].shape) == ([-1], [2, -1])
    refused = "Input 'x' has 3 elements, which do not fit the shape [2, -1]."
    for shape, text in (([2, -1], refused), ([-1, -1], "Input 'x' has a negative dimension.")):
        request = typed_request("INT8", shape, [1, 2, 3], model="wrapped")
        assert await call.error("ModelInfer", request) == (CODE.INVALID_ARGUMENT, text)


async def test_a_request_like_one_before_is_checked_against_its_own_data(call: Client) -> None:
    """What repeats is read once; what does not, each time."""
    for size in (8, 7, 8, 9):
        request = raw_request()
        request.raw_input_contents[0] = bytes(size)
        if size == 8:
            assert (await call.infer(request)).raw_output_contents[0] == bytes(8)
        else:
            assert (await call.error("ModelInfer", request))[0] is CODE.INVALID_ARGUMENT
    call.run.ports.models.specs["m"] = []
    call.run.ports.models.add("m", "3.0", CONFIGURED)
    assert (await call.error("ModelInfer", raw_request()))[1] == "Input 'a' is missing."


async def test_booleans_are_checked_in_each_request(call: Client) -> None:
    for value, code in ((b"\1", None), (b"\2", CODE.INVALID_ARGUMENT), (b"\0", None)):
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[value])
        request.inputs.add(name="x", datatype="BOOL", shape=[1, 1])
        if code is None:
            assert (await call.infer(request)).raw_output_contents[0] == value
        else:
            assert (await call.error("ModelInfer", request))[0] is code


async def test_what_says_how_a_tensor_was_sent_is_not_the_handlers(call: Client) -> None:
    request = raw_request("plain")
    request.inputs[0].parameters["binary_data_size"].int64_param = 8
    request.inputs[0].parameters["own"].string_param = "v"
    await call.infer(request)
    (job,) = call.run.ports.inference.submissions
    assert job.tensors is not None and job.tensors.tensors[0].parameters == {"own": "v"}


async def test_requests_of_many_shapes_in_turn_each_get_their_own_answer(call: Client) -> None:
    """More shapes than are kept, with and without an id, long data, fields in another order."""
    for _ in range(2):
        for rows in range(1, 13):
            request = pb.ModelInferRequest(model_name="m", id=str(rows) if rows % 2 else "")
            request.inputs.add(name="x", datatype="UINT8", shape=[1, rows * 40])
            request.raw_input_contents.append(bytes([rows]) * rows * 40)
            back = await call.infer(request)
            assert (back.id, back.raw_output_contents[0]) == (request.id, request.raw_input_contents[0])
    two = pb.ModelInferRequest(model_name="m")
    two.inputs.add(name="a", datatype="UINT8", shape=[1])
    two.inputs.add(name="b", datatype="UINT8", shape=[1])
    two.raw_input_contents.extend([b"1", b"2"])
    assert list((await call.infer(two)).raw_output_contents) == [b"1", b"2"]
    text = two.SerializeToString()
    last = text.index(b"\x3a\x01")  # the raw contents come first, and the name of the model last
    method = call.run.channel.unary_unary(f"/{STANDARD}/ModelInfer")
    for data in (b"1", b"3"):
        turned = pb.ModelInferResponse.FromString(await method(text[last:-1] + data + text[:last]))
        assert list(turned.raw_output_contents) == [b"1", data]


async def test_a_request_that_goes_on_in_another_way_than_the_last_is_read_anew(call: Client) -> None:
    """Only its beginning is the same: more inputs than contents, a parameter, an output that the client wants."""
    await call.infer(raw_request())
    more = raw_request()
    more.raw_input_contents.append(b"more")
    assert (await call.error("ModelInfer", more))[0] is CODE.INVALID_ARGUMENT
    begun = raw_request().SerializeToString()
    behind = pb.ModelInferRequest(id="late")
    behind.parameters["p"].int64_param = 1
    method = call.run.channel.unary_unary(f"/{STANDARD}/ModelInfer")
    back = pb.ModelInferResponse.FromString(await method(begun + behind.SerializeToString()))
    assert back.id == "late"
    job = call.run.ports.inference.submissions[-1]
    assert job.tensors is not None and job.tensors.parameters == {"p": 1}


async def test_a_message_that_is_no_request_is_refused_wherever_it_was_cut(call: Client) -> None:
    whole = raw_request(id="i", model_version="1.0").SerializeToString()
    method = call.run.channel.unary_unary(f"/{STANDARD}/ModelInfer")
    for length in range(1, len(whole)):
        try:
            await method(whole[:length])
        except grpc.aio.AioRpcError as error:
            assert error.code() is CODE.INVALID_ARGUMENT


ERRORS: list[tuple[Exception, grpc.StatusCode, grpc.StatusCode, str]] = [
    (e.NoWorkers("m"), CODE.UNAVAILABLE, CODE.INTERNAL, 'Model "m" has no worker'),
    (e.QueueFull("m"), CODE.RESOURCE_EXHAUSTED, CODE.INTERNAL, 'Model "m" has no worker'),
    (e.HandlerRaised(), CODE.INTERNAL, CODE.UNAVAILABLE, "Prediction failed"),
    (e.InvalidOutput("odd"), CODE.INTERNAL, CODE.UNAVAILABLE, "odd"),
    (e.WorkerDied(), CODE.UNAVAILABLE, CODE.INTERNAL, "Worker died."),
    (e.DeadlineExceeded(), CODE.DEADLINE_EXCEEDED, CODE.DEADLINE_EXCEEDED, "The deadline passed"),
    (e.ServerStopping(), CODE.UNAVAILABLE, CODE.UNAVAILABLE, "The server is stopping."),
    (RuntimeError("secret"), CODE.INTERNAL, CODE.INTERNAL, "Internal server error"),
]


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
async def test_errors_have_the_codes_of_predictions_and_one_line_under_the_clients_name(
    ports: Ports, mode: str
) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        for error, correct, torchserve, text in ERRORS:
            ports.inference.on_submit = lambda submission, error=error: submission.reply.fail(error)
            for service, lines in ((STANDARD, 1), (TORCHSERVE, 2)):
                code, details = await Client(run, service).error("ModelInfer", raw_request())
                assert code is (correct if mode == "correct" else torchserve), error
                assert details.startswith(text) and len(details.split("\n")) == lines


async def test_an_answer_of_a_worker_that_is_no_tensor_is_an_error(call: Client) -> None:
    call.run.ports.inference.on_submit = lambda submission: submission.answer(b"{}")
    assert (await call.error("ModelInfer", raw_request()))[0] is CODE.INTERNAL
