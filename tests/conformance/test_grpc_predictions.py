"""Ping, Predictions and StreamPredictions: answers, errors, bad input, metadata."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_fakes import Ports, Running, Submission, answering, running

from stoker import errors as e
from stoker.core.reply import Chunk, ResponseMeta
from stoker.protos import inference_pb2 as pb

PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
CODE = grpc.StatusCode
BAD_REQUEST = "BadRequestException.()"
INTERNAL_CALL = "InternalServerException.()"
INTERNAL_CLASS = "org.pytorch.serve.http.InternalServerException"
NOT_FOUND_CLASS = "org.pytorch.serve.archive.model.ModelNotFoundException"
VERSION_CLASS = "org.pytorch.serve.archive.model.ModelVersionNotFoundException"
NO_WORKER = (
    "has no worker to serve inference request. Please use scale workers API to add workers. If this is a sequence "
    "inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize"
)

ROWS: list[tuple[Exception, grpc.StatusCode, grpc.StatusCode, str, str]] = [
    (e.ModelNotFound(model="m"), CODE.NOT_FOUND, CODE.INTERNAL, "Model not found: m", NOT_FOUND_CLASS),
    (
        e.ModelVersionNotFound(model="m", version="2"),
        CODE.NOT_FOUND,
        CODE.INTERNAL,
        "Model version: 2 does not exist for model: m",
        VERSION_CLASS,
    ),
    (e.NoWorkers("m"), CODE.UNAVAILABLE, CODE.INTERNAL, f'Model "m" {NO_WORKER}', INTERNAL_CALL),
    (e.NoWorkers("m", "2"), CODE.UNAVAILABLE, CODE.INTERNAL, f'Model "m" Version 2" {NO_WORKER}', INTERNAL_CALL),
    (e.QueueFull("m"), CODE.RESOURCE_EXHAUSTED, CODE.INTERNAL, f'Model "m" {NO_WORKER}', INTERNAL_CALL),
    (e.NoJobTicket("m"), CODE.RESOURCE_EXHAUSTED, CODE.INTERNAL, f'Model "m" {NO_WORKER}', INTERNAL_CALL),
    (e.HandlerRaised(), CODE.INTERNAL, CODE.UNAVAILABLE, "Prediction failed", INTERNAL_CLASS),
    (e.HandlerRefused("my words", 404), CODE.NOT_FOUND, CODE.NOT_FOUND, "my words", INTERNAL_CLASS),
    (e.HandlerRefused("my words", 500), CODE.INTERNAL, CODE.INTERNAL, "my words", INTERNAL_CLASS),
    (e.HandlerRefused("my words", 418), CODE.FAILED_PRECONDITION, CODE.FAILED_PRECONDITION, "my words", INTERNAL_CLASS),
    (e.HandlerRefused("fine?", 200), CODE.UNKNOWN, CODE.UNKNOWN, "fine?", INTERNAL_CLASS),
    (e.OutOfResources(), CODE.INTERNAL, CODE.INTERNAL, "Out of resources", INTERNAL_CLASS),
    (
        e.InvalidOutput("Invalid model predict output"),
        CODE.INTERNAL,
        CODE.UNAVAILABLE,
        "Invalid model predict output",
        INTERNAL_CLASS,
    ),
    (e.WorkerDied(), CODE.UNAVAILABLE, CODE.INTERNAL, "Worker died.", INTERNAL_CLASS),
    (e.WorkerOutOfMemory(), CODE.RESOURCE_EXHAUSTED, CODE.RESOURCE_EXHAUSTED, "Worker died.", INTERNAL_CLASS),
    (
        e.DeadlineExceeded(),
        CODE.DEADLINE_EXCEEDED,
        CODE.DEADLINE_EXCEEDED,
        "The deadline passed before the request was served.",
        INTERNAL_CALL,
    ),
    (e.ServerStopping(), CODE.UNAVAILABLE, CODE.UNAVAILABLE, "The server is stopping.", INTERNAL_CALL),
    (RuntimeError("secret"), CODE.INTERNAL, CODE.INTERNAL, "Internal server error", INTERNAL_CALL),
]


def request(**fields: Any) -> Any:
    return pb.PredictionsRequest(**{"model_name": "m", "input": {"data": b"in"}, **fields})


def failing(error: Any) -> Any:
    return lambda submission: submission.reply.fail(error)


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def drained(stream: Any) -> list[bytes]:
    return [message.prediction async for message in stream]


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("healthy", [True, False])
async def test_ping_answers_ok_with_the_word_for_the_state(run: Running, healthy: bool) -> None:
    run.ports.inference.is_healthy = healthy
    reply = await run.channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping")(b"")
    word = "Healthy" if healthy else "Unhealthy"
    assert pb.TorchServeHealthResponse.FromString(reply).health == f'{{\n  "status": "{word}"\n}}'


async def test_a_prediction_carries_name_version_and_values_there_and_bytes_back(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"\x00out\xff")
    asked = request(model_version="2.0", input={"data": b"\x00\xff", "body": b""})
    assert (await run.inference.Predictions(asked)).prediction == b"\x00out\xff"
    (got,) = run.ports.inference.submissions
    assert (got.model, got.version, got.inputs) == ("m", "2.0", {"data": b"\x00\xff", "body": b""})
    assert (got.streaming, got.deadline, got.headers) == (False, None, None)


async def test_an_empty_version_means_the_default_one_and_no_values_are_no_values(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"x")
    await run.inference.Predictions(request(input={}))
    assert (run.ports.inference.submissions[0].version, run.ports.inference.submissions[0].inputs) == (None, {})


EXPLAIN = {"explain": "True"}


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions"])
@pytest.mark.parametrize(
    ("name", "metadata", "headers"),
    [
        ("m", [("explain", "true")], EXPLAIN),
        ("m", [("explain", "True"), ("x-user", "7")], {**EXPLAIN, "x-user": "7"}),
        ("explanations/m", [], EXPLAIN),
        ("explanations/m", [("x-user", "7"), ("explain", "1")], {**EXPLAIN, "x-user": "7"}),
        ("m", [("explain", "false")], None),
        ("m", [("explain", "False"), ("x-user", "7")], {"x-user": "7"}),
    ],
)
async def test_an_explanation_is_asked_for_by_metadata_or_by_name(
    run: Running, method: str, name: str, metadata: list[tuple[str, str]], headers: dict[str, str] | None
) -> None:
    """TorchServe has them over REST only. The handler sees what it sees there; no prediction shares the batch."""
    run.ports.inference.on_submit = answering(b"because")
    call = getattr(run.inference, method)(request(model_name=name), metadata=metadata)
    answer = (await call).prediction if method == "Predictions" else b"".join(await drained(call))
    assert answer == b"because"
    (got,) = run.ports.inference.submissions
    assert (got.model, got.headers) == ("m", headers)
    assert got.alone is (True if headers and "explain" in headers else None)


async def test_a_name_without_a_model_explains_nothing(run: Running) -> None:
    error = await failure_of(run.inference.Predictions(request(model_name="explanations/")))
    assert (error.code(), error.details()) == (
        CODE.INVALID_ARGUMENT,
        f"Parameter model_name is required.\n{BAD_REQUEST}",
    )


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 5_000_000])
async def test_answers_of_all_sizes_arrive_whole(run: Running, size: int) -> None:
    run.ports.inference.on_submit = answering(b"x" * size)
    assert (await run.inference.Predictions(request())).prediction == b"x" * size


async def test_bytearrays_and_views_are_answers_too(run: Running) -> None:
    run.ports.inference.on_submit = lambda s: s.answer(bytearray(b"ab"), memoryview(b"cd"))  # type: ignore[arg-type]
    assert (await run.inference.Predictions(request())).prediction == b"abcd"
    assert await drained(run.inference.StreamPredictions(request())) == [b"ab", b"cd"]


async def test_the_parts_of_a_streaming_handler_are_joined_for_a_unary_call(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"one ", b"two ", b"three")
    assert (await run.inference.Predictions(request())).prediction == b"one two three"


async def test_each_part_of_a_stream_arrives_when_it_is_pushed(run: Running) -> None:
    stream = run.inference.StreamPredictions(request())
    submission = await run.ports.inference.submitted()
    assert submission.streaming
    for part in (b"one", b"", b"three"):
        submission.reply.push(Chunk(part), last=False)
        assert (await stream.read()).prediction == part
    submission.answer(b"last")
    assert (await stream.read()).prediction == b"last"
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is CODE.OK


async def test_a_handler_that_sends_no_part_streams_its_one_answer(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"only")
    assert await drained(run.inference.StreamPredictions(request())) == [b"only"]


async def test_two_thousand_parts_pushed_at_once_arrive_in_order(run: Running) -> None:
    parts = [b"%d" % number for number in range(2000)]
    run.ports.inference.on_submit = answering(*parts)
    assert await drained(run.inference.StreamPredictions(request())) == parts


async def test_an_error_after_parts_comes_after_the_parts(run: Running) -> None:
    parts = [b"%d" % number for number in range(50)]

    def parts_then_death(submission: Submission) -> None:
        for part in parts:
            submission.reply.push(Chunk(part), last=False)
        submission.reply.fail(e.WorkerDied("exit code 3"))

    run.ports.inference.on_submit = parts_then_death
    stream = run.inference.StreamPredictions(request())
    assert [(await stream.read()).prediction for _ in parts] == parts
    error = await failure_of(stream.read())
    assert error.code() is CODE.UNAVAILABLE
    assert (error.details() or "").startswith("Worker died. Cause: exit code 3\n")


# ------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("mode", ["correct", "torchserve"])
async def test_every_error_has_its_code_and_two_lines(ports: Ports, mode: str) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        for error, correct, torchserve, first, second in ROWS:
            ports.inference.on_submit = failing(error)
            for call in (run.inference.Predictions(request()), run.inference.StreamPredictions(request()).read()):
                got = await failure_of(call)
                assert got.code() is (correct if mode == "correct" else torchserve), error
                assert got.details() == f"{first}\n{second}"


@pytest.mark.parametrize("error", [row[0] for row in ROWS[:4]])
async def test_a_refusal_at_once_is_the_same_error(run: Running, error: Exception) -> None:
    run.ports.inference.refusal = error
    got = await failure_of(run.inference.Predictions(request()))
    assert (got.details() or "").startswith(str(error))
    assert run.server.open_calls == 0


async def test_an_unknown_exception_tells_the_client_nothing(run: Running) -> None:
    run.ports.inference.refusal = KeyError("/secret/path")
    for call in (run.inference.Predictions(request()), run.inference.StreamPredictions(request()).read()):
        got = await failure_of(call)
        assert (got.code(), got.details()) == (CODE.INTERNAL, f"Internal server error\n{INTERNAL_CALL}")


@pytest.mark.parametrize(("mode", "code"), [("correct", CODE.INVALID_ARGUMENT), ("torchserve", CODE.INTERNAL)])
async def test_an_empty_model_name_is_refused(ports: Ports, mode: str, code: grpc.StatusCode) -> None:
    ports.status_codes = mode
    async with running(ports) as run:
        got = await failure_of(run.inference.Predictions(request(model_name="")))
    assert (got.code(), got.details()) == (code, f"Parameter model_name is required.\n{BAD_REQUEST}")


async def test_torchserve_mode_says_of_a_timeout_and_of_a_death_what_torchserve_says(ports: Ports) -> None:
    ports.status_codes = "torchserve"
    async with running(ports) as run:
        for error in (e.ResponseTimeout(seconds=3.0), e.WorkerDied("killed by signal 9 (SIGKILL)")):
            ports.inference.on_submit = failing(error)
            got = await failure_of(run.inference.Predictions(request()))
            assert (got.code(), got.details()) == (CODE.INTERNAL, f"Worker died.\n{INTERNAL_CLASS}")


@pytest.mark.parametrize("words", ["w" * 100_000, "\u00e9\n\x00" * 50_000, "half a pair \ud800 here"])
async def test_a_handlers_long_or_odd_message_still_reaches_the_client(run: Running, words: str) -> None:
    run.ports.inference.on_submit = failing(e.HandlerRefused(words, 400))
    got = await failure_of(run.inference.Predictions(request()))
    assert got.code() is CODE.INVALID_ARGUMENT
    assert (got.details() or "")[:5] == words[:5]
    assert (got.details() or "").endswith(INTERNAL_CLASS)


async def test_methods_that_are_not_served_are_unimplemented(run: Running) -> None:
    for path in (
        "/inference.GRPCInferenceService/TraceSetting",
        "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Nothing",
    ):
        assert (await failure_of(run.channel.unary_unary(path)(b""))).code() is CODE.UNIMPLEMENTED


# ---------------------------------------------------------------------------------------------- bad input


async def test_half_a_protobuf_is_an_invalid_argument_wherever_it_was_cut(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"fine")
    whole = request(model_version="1.0", input={"data": b"abc", "more": b"d"}, sequence_id="s").SerializeToString()
    raw = run.channel.unary_unary(PREDICTIONS)
    refused = 0
    for length in range(len(whole)):
        try:
            await raw(whole[:length])
        except grpc.aio.AioRpcError as error:
            refused += 1
            assert error.code() is CODE.INVALID_ARGUMENT, length
    assert refused > len(whole) // 2
    assert pb.PredictionResponse.FromString(await raw(whole)).prediction == b"fine"


@pytest.mark.parametrize("junk", [b"\x0a\x02\xff\xfe", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 200])
async def test_junk_and_invalid_utf8_are_invalid_arguments(run: Running, junk: bytes) -> None:
    got = await failure_of(run.channel.unary_unary(PREDICTIONS)(junk))
    assert got.code() is CODE.INVALID_ARGUMENT
    assert got.details() == f"The request is not a valid PredictionsRequest message.\n{BAD_REQUEST}"
    assert not run.ports.inference.submissions


ENTRY = b"\x1a\x09\x0a\x04data\x12\x01"
ODD_MESSAGES = {
    "a name twice": (b"\x0a\x01m" + ENTRY + b"1" + ENTRY + b"2", b"2"),
    "a model twice": (b"\x0a\x01x" + ENTRY + b"1\x0a\x01m", b"1"),
    "an unknown field": (b"\xfa\x3f\x03new\x0a\x01m" + ENTRY + b"1", b"1"),
    "a known field as a number": (b"\x0a\x01m\x18\x05" + ENTRY + b"1", b"1"),
}


@pytest.mark.parametrize("name", ODD_MESSAGES)
async def test_of_fields_given_twice_the_last_counts_and_unknown_ones_are_ignored(run: Running, name: str) -> None:
    message, value = ODD_MESSAGES[name]
    run.ports.inference.on_submit = answering(b"fine")
    assert pb.PredictionResponse.FromString(await run.channel.unary_unary(PREDICTIONS)(message)).prediction == b"fine"
    (submitted,) = run.ports.inference.submissions
    assert submitted.model == "m"
    assert submitted.inputs == {"data": value}


# ----------------------------------------------------------------------------------------------- metadata


async def test_a_callers_own_metadata_reaches_the_handler_and_nothing_else_does(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"x")
    metadata = (
        ("x-tenant", "blue"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("x-raw-bin", b"\x00\xff"),
        ("authorization", "Bearer token"),
        ("explain", "no"),
        ("describe", "True"),
        ("ts_request_sequence_id", "7"),
    )
    await run.inference.Predictions(request(), metadata=metadata, timeout=30)
    own = {"x-tenant": "blue", "x-many": "1,2", "x-raw-bin": "AP8=", "ts_request_sequence_id": "7"}
    assert run.ports.inference.submissions[0].headers == own


ODD_HEADERS = {
    "X-Capitals": "kept",
    "new\nline": "x",
    "x-newline": "a\r\ngrpc-status: 0",
    "grpc-status": "7",
    "grpc-message": "x",
    ":path": "/",
    "te": "gzip",
    "connection": "close",
    "Content-Type": "application/json",
    "content-length": "5",
    "ts_stream_next": "true",
    "ts-status": "999",
    "x-raw-bin": "not bytes",
    "x-unicode": "\u00e9",
    "x y": "space",
    "": "nothing",
    "x-huge": "h" * 5000,
    "x-after": "kept too",
}


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions"])
async def test_a_handlers_odd_headers_never_cost_the_answer(run: Running, method: str) -> None:
    run.ports.inference.on_submit = answering(b"out", meta=ResponseMeta(507, "Too\nmuch", ODD_HEADERS))
    call = getattr(run.inference, method)(request())
    answer = await drained(call) if method == "StreamPredictions" else [(await call).prediction]
    assert answer == [b"out"]
    assert await call.code() is CODE.OK
    assert list(await call.trailing_metadata()) == [
        ("ts-status", "507"),
        ("ts-reason", "Too?much"),
        ("x-capitals", "kept"),
        ("x-after", "kept too"),
    ]


async def test_many_headers_stop_at_four_kibibytes_in_all(run: Running) -> None:
    headers = {f"x-{number}": "v" * 100 for number in range(200)}
    run.ports.inference.on_submit = answering(b"out", meta=ResponseMeta(headers=headers))
    call = run.inference.Predictions(request())
    assert (await call).prediction == b"out"
    kept = list(await call.trailing_metadata())
    assert 25 < len(kept) < 35
    assert [name for name, _ in kept] == [f"x-{number}" for number in range(len(kept))]


async def test_an_answer_for_which_the_handler_set_nothing_has_no_trailing_metadata(run: Running) -> None:
    run.ports.inference.on_submit = answering(b"out")
    call = run.inference.Predictions(request())
    await call
    assert list(await call.trailing_metadata()) == []
