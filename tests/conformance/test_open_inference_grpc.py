"""The open inference protocol over gRPC: both package names, both engines."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc_fakes import Ports, Running, running
from tensor_kit import CONFIGURED, ROWS, answer, answering, echo, raw, raw_request, typed_request

from stoker import errors as e
from stoker.core.job import ModelKey
from stoker.core.measures import ModelCounters, RequestTotals
from stoker.core.ports import Readiness
from stoker.core.reply import Chunk, ResponseMeta
from stoker.core.tensors import Form, Tensor
from stoker.protos import grpc_predict_v2_pb2 as pb

STANDARD = "inference.GRPCInferenceService"
TORCHSERVE = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
CODE = grpc.StatusCode
X = Tensor("x", "FP32", [2], raw("FP32", 1.0, 2.0))


@pytest.fixture
def ports(engine: str) -> Ports:
    ports = Ports(engine)
    ports.models.add("m", "1.0", ROWS)
    ports.models.add("m", "2.0", ROWS)
    ports.models.add("configured", "1.0", CONFIGURED, batch_size=4)
    ports.models.add("plain")
    ports.inference.on_submit = echo
    return ports


class Client:
    def __init__(self, run: Running, service: str = STANDARD) -> None:
        self.run = run
        self.service = service

    async def __call__(self, method: str, request: Any, answer: Any = None) -> Any:
        kind = answer or getattr(pb, f"{method}Response")
        data = await self.run.channel.unary_unary(f"/{self.service}/{method}")(request.SerializeToString())
        return kind.FromString(data)

    async def infer(self, request: Any) -> Any:
        return await self("ModelInfer", request)

    async def error(self, method: str, request: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self(method, request)
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
def call(run: Running) -> Client:
    return Client(run)


# ---------------------------------------------------------------------------------------------- answers


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
    call.run.ports.models.room = 0
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


# ------------------------------------------------------------------------------------------------ errors

BAD: dict[str, tuple[Any, str]] = {
    "no name": (raw_request(""), "Parameter model_name is required."),
    "datatype": (typed_request("INT8", [1], [1]), ""),
    "count": (
        pb.ModelInferRequest(model_name="m", raw_input_contents=[b"x"]),
        "the number of inputs (0) does not match the expected number of raw input contents (1) for model 'm'.",
    ),
    "wrong field": (typed_request("INT8", [1], [1]), "Input 'x' is INT8, and has fp32_contents."),
    "range": (typed_request("INT8", [1], [128]), "Input 'x' has elements that are no INT8."),
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


NOT_A_TIMEOUT = "The parameter 'timeout' is no number of microseconds."
BAD |= {
    "no name of an input": (typed_request("INT8", [1], [1], name=""), "An input has no name."),
    "twice": (typed_request("INT8", [1], [1]), "Input 'x' is there twice."),
    "an output twice": (raw_request(), "An output is requested twice."),
    "no boolean": (
        pb.ModelInferRequest(model_name="m", raw_input_contents=[b"\2"]),
        "Input 'x' has elements that are no BOOL.",
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
        "The parameter 'sequence_id' is neither a text nor a whole number.",
    ),
    "start of a sequence": (
        with_parameter("sequence_start", "string", "true"),
        "The parameter 'sequence_start' is no boolean.",
    ),
}
BAD["twice"][0].inputs.add().CopyFrom(BAD["twice"][0].inputs[0])
for _ in range(2):
    BAD["an output twice"][0].outputs.add(name="x")
BAD["no boolean"][0].inputs.add(name="x", datatype="BOOL", shape=[1, 1])
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


# ------------------------------------------------------------------------------- health, metadata, repository


@pytest.mark.parametrize("service", [STANDARD, TORCHSERVE])
async def test_health_says_how_it_is(run: Running, service: str) -> None:
    call = Client(run, service)
    assert (await call("ServerLive", pb.ServerLiveRequest())).live
    for state in (True, False):
        run.ports.readiness.state = Readiness(ready=state)
        assert (await call("ServerReady", pb.ServerReadyRequest())).ready is state
    run.ports.models.not_ready = {"plain"}
    for name, ready in (("m", True), ("plain", False)):
        assert (await call("ModelReady", pb.ModelReadyRequest(name=name))).ready is ready


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_questions_about_an_unknown_model_are_not_found(ports: Ports, mode: str, method: str) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        call, kind = Client(run), getattr(pb, f"{method}Request")
        assert await call.error(method, kind(name="nobody")) == (CODE.NOT_FOUND, "Model not found: nobody")
        code, text = await call.error(method, kind(name="m", version="9"))
        assert (code, text) == (CODE.NOT_FOUND, "Model version: 9 does not exist for model: m")


@pytest.mark.parametrize(
    ("method", "text"),
    [("ModelReady", "Parameter name is required."), ("ModelMetadata", "Parameter model_name is required.")],
)
async def test_a_question_about_no_model_is_refused(call: Client, method: str, text: str) -> None:
    request = getattr(pb, f"{method}Request")()
    assert await call.error(method, request) == (CODE.INVALID_ARGUMENT, text)


async def test_metadata_is_what_the_config_says(call: Client) -> None:
    server = await call("ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, server.version) == ("Torchserve", "0.12.0")
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server.extensions)
    model = await call("ModelMetadata", pb.ModelMetadataRequest(name="configured"))
    assert (model.name, list(model.versions), model.platform) == ("configured", ["1.0"], "onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [
        ("a", "INT32", [-1, 2]),
        ("b", "BYTES", [-1]),
    ]
    model = await call("ModelMetadata", pb.ModelMetadataRequest(name="m"))
    assert (list(model.versions), list(model.inputs)) == (["1.0", "2.0"], [])
    assert list((await call("ModelMetadata", pb.ModelMetadataRequest(name="m", version="2.0"))).versions) == ["2.0"]


async def test_the_config_has_dimensions_without_that_of_the_batch(call: Client) -> None:
    config = (await call("ModelConfig", pb.ModelConfigRequest(name="configured"))).config
    assert (config.name, config.max_batch_size) == ("configured", 4)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("a", 8, [2]), ("b", 13, [])]
    assert [(t.name, t.data_type) for t in config.output] == [("total", 9), ("label", 13)]


async def test_statistics_are_those_of_the_metrics(call: Client) -> None:
    counters = ModelCounters()
    counters.batch_ended(3, 0.5, 0.25, time.monotonic())
    counters.batch_ended(3, 0.5, -1.0, time.monotonic())
    counters.batch_ended(1, 0.5, 0.125, time.monotonic(), [(RequestTotals(), 0.125, 0.5)])
    counters.failed = 2
    call.run.ports.models.counted[ModelKey("m", "2.0")] = counters
    found = await call("ModelStatistics", pb.ModelStatisticsRequest(name="m", version="2.0"))
    (one,) = found.model_stats
    assert (one.name, one.version, one.inference_count, one.execution_count) == ("m", "2.0", 7, 3)
    assert abs(one.last_inference / 1000 - time.time()) < 3600
    assert [(batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns) for batch in one.batch_stats] == [
        (1, 1, 125_000_000),
        (3, 1, 250_000_000),
    ]
    total = one.inference_stats
    assert [(d.count, d.ns) for d in (total.success, total.fail, total.queue, total.compute_infer)] == [
        (1, 500_000_000),
        (2, 0),
        (1, 125_000_000),
        (2, 375_000_000),
    ]
    found = await call("ModelStatistics", pb.ModelStatisticsRequest())
    assert [(each.last_inference > 0, len(each.batch_stats)) for each in found.model_stats] == [
        (False, 0),
        (True, 2),
        (False, 0),
        (False, 0),
    ]


async def test_the_repository_loads_lists_and_unloads(call: Client) -> None:
    ports = call.run.ports
    ports.models.stored = ["spare"]
    found = (await call("RepositoryIndex", pb.RepositoryIndexRequest())).models
    assert [(m.name, m.state) for m in found if m.name in ("plain", "spare")] == [
        ("plain", "READY"),
        ("spare", "UNAVAILABLE"),
    ]
    ready = (await call("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))).models
    assert {m.state for m in ready} == {"READY"}
    await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="plain"))
    assert not ports.management.asked, "it is served already"
    await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="spare"))
    (_, request) = ports.management.asked.pop()
    assert (request.url, request.model_name, request.initial_workers, request.synchronous) == (
        "spare.mar",
        "spare",
        1,
        True,
    )
    await call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="m"))
    assert ports.management.asked == [("unregister", "m", "2.0"), ("unregister", "m", "1.0")], "the default last"


async def test_clients_of_kserve_name_the_model_in_the_first_field_and_read_that_it_is_loaded(call: Client) -> None:
    call.run.ports.models.stored = ["spare"]
    done = await call("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="spare"))
    assert (done.model_name, done.is_loaded) == ("spare", True)
    done = await call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="plain"))
    assert (done.model_name, done.is_unloaded) == ("plain", True)


REFUSED = [("RepositoryModelLoad", "spare"), ("RepositoryModelUnload", "plain")]


@pytest.mark.parametrize(("method", "model"), REFUSED)
async def test_the_repository_is_closed_where_the_model_api_is(ports: Ports, method: str, model: str) -> None:
    ports.model_api_enabled = False
    async with running(ports) as run:
        request = getattr(pb, f"{method}Request")(model_name=model)
        assert await Client(run).error(method, request) == (CODE.PERMISSION_DENIED, "Model API disabled")


@pytest.mark.parametrize(("method", "model"), [*REFUSED, ("RepositoryIndex", "")])
async def test_the_repository_is_served_on_the_management_port_alone(ports: Ports, method: str, model: str) -> None:
    ports.repository_served = False
    async with running(ports) as run:
        request = getattr(pb, f"{method}Request")(**({"model_name": model} if model else {}))
        code, text = await Client(run).error(method, request)
        assert (code, text) == (CODE.PERMISSION_DENIED, "The model repository is served on the management port.")
        assert not ports.management.asked


async def test_a_load_takes_no_parameters_and_knows_the_store_alone(call: Client) -> None:
    ports = call.run.ports
    ports.models.stored = ["spare"]
    request = pb.RepositoryModelLoadRequest(model_name="spare")
    request.parameters["file:1/model.py"].bytes_param = b"import os"
    assert (await call.error("RepositoryModelLoad", request))[0] is CODE.INVALID_ARGUMENT
    for name in ("../spare", "https://evil.example/m", "nobody", "spare.mar/.."):
        request = pb.RepositoryModelLoadRequest(model_name=name)
        assert (await call.error("RepositoryModelLoad", request))[0] is CODE.NOT_FOUND
    assert not ports.management.asked


@pytest.mark.parametrize(
    "method", ["TraceSetting", "LogSettings", "SystemSharedMemoryStatus", "CudaSharedMemoryRegister", "NoSuchMethod"]
)
@pytest.mark.parametrize("service", [STANDARD, TORCHSERVE])
async def test_extensions_that_are_not_served_are_unimplemented(run: Running, service: str, method: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await run.channel.unary_unary(f"/{service}/{method}")(b"")
    assert caught.value.code() is CODE.UNIMPLEMENTED


# ----------------------------------------------------------------------------------------------- streams


class Stream:
    def __init__(self, run: Running) -> None:
        self.call = run.channel.stream_stream(f"/{STANDARD}/ModelStreamInfer")()

    async def send(self, request: Any) -> None:
        await self.call.write(request.SerializeToString())

    async def take(self) -> Any:
        return pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(self.call.read(), 20))


def mark(answer: Any) -> bool:
    return bool(answer.infer_response.parameters["triton_final_response"].bool_param)


async def test_requests_of_a_stream_run_at_the_same_time_and_each_is_answered_when_it_is_done(run: Running) -> None:
    run.ports.inference.on_submit = None
    stream = Stream(run)
    for number in range(3):
        await stream.send(raw_request(id=str(number)))
    await run.ports.inference.submitted(3)
    for number in (2, 0, 1):
        run.ports.inference.submissions[number].answer(answer(X))
        got = await stream.take()
        assert (got.infer_response.id, got.error_message, mark(got)) == (str(number), "", True)
    await stream.call.done_writing()
    assert await stream.call.read() is grpc.aio.EOF
    assert await stream.call.code() is CODE.OK


async def test_parts_are_answers_and_the_last_is_marked_or_an_empty_one_follows(run: Running) -> None:
    run.ports.inference.on_submit = lambda submission: submission.answer(answer(X), answer(X))
    stream = Stream(run)
    await stream.send(raw_request(id="a"))
    assert [mark(await stream.take()) for _ in range(2)] == [False, True]
    request = raw_request(id="b")
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    await stream.send(request)
    got = [await stream.take() for _ in range(3)]
    assert [(mark(one), len(one.infer_response.outputs)) for one in got] == [(False, 1), (False, 1), (True, 0)]
    stream.call.cancel()


async def test_an_error_answers_its_request_and_the_stream_goes_on(run: Running) -> None:
    stream = Stream(run)
    await stream.send(raw_request("nobody", id="a"))
    got = await stream.take()
    assert (got.error_message, got.infer_response.id) == ("Model not found: nobody", "a")
    await stream.call.write(b"\xff\xff")
    assert (await stream.take()).error_message == "The request is not a valid ModelInferRequest message."
    run.ports.inference.on_submit = lambda submission: submission.reply.fail(e.HandlerRaised())
    await stream.send(raw_request())
    assert (await stream.take()).error_message == "Prediction failed"
    run.ports.inference.on_submit = echo
    await stream.send(raw_request(id="b"))
    assert (await stream.take()).infer_response.id == "b"
    stream.call.cancel()


async def test_requests_of_one_sequence_follow_one_another(run: Running) -> None:
    run.ports.inference.on_submit = None
    stream = Stream(run)
    for number in range(4):
        request = raw_request(id=str(number))
        request.parameters["sequence_id"].string_param = "odd" if number % 2 else "even"
        await stream.send(request)
    await run.ports.inference.submitted(2)
    for number in range(4):
        await run.ports.inference.submitted(number + 1)
        run.ports.inference.submissions[number].answer(answer(X))
        assert (await stream.take()).infer_response.id == str(number)
    stream.call.cancel()


async def test_a_sequence_whose_requests_all_fail_at_once_answers_each(run: Running) -> None:
    run.ports.inference.refusal = e.NoWorkers("m")
    stream = Stream(run)
    for _ in range(300):
        request = raw_request()
        request.parameters["sequence_id"].int64_param = 1
        await stream.send(request)
    assert {(await stream.take()).error_message.split(" has")[0] for _ in range(300)} == {'Model "m"'}
    stream.call.cancel()


async def test_a_client_that_leaves_its_stream_cancels_what_runs(run: Running) -> None:
    run.ports.inference.on_submit = None
    stream = Stream(run)
    await stream.send(raw_request())
    job = await run.ports.inference.submitted()
    stream.call.cancel()
    for _ in range(500):
        if job.cancelled:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the job goes on")


async def test_an_idle_stream_does_not_delay_a_drain_and_a_busy_one_is_answered(ports: Ports) -> None:
    ports.inference.on_submit = None
    async with running(ports) as run:
        idle, busy = Stream(run), Stream(run)
        await idle.send(raw_request("nobody"))
        await idle.take()
        await busy.send(raw_request(id="last"))
        job = await ports.inference.submitted()
        draining = asyncio.ensure_future(run.server.drain(60))
        await asyncio.sleep(0)
        job.reply.push(Chunk(answer(X)), last=True)
        assert (await busy.take()).infer_response.id == "last"
        await asyncio.wait_for(draining, 20)
