"""Sequences over gRPC, on both engines: who names them, what comes back, in which order, and how a call ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_fakes import DEADLINES, Ports, Running, Submission, echo, running
from waiting import until

from stoker import errors as e
from stoker.core.reply import Chunk
from stoker.core.sequences import SequenceLimits
from stoker.protos import inference_pb2 as pb

CODE = grpc.StatusCode
NO_WORKER = str(e.QueueFull("m"))


@pytest.fixture
def ports(engine: str) -> Ports:
    ports = Ports(engine)
    ports.inference.sequences = SequenceLimits(max_idle_s=1.0)
    return ports


def request(value: bytes = b"in", id: str | None = None, **inputs: bytes) -> pb.PredictionsRequest:
    made = pb.PredictionsRequest(model_name="m", input={"data": value, **inputs})
    if id is not None:
        made.sequence_id = id
    return made


async def conversation(run: Running, *requests: pb.PredictionsRequest, **options: Any) -> list[pb.PredictionResponse]:
    """Sends all requests, half-closes, reads to the end, which is OK."""
    call = run.inference.StreamPredictions2(iter(requests), timeout=20, **options)
    answers = [answer async for answer in call]
    assert await call.code() is CODE.OK
    return answers


def error_of(answer: pb.PredictionResponse) -> tuple[int, str, str]:
    """Code, message and reason; an answer with an error has no prediction."""
    assert not answer.prediction
    (detail,) = answer.status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    return answer.status.code, answer.status.message, detail.value[2:].decode()


# ------------------------------------------------------------------------------------------------- identity

IDS: list[tuple[dict[str, Any], list[tuple[str, str]], str]] = [
    ({"id": "field"}, [], "field"),
    ({"ts_request_sequence_id": b"input"}, [], "input"),
    ({}, [("ts_request_sequence_id", "metadata")], "metadata"),
    ({"id": "field", "ts_request_sequence_id": b"input"}, [("ts_request_sequence_id", "metadata")], "field"),
    ({"ts_request_sequence_id": b"input"}, [("ts_request_sequence_id", "metadata")], "input"),
    ({"id": ""}, [("ts_request_sequence_id", "metadata")], "metadata"),
]


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions", "StreamPredictions2"])
@pytest.mark.parametrize(("names", "metadata", "id"), IDS)
async def test_the_id_is_the_field_or_the_input_or_the_metadata(
    run: Running, method: str, names: dict[str, Any], metadata: list[tuple[str, str]], id: str
) -> None:
    run.ports.inference.on_submit = echo
    asked = request(**names)
    if method == "Predictions":
        answers = [await run.inference.Predictions(asked, metadata=metadata)]
    elif method == "StreamPredictions":
        answers = [answer async for answer in run.inference.StreamPredictions(asked, metadata=metadata)]
    else:
        answers = await conversation(run, asked, metadata=metadata)
    assert [(answer.prediction, answer.sequence_id) for answer in answers] == [(b"in", id)]
    (submission,) = run.ports.inference.submissions
    assert submission.headers == {"ts_request_sequence_id": id}


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions"])
async def test_a_request_without_an_id_begins_a_sequence_and_learns_its_id(run: Running, method: str) -> None:
    run.ports.inference.on_submit = echo
    call = getattr(run.inference, method)(request())
    answer = await call if method == "Predictions" else await call.read()
    assert answer.sequence_id == "ts-seq-generated"
    assert run.ports.inference.submissions[0].headers == {
        "ts_request_sequence_id": "ts-seq-generated",
        "ts_request_sequence_start": "true",
    }
    assert ("ts_request_sequence_id", "ts-seq-generated") in list(await call.trailing_metadata() or ())


@pytest.mark.parametrize(
    ("metadata", "explained"),
    [
        ([], [False, True, False]),
        ([("explain", "true")], [True, True, True]),
        ([("explain", "no")], [False, True, False]),
    ],
)
async def test_explanations_in_a_stream_are_asked_by_name_or_metadata_and_are_batches_of_their_own(
    run: Running, metadata: list[tuple[str, str]], explained: list[bool]
) -> None:
    run.ports.inference.on_submit = echo
    asked = [request(b"%d" % number, id="s") for number in range(3)]
    asked[1].model_name = "explanations/m"
    answers = await conversation(run, *asked, metadata=metadata)
    assert [(answer.prediction, answer.sequence_id) for answer in answers] == [(b"0", "s"), (b"1", "s"), (b"2", "s")]
    submissions = run.ports.inference.submissions
    assert [each.model for each in submissions] == ["m"] * 3
    assert [(each.headers or {}).get("explain") for each in submissions] == [
        "True" if each else None for each in explained
    ]
    assert [each.alone for each in submissions] == explained


async def test_an_explanation_that_fails_leaves_its_stream_open(run: Running) -> None:
    def serve(submission: Submission) -> None:
        if "explain" in (submission.headers or {}):
            submission.reply.fail(e.HandlerRaised())
        else:
            echo(submission)

    run.ports.inference.on_submit = serve
    nameless, explanation = request(id="s"), request(id="s")
    nameless.model_name, explanation.model_name = "explanations/", "explanations/m"
    first, second, third = await conversation(run, nameless, explanation, request(id="s"))
    assert error_of(first)[:2] == (CODE.INVALID_ARGUMENT.value[0], "Parameter model_name is required.")
    assert error_of(second)[:2] == (CODE.INTERNAL.value[0], "Prediction failed")
    assert (third.prediction, third.sequence_id) == (b"in", "s")


async def test_a_stream_tells_its_id_before_its_first_part(run: Running) -> None:
    call = run.inference.StreamPredictions(request(id="s"))
    submission = await run.ports.inference.submitted()
    submission.reply.push(Chunk(b"one"), last=False)
    assert ("ts_request_sequence_id", "s") in list(await call.initial_metadata())
    submission.answer(b"two")
    assert [(a.prediction, a.sequence_id) async for a in call] == [(b"one", "s"), (b"two", "s")]


@pytest.mark.parametrize("flag", [b"true", b"TRUE", b"1", b" True "])
async def test_start_and_end_reach_the_handler_as_true_only_where_they_are(run: Running, flag: bytes) -> None:
    run.ports.inference.on_submit = echo
    await conversation(
        run,
        request(id="s", ts_request_sequence_start=flag),
        request(id="s", ts_request_sequence_start=b"false", ts_request_sequence_end=b"no"),
        request(id="s", ts_request_sequence_end=flag),
    )
    headers = [dict(submission.headers or {}) for submission in run.ports.inference.submissions]
    assert [h.pop("ts_request_sequence_id") for h in headers] == ["s"] * 3
    assert headers == [{"ts_request_sequence_start": "true"}, {}, {"ts_request_sequence_end": "true"}]
    assert run.ports.inference.submissions[0].inputs["ts_request_sequence_start"] == flag


@pytest.mark.parametrize("id", ["a;b", "x" * 257, "new\nline", "\u00e9"])
@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions2"])
async def test_what_cannot_be_an_id_is_refused(run: Running, method: str, id: str) -> None:
    if method == "Predictions":
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await run.inference.Predictions(request(id=id))
        assert refused.value.code() is CODE.INVALID_ARGUMENT
    else:
        run.ports.inference.on_submit = echo
        answers = await conversation(run, request(id=id), request(id="good"))
        assert error_of(answers[0])[0] == CODE.INVALID_ARGUMENT.value[0]
        assert answers[1].sequence_id == "good"


# --------------------------------------------------------------------------------------- StreamPredictions2


async def test_a_message_without_an_id_belongs_to_the_sequence_of_the_one_before(run: Running) -> None:
    run.ports.inference.on_submit = echo
    answers = await conversation(run, request(b"1", "a"), request(b"2"), request(b"3", "b"), request(b"4"))
    assert [(a.prediction, a.sequence_id) for a in answers] == [(b"1", "a"), (b"2", "a"), (b"3", "b"), (b"4", "b")]


@pytest.mark.parametrize(("codes", "code"), [("correct", CODE.INVALID_ARGUMENT), ("torchserve", CODE.INTERNAL)])
async def test_a_first_message_without_id_and_start_flag_is_an_error_of_its_own(
    ports: Ports, codes: str, code: grpc.StatusCode
) -> None:
    ports.status_codes = codes
    ports.inference.on_submit = echo
    async with running(ports) as run:
        answers = await conversation(run, request(), request(id="a"), request(ts_request_sequence_start=b"1"))
    assert error_of(answers[0]) == (code.value[0], "Parameter sequenceId is required.", "BadRequestException.()")
    assert [a.sequence_id for a in answers[1:]] == ["a", "a"]


async def test_a_start_flag_alone_begins_a_sequence(run: Running) -> None:
    run.ports.inference.on_submit = echo
    answers = await conversation(run, request(ts_request_sequence_start=b"true"), request())
    assert [(a.prediction, a.sequence_id) for a in answers] == [(b"in", "ts-seq-generated")] * 2


async def test_a_model_without_sequences_gets_ordinary_requests(ports: Ports) -> None:
    ports.inference.sequences = None
    ports.inference.on_submit = echo
    async with running(ports) as run:
        answers = await conversation(run, request(b"1"), request(b"2", "x"), request(b"3"))
    assert [(a.prediction, a.sequence_id) for a in answers] == [(b"1", ""), (b"2", "x"), (b"3", "x")]
    assert [s.headers for s in ports.inference.submissions] == [{}, *[{"ts_request_sequence_id": "x"}] * 2]


MISTAKES: dict[str, tuple[bytes | None, Exception | None, int, str]] = {
    "no protobuf": (b"\xff\xff\xff", None, 3, "The request is not a valid PredictionsRequest message."),
    "no name": (pb.PredictionsRequest().SerializeToString(), None, 3, "Parameter model_name is required."),
    "no such model": (None, e.ModelNotFound(model="m"), 5, "Model not found: m"),
    "too many": (None, e.TooManySequences("m"), 8, NO_WORKER),
    "closed": (None, e.SequenceClosed("m"), 9, NO_WORKER),
    "scaled to zero": (None, e.NoWorkers("m"), 14, NO_WORKER),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_answered_in_the_stream_which_goes_on(run: Running, mistake: str) -> None:
    payload, refusal, code, words = MISTAKES[mistake]
    run.ports.inference.on_submit = echo
    serialize: Callable[[bytes], bytes] = lambda message: message  # noqa: E731 - an identity serialiser
    call = run.channel.stream_stream(
        "/org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions2",
        request_serializer=serialize,
        response_deserializer=pb.PredictionResponse.FromString,
    )(timeout=20)
    run.ports.inference.refusal = refusal
    await call.write(payload if payload is not None else request(id="s").SerializeToString())
    assert error_of(await call.read())[:2] == (code, words)
    run.ports.inference.refusal = None
    await call.write(request(b"next", "s").SerializeToString())
    assert (await call.read()).prediction == b"next"
    await call.done_writing()
    assert await call.code() is CODE.OK


async def test_sequences_do_not_wait_for_each_other_and_each_keeps_its_order(run: Running) -> None:
    call = run.inference.StreamPredictions2(timeout=20)
    for id in ("a", "b", "a"):
        await call.write(request(id=id))
    await until(lambda: len(run.ports.inference.submissions) == 3)
    first, other, second = run.ports.inference.submissions
    second.answer(b"a2")
    other.answer(b"b1")
    assert (await call.read()).prediction == b"b1"
    first.reply.push(Chunk(b"a1"), last=False)
    assert (await call.read()).prediction == b"a1"
    first.reply.fail(e.HandlerRaised())
    failed = await call.read()
    assert (failed.sequence_id, failed.status.message) == ("a", "Prediction failed")
    assert (await call.read()).prediction == b"a2"
    call.cancel()


async def test_an_error_does_not_overtake_answers_of_its_sequence(run: Running) -> None:
    call = run.inference.StreamPredictions2(timeout=20)
    await call.write(request(id="a"))
    submission = await run.ports.inference.submitted()
    run.ports.inference.refusal = e.SequenceClosed("m")
    await call.write(request(id="a"))
    await until(lambda: run.ports.inference.refused == 1)
    run.ports.inference.refusal = None
    await call.write(request(id="b"))
    await until(lambda: len(run.ports.inference.submissions) == 2)
    submission.answer(b"a1")
    assert (await call.read()).prediction == b"a1"
    assert error_of(await call.read())[0] == CODE.FAILED_PRECONDITION.value[0]
    call.cancel()


async def test_a_half_close_loses_no_answer(run: Running) -> None:
    call = run.inference.StreamPredictions2(iter([request(id="a"), request(id="b")]), timeout=20)
    await until(lambda: len(run.ports.inference.submissions) == 2)
    await asyncio.sleep(0.05)
    for submission in reversed(run.ports.inference.submissions):
        submission.answer(b"late")
    assert [answer.sequence_id async for answer in call] == ["b", "a"]
    assert await call.code() is CODE.OK


async def test_a_call_without_messages_completes(run: Running) -> None:
    assert await conversation(run) == []


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_a_client_that_leaves_cancels_what_it_asked_for(run: Running, how: str) -> None:
    submissions = run.ports.inference.submissions
    for timeout in DEADLINES if how == "deadline" else [60]:
        submissions.clear()
        call = run.inference.StreamPredictions2(timeout=timeout)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it has ended already
            for id in ("a", "b"):
                await call.write(request(id=id))
        await until(lambda call=call: call.done() or len(submissions) == 2)  # type: ignore[misc]
        if len(submissions) == 2:
            break
    if how == "cancel":
        call.cancel()
    assert await call.code() is (CODE.CANCELLED if how == "cancel" else CODE.DEADLINE_EXCEEDED)
    await until(lambda: all(submission.cancelled for submission in run.ports.inference.submissions))
    await until(lambda: run.server.open_calls == 0)


async def test_the_calls_deadline_is_that_of_each_request(run: Running) -> None:
    call = run.inference.StreamPredictions2(timeout=20)
    await call.write(request(id="a"))
    assert (await run.ports.inference.submitted()).deadline is not None
    call.cancel()


async def test_a_request_waits_unread_while_earlier_ones_of_the_stream_fill_its_sequence(run: Running) -> None:
    """Refusing it would punish a client for sending as fast as it may."""
    call = run.inference.StreamPredictions2(timeout=20)
    await call.write(request(b"1", "a"))
    first = await run.ports.inference.submitted()
    run.ports.inference.refusal = e.SequenceQueueFull("m")
    await call.write(request(b"2", "a"))
    await call.write(request(b"3", "b"))
    await until(lambda: run.ports.inference.refused >= 1)
    assert len(run.ports.inference.submissions) == 1
    run.ports.inference.refusal = None
    run.ports.inference.on_submit = echo
    first.answer(b"1")
    await call.done_writing()
    assert [(answer.prediction, answer.sequence_id) async for answer in call] == [(b"1", "a"), (b"2", "a"), (b"3", "b")]


async def test_a_request_whose_sequence_others_have_filled_is_refused(run: Running) -> None:
    run.ports.inference.refusal = e.SequenceQueueFull("m")
    (answer,) = await conversation(run, request(id="a"))
    assert error_of(answer) == (8, NO_WORKER, "InternalServerException.()")


async def test_a_client_that_does_not_read_is_not_read_either(run: Running) -> None:
    """What one call may hold in the server is bounded, however much the client sends."""
    part = b"x" * 60_000
    run.ports.inference.on_submit = lambda submission: submission.answer(part)
    call = run.inference.StreamPredictions2(timeout=60)

    async def send() -> None:
        for number in range(2_000):
            await call.write(request(b"y" * 1_000, f"s{number % 7}"))
        await call.done_writing()

    sending = asyncio.ensure_future(send())
    await asyncio.sleep(0.5)
    assert len(run.ports.inference.submissions) < 200
    sizes = [len(answer.prediction) async for answer in call]
    await sending
    assert sizes == [len(part)] * 2_000


async def test_a_server_that_stops_answers_what_was_asked_and_refuses_what_comes_later(ports: Ports) -> None:
    async with running(ports) as run:
        idle = run.inference.StreamPredictions2(timeout=20)
        busy = run.inference.StreamPredictions2(timeout=20)
        await busy.write(request(id="a"))
        submission = await ports.inference.submitted()
        ports.inference.on_submit = echo
        await idle.write(request(id="z"))
        assert (await idle.read()).prediction == b"in"
        stopping = asyncio.ensure_future(run.server.drain(10))
        assert await idle.code() is CODE.UNAVAILABLE
        await busy.write(request(id="b"))
        assert error_of(await busy.read())[:2] == (14, "The server is stopping.")
        submission.answer(b"done")
        assert (await busy.read()).prediction == b"done"
        assert await busy.code() is CODE.UNAVAILABLE
        await stopping
