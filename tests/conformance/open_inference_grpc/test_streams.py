"""Streams of requests."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_fakes import Ports, Running, running
from open_inference_kit import CODE, STANDARD, X
from tensor_kit import answer, echo, raw_request

from stoker import errors as e
from stoker.core.reply import Chunk
from stoker.core.tensors import Tensor
from stoker.frontend.grpc import infer_stream
from stoker.protos import grpc_predict_v2_pb2 as pb


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


async def test_requests_beyond_those_that_may_run_at_a_time_wait(run: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infer_stream, "MOST_UNANSWERED", 3)
    run.ports.inference.on_submit = None
    stream, other = Stream(run), Stream(run)
    for number in range(6):
        await stream.send(raw_request(id=str(number)))
    await stream.call.done_writing()
    await run.ports.inference.submitted(3)
    await other.send(raw_request("nobody"))
    await other.take()
    assert len(run.ports.inference.submissions) == 3
    for number in range(6):
        await run.ports.inference.submitted(number + 1)
        run.ports.inference.submissions[number].answer(answer(X))
        assert (await stream.take()).infer_response.id == str(number)
    assert await stream.call.read() is grpc.aio.EOF


async def test_a_client_that_sends_without_reading_is_slowed_down_and_gets_every_answer(run: Running) -> None:
    large = Tensor("x", "UINT8", [500_000], bytes(500_000))
    run.ports.inference.on_submit = lambda submission: submission.answer(answer(large))
    stream, count = Stream(run), 60
    sending = asyncio.ensure_future(send_all(stream, count))
    await asyncio.sleep(0.3)
    assert len(run.ports.inference.submissions) < count / 2
    assert [(await stream.take()).infer_response.id for _ in range(count)] == [str(number) for number in range(count)]
    await sending
    assert await stream.call.read() is grpc.aio.EOF


async def send_all(stream: Stream, count: int) -> None:
    for number in range(count):
        await stream.send(raw_request(id=str(number)))
    await stream.call.done_writing()


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
