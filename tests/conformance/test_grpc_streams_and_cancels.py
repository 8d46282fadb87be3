"""Deadlines, clients that leave, clients that do not read: what they cost the server, and that nothing is left."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_fakes import DEADLINES, Ports, Running, Submission, running
from waiting import until

from stoker import errors as e
from stoker.core.reply import Chunk, ReplyStream, ResponseMeta
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.grpc.status import inference_status
from stoker.frontend.listener import Budgets
from stoker.protos import InferenceAPIsServiceStub
from stoker.protos import inference_pb2 as pb

CODE = grpc.StatusCode
REQUEST = pb.PredictionsRequest(model_name="m", input={"data": b"in"})


async def code_of(call: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = await call.code()
    return code


# ------------------------------------------------------------------------------------- deadline and cancel


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions"])
async def test_the_clients_deadline_reaches_the_port_and_its_end_cancels_the_reply(run: Running, method: str) -> None:
    before = time.monotonic()
    for timeout in DEADLINES:
        call = getattr(run.inference, method)(REQUEST, timeout=timeout)
        await until(lambda call=call: call.done() or run.ports.inference.submissions)  # type: ignore[misc]
        if run.ports.inference.submissions:
            break
    (submission,) = run.ports.inference.submissions
    assert submission.deadline is not None
    assert before < submission.deadline <= time.monotonic() + timeout + 0.1
    assert await code_of(call) is CODE.DEADLINE_EXCEEDED
    await until(lambda: submission.cancelled)
    await until(lambda: run.server.open_calls == 0)


@pytest.mark.parametrize("method", ["Predictions", "StreamPredictions"])
async def test_a_client_that_cancels_cancels_the_reply(run: Running, method: str) -> None:
    call = getattr(run.inference, method)(REQUEST)
    submission = await run.ports.inference.submitted()
    call.cancel()
    await until(lambda: submission.cancelled)
    await until(lambda: run.server.open_calls == 0)
    await until(lambda: [line[2] for line in run.ports.access_log.lines] == [CODE.CANCELLED.value[0]])


async def test_a_client_that_leaves_in_mid_stream_cancels_the_reply(run: Running) -> None:
    stream = run.inference.StreamPredictions(REQUEST)
    submission = await run.ports.inference.submitted()
    submission.reply.push(Chunk(b"one"), last=False)
    await stream.read()
    await run.channel.close()
    await until(lambda: submission.cancelled)
    submission.answer(b"too late")
    await until(lambda: run.server.open_calls == 0)


async def test_an_answer_after_the_client_left_harms_nobody(run: Running) -> None:
    call = run.inference.Predictions(REQUEST)
    late = await run.ports.inference.submitted()
    call.cancel()
    await until(lambda: late.cancelled)
    late.answer(b"late")
    run.ports.inference.on_submit = lambda submission: submission.answer(b"next")
    assert (await run.inference.Predictions(REQUEST)).prediction == b"next"


async def test_a_thousand_cancelled_calls_leave_no_state(run: Running) -> None:
    for _ in range(10):
        calls = [run.inference.Predictions(REQUEST) for _ in range(50)]
        streams = [run.inference.StreamPredictions(REQUEST) for _ in range(50)]
        count = len(run.ports.inference.submissions) + 100
        await run.ports.inference.submitted(count)
        for call in (*calls, *streams):
            call.cancel()
        await until(lambda: run.server.open_calls == 0)
    assert all(submission.cancelled for submission in run.ports.inference.submissions)
    replies = [weakref.ref(submission) for submission in run.ports.inference.submissions]
    run.ports.inference.submissions.clear()
    calls.clear()
    streams.clear()

    def all_freed() -> bool:
        gc.collect()
        return all(reference() is None for reference in replies)

    await until(all_freed)  # once the library's own tasks have ended


def replies_alive() -> int:
    return sum(type(found) is ReplyStream for found in gc.get_objects())


async def test_a_finished_call_is_freed_without_the_collector(run: Running) -> None:
    run.ports.inference.on_submit = lambda submission: submission.answer(b"part", b"last")
    gc.collect()
    before = replies_alive()
    gc.disable()
    try:
        await run.inference.Predictions(REQUEST)
        assert [m.prediction async for m in run.inference.StreamPredictions(REQUEST)] == [b"part", b"last"]
        run.ports.inference.submissions.clear()
        await until(lambda: replies_alive() == before)
    finally:
        gc.enable()


# ---------------------------------------------------------------------------------------- slow readers


NO_READ_AHEAD = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_535)]


@pytest.fixture
async def slow(run: Running) -> AsyncIterator[Any]:
    """A client whose library takes in no more than the usual window ahead of its reader."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{run.server.port}", options=NO_READ_AHEAD) as channel:
        yield InferenceAPIsServiceStub(channel)


