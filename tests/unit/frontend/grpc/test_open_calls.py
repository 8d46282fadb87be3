"""A call ends once; the book of open calls is right at each step. No engine, no socket."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import field

from stoker.core.job import Input, Job, ModelKey
from stoker.core.ports import AccessRecord
from stoker.core.reply import Chunk, ReplyStream
from stoker.errors import BadRequest, WorkerDied
from stoker.frontend.grpc.call import Call, Kind, Method, Trailing
from stoker.frontend.grpc.engine_grpcio import readable_peer
from stoker.frontend.grpc.inference import inference_methods
from stoker.frontend.grpc.server import choose_engine
from stoker.frontend.grpc.status import Status, inference_status
from stoker.frontend.grpc.stream_call import StreamCall
from stoker.frontend.open_exchanges import OpenExchanges
from stoker.protos import inference_pb2 as pb


class RecordingCall(Call, kw_only=True):
    """Writes down what an engine would send; has room for ``room`` messages."""

    room: int = 1000
    sent: list[Any] = field(default_factory=list)

    def _answer(self, payload: bytes, trailing: Trailing) -> None:
        self.sent.append(payload)

    def _write(self, payloads: Sequence[bytes]) -> bool:
        self.sent += payloads
        self.room -= len(payloads)
        return self.room > 0

    def _finish(self, trailing: Trailing) -> None:
        self.sent.append("end")

    def _refuse(self, status: Status) -> None:
        self.sent.append(status.code)


class Log:
    def __init__(self) -> None:
        self.codes: list[int] = []

    def record(self, calls: Sequence[AccessRecord]) -> None:
        self.codes += [status for _, _, _, status, _, _ in calls]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def open_calls(log: Log) -> OpenExchanges:
    return OpenExchanges(
        access_log=log,
        max_message_bytes=1000,
        stream_stall_timeout_s=30.0,
    )


def begun(open_calls: OpenExchanges, handle: Callable[[Call], None], *, request: bytes = b"", **options: Any) -> Any:
    method = Method(path="/a.B/C", kind=Kind.STREAM, handle=handle, status_of=inference_status("correct"))
    return begun_as(open_calls, method, request=request, **options)


def begun_as(open_calls: OpenExchanges, method: Method, *, request: bytes, **options: Any) -> Any:
    call = RecordingCall(
        tracker=open_calls,
        work=method.handle,
        label=method.label,
        peer="1.2.3.4:5",
        started_at=time.monotonic(),
        request=request,
        while_draining=method.while_draining,
        method=method,
        metadata=(),
        encode=method.encode,
        **options,
    )
    open_calls.begin(call)
    return call


async def test_a_call_ends_exactly_once(open_calls: OpenExchanges, log: Log) -> None:
    call = begun(open_calls, lambda call: None)
    call.send_message(b"one")
    call.finish()
    call.finish()
    call.reply(b"x")
    call.fail(BadRequest())
    call.cancelled()
    call.send_message(b"two")
    await asyncio.sleep(0)
    assert (call.sent, log.codes, open_calls.open) == ([b"one", "end"], [0], set())


async def test_a_cancelled_call_tells_its_method_once_and_sends_nothing(open_calls: OpenExchanges, log: Log) -> None:
    told: list[int] = []
    call = begun(open_calls, lambda call: setattr(call, "on_cancel", lambda: told.append(1)))
    call.cancelled()
    call.cancelled()
    call.fail(BadRequest())
    await asyncio.sleep(0)
    assert (call.sent, told, log.codes) == ([], [1], [1])


async def test_an_exception_in_a_method_becomes_its_status_and_cancels_what_it_began(open_calls: OpenExchanges) -> None:
    told: list[int] = []

    def handle(call: Call) -> None:
        call.on_cancel = lambda: told.append(1)
        raise BadRequest

    assert begun(open_calls, handle).sent == [3]
    assert told == [1]


async def test_a_message_over_the_limit_never_reaches_its_method(open_calls: OpenExchanges) -> None:
    reached: list[Call] = []
    assert begun(open_calls, reached.append, request=b"x" * 1001).sent == [8]
    assert not begun(open_calls, reached.append, request=b"x" * 1000).sent
    assert len(reached) == 1


async def test_a_method_that_fails_when_room_comes_back_ends_its_call(open_calls: OpenExchanges) -> None:
    def broken() -> None:
        raise BadRequest

    call = begun(open_calls, lambda call: setattr(call, "on_writable", broken))
    call.became_writable()
    assert call.sent == [3]


@pytest.mark.parametrize(
    ("peer", "readable"),
    [
        ("ipv4:127.0.0.1:5", "127.0.0.1:5"),
        ("ipv6:%5B::1%5D:5", "[::1]:5"),
        ("ipv6:[::1]:5", "[::1]:5"),
        ("unix:", "unix"),
        ("unix:/a/b", "unix"),
    ],
)
def test_peers_are_logged_as_people_write_them(peer: str, readable: str) -> None:
    assert readable_peer(peer) == readable


# -------------------------------------------------------------------- the moving of answers, chunk by chunk


class Eager:
    """A port, and a producer that pushes the next part in the very moment room is made; for who wants the whole
    answer, it waits for nobody."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts
        self.reply: ReplyStream | None = None

    def submit(self, model: str, version: str | None, inputs: list[Input], *, streaming: bool, **_: Any) -> ReplyStream:
        job = Job(ModelKey(model, "1"), inputs)
        job.reply.producer, job.reply.job = self, job
        self.reply = job.reply
        self.push()
        while self.parts and not streaming:
            self.push()
        return job.reply

    def push(self) -> None:
        assert self.reply is not None
        part = self.parts.pop(0)
        self.reply.push(Chunk(part), last=not self.parts)

    def job_consumed(self, job: Job, nbytes: int) -> None:
        if self.parts:
            self.push()

    def job_cancelled(self, job: Job) -> None: ...

    def healthy(self) -> bool:
        return True


