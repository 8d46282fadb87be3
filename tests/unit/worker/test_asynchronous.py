"""An asynchronous handler has many calls at a time, and none of them changes another."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from worker_rig import Answer, Rig

from stoker.ipc.to_server import Failure
from stoker.ipc.to_worker import Cancel, Grant
from stoker.worker import calling, loading
from stoker.worker.context import Context
from stoker.worker.exceptions import PredictionException
from stoker.worker.handler_utils import send_intermediate_predict_response

RIG = {"window_bytes": 100}


def of(answers: list[Answer], batch_id: int) -> list[Any]:
    """Parts as bytes, the end as a list."""
    return [a.items[0] if a.part else a.items for a in answers if a.batch_id == batch_id]


def send(context: Context, part: bytes | bytearray) -> None:
    assert context.request_ids is not None
    send_intermediate_predict_response([part], context.request_ids, "", 200, context)


def test_calls_run_at_the_same_time_and_end_in_their_own_order(rig: Rig) -> None:
    second_ended = asyncio.Event()

    async def handle(data: Any, context: Context) -> Any:
        if data[0]["data"] == b"first":
            await second_ended.wait()
        second_ended.set()
        return [b"end"]

    rig.predict(b"first")
    rig.predict(b"second")
    rig.run_async(handle)
    assert [answer.batch_id for answer in rig.answers()] == [2, 1]


def test_each_call_has_one_row_and_a_context_of_its_own(rig: Rig) -> None:
    seen: list[Any] = []

    async def handle(data: Any, context: Context) -> Any:
        await asyncio.sleep(0)
        seen.append((data, context.request_ids))
        context.set_response_header(0, "x-name", bytes(data[0]["data"]).decode())
        await asyncio.sleep(0)
        return [b"ok"]

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run_async(handle)
    assert seen == [([{"data": b"a"}], {0: "id-1-0"}), ([{"data": b"b"}], {0: "id-2-0"})]
    assert [a.metas[0].headers for a in rig.answers()] == [{"x-name": "a"}, {"x-name": "b"}]


async def raises(data: Any, context: Context) -> Any:
    raise ValueError("secret")


async def refuses(data: Any, context: Context) -> Any:
    raise PredictionException("no", 429)


async def gives_no_list(data: Any, context: Context) -> Any:
    return "text"


async def gives_two(data: Any, context: Context) -> Any:
    return [b"1", b"2"]


async def cancels_itself(data: Any, context: Context) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("bad", "failure"),
    [
        (raises, calling.RAISED),
        (refuses, Failure("refused", 429, "no")),
        (gives_no_list, calling.NOT_A_LIST),
        (gives_two, calling.WRONG_LENGTH),
        (cancels_itself, calling.RAISED),
    ],
)
def test_a_failure_is_that_of_its_own_request(
    rig: Rig, bad: Callable[..., Any], failure: Failure, capfd: pytest.CaptureFixture[str]
) -> None:
    async def handle(data: Any, context: Context) -> Any:
        if data[0]["data"] == b"bad":
            return await bad(data, context)
        await asyncio.sleep(0)
        return [b"good"]

    rig.predict(b"good")
    rig.predict(b"bad")
    rig.predict(b"good")
    rig.run_async(handle)
    answers = rig.answers()
    assert of(answers, 2) == [[failure]]
    assert of(answers, 1) == of(answers, 3) == [[b"good"]]


def test_parts_come_in_their_order_before_the_end(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for part in (b"1", b"2", b"3"):
            send(context, part)
            await asyncio.sleep(0)
        return [b"end"]

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_async(handle)
    answers = rig.answers()
    assert of(answers, 1) == of(answers, 2) == [b"1", b"2", b"3", [b"end"]]


def test_a_thread_of_the_handler_may_send_parts(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        await asyncio.to_thread(send, context, b"part")
        return [b"end"]

    rig.predict(b"x")
    rig.run_async(handle)
    assert of(rig.answers(), 1) == [b"part", [b"end"]]


def test_a_call_whose_client_left_is_cancelled_and_no_other(rig: Rig) -> None:
    ended: list[str] = []

    async def handle(data: Any, context: Context) -> Any:
        try:
            if data[0]["data"] == b"left":
                rig.server.send(Cancel(1, 0))
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return [b"end"]

    rig.predict(b"left")
    rig.predict(b"stays")
    rig.run_async(handle)
    answers = rig.answers()
    assert of(answers, 1) == [[None]]
    assert of(answers, 2) == [[b"end"]]
    assert ended == ["cancelled"]


def test_a_part_for_a_client_that_left_is_dropped_and_the_call_ends_where_it_awaits(rig: Rig) -> None:
    """An engine that is awaited must see the cancellation itself, to give up its own work."""
    seen: list[str] = []

    async def engine() -> Any:
        try:
            while True:
                await asyncio.sleep(0)
                yield b"part"
        except asyncio.CancelledError:
            seen.append("aborted")
            raise

    async def handle(data: Any, context: Context) -> Any:
        async for part in engine():
            rig.server.send(Cancel(1, 0))
            rig.time.now += 1
            assert context.is_cancelled(0)
            send(context, part)

    rig.predict(b"x")
    rig.run_async(handle)
    assert of(rig.answers(), 1)[-1] == [None]
    assert seen == ["aborted"]


@pytest.mark.usefixtures("no_flusher")
def test_parts_of_a_dense_stream_leave_together_and_before_their_end(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for part in (b"a", b"b", b"c", b"d", b"e", b"f"):
            send(context, part)
            await asyncio.sleep(0)
        return [b"end"]

    rig.predict(b"x")
    rig.run_async(handle)
    assert rig.messages() == [b"a", b"b", b"c", b"def", b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_a_part_now_and_then_leaves_at_once_beside_a_dense_stream(rig: Rig) -> None:
    seen: list[Any] = []

    async def handle(data: Any, context: Context) -> Any:
        for _ in range(6):
            if data[0]["data"] == b"dense":
                send(context, b"d")
                await asyncio.sleep(0)
            else:
                rig.time.now += 0.002
                send(context, b"a")
                seen.append(of(rig.answers(), 2))
        return [b"end"]

    rig.predict(b"dense")
    rig.predict(b"now and then")
    rig.run_async(handle)
    assert seen == [[b"a"]] * 6


def test_what_is_held_leaves_though_the_handler_does_not_let_the_loop_go_on(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for part in (b"a", b"b", b"c", b"d", b"e"):
            send(context, part)
        seen = b""
        while seen != b"abcde":
            seen += rig.server.receive()[1]
        return [b"end"]

    rig.predict(b"x")
    rig.run_async(handle)
    assert rig.messages() == [b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_parts_of_several_dense_streams_leave_each_with_those_of_its_own(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for number in range(6):
            send(context, bytes(data[0]["data"]) + b"%d" % number)
            await asyncio.sleep(0)
        return [b"end"]

    rig.predict(b"a")
    rig.predict(b"b")
    rig.run_async(handle)
    assert sorted(rig.messages()) == [b"a0", b"a1", b"a2", b"a3a4a5", b"b0", b"b1", b"b2", b"b3b4b5", b"end", b"end"]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_leaves_before_drain_waits_for_the_reader(rig: Rig) -> None:
    seen: list[Any] = []

    async def handle(data: Any, context: Context) -> Any:
        if data[0]["data"] == b"reader":
            await asyncio.sleep(0)
            seen.extend(rig.messages())
            rig.server.send(Grant(1, 0, 100))
            return [b""]
        for _ in range(5):
            send(context, b"p" * 20)
        await context.drain()
        return [b"end"]

    rig.predict(b"writer")
    rig.predict(b"reader")
    rig.run_async(handle)
    assert b"".join(seen) == b"p" * 100


@pytest.mark.usefixtures("no_flusher")
def test_what_a_call_had_sent_when_it_failed_or_was_cancelled_leaves_too(
    rig: Rig, capfd: pytest.CaptureFixture[str]
) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for part in (b"a", b"b", b"c", b"d", b"e"):
            send(context, part)
        if data[0]["data"] == b"fails":
            raise ValueError
        rig.server.send(Cancel(2, 0))
        await asyncio.Event().wait()

    rig.predict(b"fails")
    rig.predict(b"is cancelled")
    rig.run_async(handle)
    answers = rig.answers()
    assert of(answers, 1) == [b"a", b"b", b"c", b"d", b"e", [calling.RAISED]]
    assert of(answers, 2) == [b"a", b"b", b"c", b"d", b"e", [None]]


@pytest.mark.usefixtures("no_flusher")
def test_what_is_held_is_not_lost_when_the_handler_ends_the_process(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        for part in (b"a", b"b", b"c", b"d", b"e"):
            send(context, part)
        raise SystemExit

    rig.predict(b"x")
    with pytest.raises(SystemExit):
        rig.run_async(handle)
    rig.connection.flush()  # as the worker does then
    assert b"".join(rig.messages()) == b"abcde"


@pytest.mark.parametrize("nbytes", [10, 70_000])
def test_a_handler_may_use_a_buffer_again_once_it_was_sent(nbytes: int) -> None:
    rig, seen = Rig(), list[bytes]()

    async def handle(data: Any, context: Context) -> Any:
        buffer = bytearray(nbytes)
        for each in (b"a", b"b"):
            buffer[:] = each * nbytes
            send(context, buffer)
            seen.extend(rig.messages())
        buffer[:] = b"-" * nbytes
        return [b"end"]

    rig.predict(b"x")
    rig.run_async(handle)
    assert seen + rig.messages() == [b"a" * nbytes, b"b" * nbytes, b"end"]
    rig.close()


def test_drain_waits_until_the_reader_has_read(rig: Rig) -> None:
    order: list[str] = []

    async def handle(data: Any, context: Context) -> Any:
        if data[0]["data"] == b"reader":
            await asyncio.sleep(0)
            order.append("grants")
            rig.server.send(Grant(1, 0, 100))
            return [b""]
        send(context, b"p" * 100)
        await context.drain()
        order.append("goes on")
        return [b"end"]

    rig.predict(b"writer")
    rig.predict(b"reader")
    rig.run_async(handle)
    assert order == ["grants", "goes on"]


def test_tasks_that_the_handler_made_are_cancelled_at_the_end(rig: Rig) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handle(data: Any, context: Context) -> Any:
        tasks.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))
        return [b"end"]

    rig.predict(b"x")
    rig.run_async(handle)
    assert of(rig.answers(), 1) == [[b"end"]]
    assert tasks[0].cancelled()


def test_the_marker_says_which_call_began_last(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        return [b"%d" % struct.unpack("<Q", rig.marker)]

    rig.predict(b"x")
    rig.predict(b"x")
    rig.run_async(handle)
    assert [a.items for a in rig.answers()] == [[b"1"], [b"2"]]


def test_a_request_whose_deadline_has_passed_is_not_begun(rig: Rig) -> None:
    async def handle(data: Any, context: Context) -> Any:
        raise AssertionError("never called")

    rig.predict(b"x", deadlines={0: rig.time.now - 1})
    rig.run_async(handle)
    assert of(rig.answers(), 1) == [[None]]


@pytest.mark.parametrize(
    ("source", "asynchronous", "envelope", "sentence"),
    [
        ("async def handle(data, context): ...", False, None, "needs asyncCommunication: true"),
        ("def handle(data, context): ...", True, None, "whose handle is 'async def'"),
        ("async def handle(data, context): ...", True, "json", "service_envelope"),
    ],
)
def test_a_handler_that_would_be_called_otherwise_than_it_is_made_for_is_refused(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    asynchronous: bool,
    envelope: str | None,
    sentence: str,
) -> None:
    name = f"kind_{abs(hash(source + str(envelope)))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        loading.find_entry(f"{name}.py", envelope, asynchronous=asynchronous)


@pytest.mark.parametrize("kind", [ValueError, GeneratorExit, asyncio.CancelledError])
def test_the_log_shows_where_any_exception_was_raised(
    rig: Rig, kind: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    async def handle(data: Any, context: Context) -> Any:
        raise kind("from the handler")

    rig.predict(b"x")
    rig.run_async(handle)
    assert [answer.items for answer in rig.answers()] == [[calling.RAISED]]
    printed = capfd.readouterr().err
    assert f"{kind.__name__}: from the handler" in printed
    assert "in handle" in printed and "asynchronous.py" not in printed.replace(__file__, "")


def test_a_cancellation_that_the_server_asked_for_is_not_logged(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    async def handle(data: Any, context: Context) -> Any:
        rig.server.send(Cancel(1, 0))
        await asyncio.Event().wait()

    rig.predict(b"x")
    rig.run_async(handle)
    assert of(rig.answers(), 1) == [[None]]
    assert capfd.readouterr().err == ""