PART = b"x" * 50_000


def endless(submission: Submission) -> None:
    """Many parts at once, 20 MB: what a consumer does not read stays in the reply, but for the windows (4 MiB)."""
    for _ in range(400):
        submission.reply.push(Chunk(PART), last=False)


async def test_a_client_that_does_not_read_is_felt_as_backpressure(run: Running, slow: Any) -> None:
    run.ports.inference.on_submit = endless
    stream = slow.StreamPredictions(REQUEST)
    submission = await run.ports.inference.submitted()
    await settled(submission)
    assert submission.reply.backlog > 1_000_000
    for _ in range(400):
        assert len((await stream.read()).prediction) == len(PART)
    submission.answer(b"end")
    assert (await stream.read()).prediction == b"end"


async def settled(submission: Submission) -> None:
    """Waits until nothing more is read."""
    seen = -1
    while seen != submission.consumed:
        seen = submission.consumed
        await asyncio.sleep(0.15)


async def test_sixty_four_stalled_readers_cost_no_threads_and_do_not_slow_a_fast_one(run: Running) -> None:
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{run.server.port}", options=[*NO_READ_AHEAD, ("x", n)]) for n in range(8)
    ]
    run.ports.inference.on_submit = lambda submission: submission.reply.push(Chunk(b"first"), last=False)
    threads = threading.active_count()
    stalled = [InferenceAPIsServiceStub(channels[n % 8]).StreamPredictions(REQUEST) for n in range(64)]
    await run.ports.inference.submitted(64)
    for submission in list(run.ports.inference.submissions):
        endless(submission)
    await settled(run.ports.inference.submissions[0])
    assert all(submission.reply.backlog for submission in run.ports.inference.submissions)
    assert threading.active_count() - threads < 8

    parts = [b"%d" % number for number in range(500)]
    run.ports.inference.on_submit = lambda submission: submission.answer(*parts)
    fast = run.inference.StreamPredictions(REQUEST)
    assert [message.prediction async for message in fast] == parts
    run.ports.inference.on_submit = lambda submission: submission.answer(b"unary")
    assert (await run.inference.Predictions(REQUEST)).prediction == b"unary"

    stopped = run.ports.inference.submissions[:64]
    await asyncio.wait_for(run.server.drain(0.1), 20)
    assert all(submission.cancelled for submission in stopped)
    await asyncio.wait_for(run.server.__aexit__(None, None, None), 20)
    assert run.server.open_calls == 0
    del stalled
    for channel in channels:
        await channel.close()


async def test_a_stream_that_nobody_reads_ends_resource_exhausted_and_is_cancelled(ports: Ports) -> None:
    async with running(ports, stream_stall_timeout_s=0.2, client_options=NO_READ_AHEAD) as run:
        ports.inference.on_submit = endless
        stream = run.inference.StreamPredictions(REQUEST)
        submission = await ports.inference.submitted()
        await until(lambda: submission.cancelled)
        await until(lambda: run.server.open_calls == 0)
        received = 0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while True:
                received += len((await stream.read()).prediction)
        assert caught.value.code() is CODE.RESOURCE_EXHAUSTED
        assert received < 400 * len(PART)
        ports.inference.on_submit = lambda submission: submission.answer(b"well")
        assert (await run.inference.Predictions(REQUEST)).prediction == b"well"


async def test_a_reader_below_the_floor_is_ended_however_steadily_it_reads(ports: Ports) -> None:
    options = {"stream_stall_timeout_s": 0.5, "stream_min_bytes_per_s": 1 << 30}
    async with running(ports, client_options=NO_READ_AHEAD, **options) as run:
        call = run.inference.StreamPredictions(REQUEST)
        submission = await ports.inference.submitted()
        for _ in range(400):
            submission.reply.push(Chunk(bytes(100_000)), last=False)

        async def read_slowly() -> None:
            while await call.read() is not grpc.aio.EOF:
                await asyncio.sleep(0.01)

        reader = asyncio.ensure_future(read_slowly())
        await until(lambda: submission.cancelled)
        reader.cancel()


async def test_a_stalled_stream_whose_job_is_done_is_not_kept_for_ever(ports: Ports) -> None:
    async with running(ports, stream_stall_timeout_s=0.2, client_options=NO_READ_AHEAD) as run:
        ports.inference.on_submit = lambda submission: (endless(submission), submission.answer(b"end"))[-1]
        stream = run.inference.StreamPredictions(REQUEST)
        await ports.inference.submitted()
        await until(lambda: run.server.open_calls == 0)
        assert await code_of_rest(stream) is CODE.RESOURCE_EXHAUSTED