@pytest.mark.parametrize("streaming", [False, True])
async def test_parts_that_are_pushed_while_one_is_read_keep_their_order(
    open_calls: OpenExchanges, streaming: bool
) -> None:
    parts = [b"%d" % number for number in range(20)]
    method = inference_methods(Eager(list(parts)))[2 if streaming else 1]
    call = begun_as(open_calls, method, request=pb.PredictionsRequest(model_name="m").SerializeToString())
    answers = [pb.PredictionResponse.FromString(sent).prediction for sent in call.sent if sent != "end"]
    assert answers == (parts if streaming else [b"".join(parts)])


class Plain(Eager):
    def push(self) -> None: ...

    def job_consumed(self, job: Job, nbytes: int) -> None: ...


async def test_a_stream_reads_nothing_while_there_is_no_room_and_ends_after_the_rest(open_calls: OpenExchanges) -> None:
    port = Plain([])
    request = pb.PredictionsRequest(model_name="m").SerializeToString()
    call = begun_as(open_calls, inference_methods(port)[2], request=request, room=2)
    assert port.reply is not None
    for _ in range(5):
        port.reply.push(Chunk(b"x"), last=False)
    port.reply.fail(WorkerDied())
    assert (len(call.sent), port.reply.backlog) == (2, 3)
    call.room = 100
    call.became_writable()
    assert call.sent[5:] == [14]
    open_calls.close()


# ------------------------------------------------------------------------------------ the choice of engine


@pytest.mark.parametrize(
    ("setting", "engine"), [("auto", "nghttp2"), ("nghttp2", "nghttp2"), ("native", "nghttp2"), ("grpcio", "grpcio")]
)
def test_nghttp2_serves_every_listener_unless_grpcio_is_asked_for(setting: str, engine: str) -> None:
    assert choose_engine(setting) == engine


def test_an_old_configuration_hears_that_the_native_engine_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    choose_engine("native")
    assert "grpc_engine=native was removed" in caplog.text


def test_grpcio_serves_where_ngh2_is_missing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choose_engine("auto") == "grpcio"
    assert "pip install ngh2" in caplog.text


def test_clients_of_a_unix_socket_have_the_same_name_and_take_turns() -> None:
    first, second = object(), object()
    calls: list[Any] = [
        StreamCall(
            tracker=None,  # type: ignore[arg-type]
            work=print,
            label="",
            peer="unix",
            started_at=0.0,
            method=None,  # type: ignore[arg-type]
            metadata=(),
            encode=bytes,
            connection=connection,  # type: ignore[arg-type]
            id=1,
            head=None,  # type: ignore[arg-type]
            headers=(),
        )
        for connection in (first, first, second)
    ]
    assert [call.client for call in calls] == [first, first, second]
