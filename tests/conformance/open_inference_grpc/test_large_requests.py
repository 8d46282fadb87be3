"""Large requests with typed contents: read in slices, while others are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_fakes import Ports, Running, running, until
from open_inference_kit import CODE, STANDARD, Client, OtherReading
from tensor_kit import raw_request, typed_request

from stoker.protos import grpc_predict_v2_pb2 as pb

VALUES = list(range(150_000))
LARGE = typed_request("INT64", [1, len(VALUES)], VALUES)
WRONG = typed_request("INT8", [1, len(VALUES)], VALUES)


@pytest.fixture
async def others() -> AsyncIterator[OtherReading]:
    others = OtherReading()
    yield others
    others.done = True


def values_of(answer: Any) -> list[int]:
    return list(answer.outputs[0].contents.int64_contents)


async def test_a_large_request_is_answered_as_a_small_one_is(call: Client) -> None:
    assert values_of(await call.infer(LARGE)) == VALUES
    assert await call.error("ModelInfer", WRONG) == (
        CODE.INVALID_ARGUMENT,
        "Input 'x' has elements that are not INT8.",
    )
    code, words = await call.error("ModelInfer", typed_request("INT64", [1, 3], VALUES))
    assert (code, words[:9]) == (CODE.INVALID_ARGUMENT, "Input 'x'")
    assert call.run.ports.budgets.unparsed.taken == 0


async def test_others_are_answered_while_a_large_request_waits_its_turn(call: Client, others: OtherReading) -> None:
    large = asyncio.ensure_future(call.infer(LARGE))
    await until(lambda: call.run.ports.budgets.unparsed.taken > 0)
    assert (await call.infer(raw_request(id="small"))).id == "small"
    assert not large.done()
    others.done = True
    assert values_of(await large) == VALUES
    assert call.run.ports.budgets.unparsed.taken == 0


async def test_a_client_that_leaves_before_its_large_request_is_read_causes_no_job(
    call: Client, others: OtherReading
) -> None:
    ports = call.run.ports
    left = call.run.channel.unary_unary(f"/{STANDARD}/ModelInfer")(LARGE.SerializeToString())
    await until(lambda: ports.budgets.unparsed.taken > 0)
    left.cancel()
    await until(lambda: ports.budgets.unparsed.taken == 0)
    others.done = True
    await call.infer(LARGE)
    assert len(ports.inference.submissions) == 1


async def stream_of(run: Running, *requests: Any) -> Any:
    call = run.channel.stream_stream(f"/{STANDARD}/ModelStreamInfer")()
    for request in requests:
        await call.write(request.SerializeToString())
    return call


async def test_a_stream_keeps_the_order_of_large_and_small_requests(run: Running) -> None:
    call = await stream_of(run, raw_request(id="0"), LARGE, WRONG, raw_request(id="1"), LARGE)
    await call.done_writing()
    answers = [pb.ModelStreamInferResponse.FromString(await call.read()) for _ in range(5)]
    assert [answer.infer_response.id for answer in answers] == ["0", "", "", "1", ""]
    assert [answer.error_message for answer in answers if answer.error_message] == [
        "Input 'x' has elements that are not INT8."
    ]
    assert [values_of(answers[index].infer_response) == VALUES for index in (1, 4)] == [True, True]
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is CODE.OK
    assert run.ports.budgets.unparsed.taken == 0


async def test_a_client_that_leaves_its_stream_cancels_the_reading_of_a_large_request(
    run: Running, others: OtherReading
) -> None:
    ports = run.ports
    call = await stream_of(run, LARGE)
    await until(lambda: ports.budgets.unparsed.taken > 0)
    call.cancel()
    await until(lambda: run.server.open_calls == 0)
    others.done = True
    await Client(run).infer(raw_request())
    await until(lambda: ports.budgets.unparsed.taken == 0)
    assert len(ports.inference.submissions) == 1


async def test_a_drain_waits_for_a_large_request_of_a_stream(ports: Ports) -> None:
    async with running(ports) as run:
        others = OtherReading()
        call = await stream_of(run, LARGE)
        await until(lambda: ports.budgets.unparsed.taken > 0)
        draining = asyncio.ensure_future(run.server.drain(60))
        await asyncio.sleep(0)
        others.done = True
        answer = pb.ModelStreamInferResponse.FromString(await asyncio.wait_for(call.read(), 20))
        assert values_of(answer.infer_response) == VALUES
        await asyncio.wait_for(draining, 20)