async def test_the_schedulers_own_verdict_on_a_stalled_stream_does_not_wait_for_the_reader(
    run: Running, slow: Any
) -> None:
    run.ports.inference.on_submit = endless
    stream = slow.StreamPredictions(REQUEST)
    submission = await run.ports.inference.submitted()
    await settled(submission)
    submission.reply.fail(e.StreamStalled(seconds=30.0))
    await until(lambda: run.server.open_calls == 0)
    assert await code_of_rest(stream) is CODE.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("leave", ["cancels", "is lost", "reads slowly, then cancels"])
async def test_a_client_that_leaves_while_it_is_behind_frees_the_worker_at_once(
    run: Running, leave: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Long before anything takes it for a stalled reader; and what a client does is not the server's error."""
    run.ports.inference.on_submit = endless
    async with grpc.aio.insecure_channel(f"127.0.0.1:{run.server.port}", options=NO_READ_AHEAD) as channel:
        stream = InferenceAPIsServiceStub(channel).StreamPredictions(REQUEST)
        submission = await run.ports.inference.submitted()
        await settled(submission)
        if leave == "reads slowly, then cancels":
            for _ in range(3):
                await stream.read()
        if leave == "is lost":
            await channel.close(None)
        else:
            stream.cancel()
        await until(lambda: submission.cancelled)
        await until(lambda: run.server.open_calls == 0)
    assert not [record for record in caplog.records if record.exc_info]


async def code_of_rest(stream: Any) -> grpc.StatusCode:
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError:
        pass
    return await code_of(stream)


async def test_a_stream_that_ends_while_there_is_no_room_still_delivers_what_was_taken(engine: str) -> None:
    taken: list[int] = []

    def fill_then_finish(call: Call) -> None:
        part = Chunk(b"x" * 20_000, ResponseMeta(headers={"x-after": "all"}))
        while call.send([part]):
            taken.append(1)
        taken.append(1)
        call.finish()

    method = Method(path="/t.T/Fill", kind=Kind.STREAM, handle=fill_then_finish, status_of=inference_status("correct"))
    async with (
        GrpcServer(host="127.0.0.1", port=0, engine=engine, methods=[method], max_message_bytes=1000) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=NO_READ_AHEAD) as channel,
    ):
        stream = channel.unary_stream("/t.T/Fill")(b"")
        received = [message async for message in stream]
        assert list(await stream.trailing_metadata()) == [("x-after", "all")]
    assert len(received) == len(taken)


async def test_a_method_may_answer_a_stream_of_its_client_once(engine: str) -> None:
    def add_up(call: Call) -> None:
        numbers: list[int] = []
        call.on_message = lambda message: numbers.append(int(message))
        call.on_half_close = lambda: call.reply(str(sum(numbers)).encode())

    method = Method(path="/t.T/Sum", kind=Kind.CLIENT_STREAM, handle=add_up, status_of=inference_status("correct"))
    async with (
        GrpcServer(host="127.0.0.1", port=0, engine=engine, methods=[method], max_message_bytes=1000) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        add = channel.stream_unary("/t.T/Sum")
        assert await add(iter([b"1", b"20", b"300"])) == b"321"
        assert await add(iter([])) == b"0"
        refused = add(iter([b"1", bytes(1001)]))
        assert await code_of(refused) is CODE.RESOURCE_EXHAUSTED


async def test_of_answers_that_nobody_reads_listeners_of_grpcio_hold_half_the_budget_together() -> None:
    """Each answer is large enough to wait for its reader; what is too much is refused, and room comes back."""
    ports, options = Ports("grpcio"), [*NO_READ_AHEAD, ("grpc.max_receive_message_length", -1)]
    answer, budgets = bytes(8 << 20), Budgets(unread=48 << 20)
    ports.inference.on_submit = lambda submission: submission.answer(answer)
    async with (
        running(ports, budgets=budgets) as first,
        running(ports, budgets=budgets) as second,
        grpc.aio.insecure_channel(f"127.0.0.1:{first.server.port}", options=options) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{second.server.port}", options=options) as other,
    ):
        path = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
        unread, of_other = channel.unary_stream(path), other.unary_stream(path)
        calls = [ask(REQUEST.SerializeToString()) for ask in (unread, of_other) * 2 + (unread,)]
        await until(lambda: sum(call.done() for call in calls) == 3)
        codes = [await code_of(call) for call in calls if call.done()]
        assert codes == [CODE.RESOURCE_EXHAUSTED] * 3
        for call in calls:
            if not call.done():
                assert len(await call.read()) > len(answer)
                assert await code_of_rest(call) is CODE.OK
        assert len(await unread(REQUEST.SerializeToString()).read()) > len(answer)
        await until(lambda: budgets.unread.total == 0)
