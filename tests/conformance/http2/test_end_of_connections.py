"""Why and how a connection ends: its client is slow, idle or silent, says goodbye, or the server drains."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest
from grpc_fakes import Ports, running
from h2_peer import (
    BIG,
    CANCELLED,
    DATA,
    DEADLINE_EXCEEDED,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MIB,
    NO_ERROR,
    OK,
    PING,
    PREDICTIONS,
    REQUEST,
    SETTINGS,
    STREAM_PREDICTIONS,
    STREAM_PREDICTIONS_2,
    UNAVAILABLE,
    UNIMPLEMENTED,
    WINDOW_UPDATE,
    frame,
    message,
    peer,
    serves,
)
from waiting import until

from stoker.frontend import connections
from stoker.frontend.grpc import connection as connection_module
from stoker.frontend.grpc.engine import ConnectionAge
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.listener import Budgets
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")
GOODBYE = frame(GOAWAY, 0, 0, bytes(8))
NOTICE = frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xfe" + bytes(4))  # the last stream that a server can begin


async def test_a_client_that_leaves_answers_unread_is_let_go(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(stream_stall_timeout_s=0.3) as server, peer(server.port) as client:
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and (client.answers[1].reset is not None or client.closed))
        assert client.closed or client.answers[1].reset == ENHANCE_YOUR_CALM
        assert await serves(server.port)


@pytest.mark.parametrize("flood", [b"", frame(PING, 0, 0, bytes(8)) * 5000])
async def test_a_client_that_reads_nothing_at_all_is_cut(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    """Its windows are as wide as can be: what is stuck lies in the socket, and an orderly end would wait behind it."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(stream_stall_timeout_s=0.3) as server, peer(server.port) as client:
        await client.until(lambda: bool(client.settings))
        client.reading = False
        client.send(
            frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (1 << 30).to_bytes(4, "big")),
            frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")),
        )
        for stream in range(1, 20, 2):
            client.call(stream, BIG)
        client.send(flood)
        opened = server._engine.connections  # type: ignore[union-attr]
        await until(lambda: not opened.open)
        assert await serves(server.port)


@pytest.mark.parametrize(
    "sent",
    [b"", message(b"", length=1000), message(b"x" * 100, length=70_000), message(REQUEST)],
    ids=["nothing", "a part", "a part of a large one", "all but the end"],
)
async def test_a_request_that_stops_half_way_is_given_up(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    budgets = Budgets()
    async with ports.server(limits=Limits(slow_s=0.2), budgets=budgets) as server, peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, sent))
        await until(lambda: (budgets.unparsed.taken > 0) is bool(sent))
        answer = await client.answer(1)
        assert (answer.status, ("grpc-message", "The request did not arrive in time.") in answer.headers) == (
            CANCELLED,
            True,
        )
        assert budgets.unparsed.taken == 0


async def test_a_deadline_counts_from_the_call_not_from_the_end_of_its_request(
    server: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, delays = asyncio.get_running_loop(), list[float]()
    call_later = loop.call_later

    def recorded(delay: float, callback: object, *arguments: object, **options: object) -> asyncio.TimerHandle:
        if getattr(callback, "__name__", "") == "_on_deadline":
            delays.append(delay)
        return call_later(delay, callback, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_later", recorded)
    body, opened = message(b""), server._engine.connections.open  # type: ignore[union-attr]
    async with peer(server.port) as client:
        head = client.headers(1, path="/grpc.health.v1.Health/Check", extra=[("grpc-timeout", "60S")])
        client.send(head, frame(DATA, 0, 1, body[:3]))
        await until(lambda: any(connection.calls for connection in opened))
        began = time.monotonic()
        await asyncio.sleep(0.05)
        lasted = time.monotonic() - began
        client.send(frame(DATA, END_STREAM, 1, body[3:]))
        await client.answer(1)
    assert delays
    assert delays[0] <= 60 - lasted


async def test_an_answer_that_the_client_cannot_take_by_its_deadline_is_dropped(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    budgets = Budgets()
    async with ports.server(budgets=budgets) as server, peer(server.port, settings={INITIAL_WINDOW_SIZE: 0}) as client:
        client.call(1, REQUEST, extra=[("grpc-timeout", "300m")])
        client.call(3, REQUEST)
        assert (await client.answer(1)).reset == 8  # CANCEL
        client.send(frame(WINDOW_UPDATE, 0, 3, MIB.to_bytes(4, "big")))
        assert (await client.answer(3)).status == OK
        await until(lambda: budgets.unread.total == 0)


@pytest.mark.parametrize("path", [PREDICTIONS, "/grpc.health.v1.Health/Check"])
async def test_a_deadline_ends_a_call_whose_request_has_not_come(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    budgets = Budgets()
    async with ports.server(budgets=budgets) as server, peer(server.port) as client:
        head = client.headers(1, path=path, extra=[("grpc-timeout", "300m")])
        client.send(head, frame(DATA, 0, 1, message(REQUEST)[:-1]))
        assert (await client.answer(1)).status == DEADLINE_EXCEEDED
        assert budgets.unparsed.taken == 0


async def test_a_connection_that_says_nothing_is_closed(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(first_s=0.2)) as server, peer(server.port, greet=False) as client:
        await client.until(lambda: client.closed)
        assert await serves(server.port)


@pytest.mark.parametrize(
    "sent", [frame(PING, 0, 0, bytes(8)), frame(HEADERS, 0, 1, b"\x83")], ids=["ping", "half a head"]
)
async def test_a_connection_without_its_first_call_is_asked_to_go(
    ports: Ports, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """Some libraries connect long before they call; what else they send is not a request."""
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(first_s=0.2)) as server, peer(server.port) as client:
        client.answers_pings = False  # half a head allows no acknowledgement after it
        await client.until(lambda: bool(client.settings))
        client.send(sent)
        await client.until(lambda: client.closed)
        assert client.goaway == NO_ERROR


@pytest.mark.parametrize("wire", ["tcp"], indirect=True)
async def test_a_library_that_connects_long_before_its_first_call_connects_again_for_it(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with running(ports, limits=Limits(first_s=0.2)) as run:
        opened = run.server._engine.connections  # type: ignore[union-attr]
        await run.channel.channel_ready()
        await until(lambda: not opened.open)
        monkeypatch.setattr(connections, "SWEEP_S", 60.0)
        assert await run.inference.Predictions(inference_pb2.PredictionsRequest(model_name="m", input={"data": b"x"}))


async def test_an_idle_connection_is_asked_to_go_after_its_time(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    async with ports.server(limits=Limits(idle_s=0.2)) as server, peer(server.port) as client:
        client.call(1, REQUEST)
        assert (await client.answer(1)).status == OK
        await client.until(lambda: client.closed)
        assert client.goaway == NO_ERROR


@pytest.mark.parametrize("path", [PREDICTIONS, "/grpc.health.v1.Health/Check", "/no.such.Service/Method"])
async def test_after_its_first_call_a_connection_may_be_idle_for_longer(ports: Ports, path: str) -> None:
    async with ports.server(limits=Limits(first_s=60.0, idle_s=600.0)) as server, peer(server.port) as client:
        client.send(client.headers(1, path=path), frame(DATA, END_STREAM, 1, message(b"")))
        await client.answer(1)
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        connection.check_timeouts(connection.quiet_since + 599.0)
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK
        connection.check_timeouts(connection.quiet_since + 601.0)
        await client.until(lambda: client.closed)
        assert client.goaway == NO_ERROR


async def test_a_connection_that_only_watches_the_health_stays(ports: Ports) -> None:
    async with ports.server() as server, peer(server.port) as client:
        watch = client.headers(1, path="/grpc.health.v1.Health/Watch")
        client.send(watch, frame(DATA, END_STREAM, 1, message(b"")))
        await client.until(lambda: 1 in client.answers and client.answers[1].frames == 1)
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        connection.check_timeouts(connection.quiet_since + 10_000.0)
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK
        assert client.goaway is None


# -------------------------------------------------------------------------------------------------- goodbyes


@pytest.mark.parametrize("said", [GOODBYE, NOTICE + GOODBYE], ids=["at once", "in two steps"])
async def test_a_client_that_says_goodbye_is_answered_and_let_go(ports: Ports, said: bytes) -> None:
    ports.inference.on_submit = None
    async with ports.server() as server, peer(server.port) as client:
        client.call(1, REQUEST)
        submission = await ports.inference.submitted()
        client.send(said, frame(PING, 0, 0, b"12345678"))
        await client.until(lambda: client.pings == 1)
        submission.answer(b"last")
        assert (await client.answer(1)).status == OK
        await client.until(lambda: client.closed)


@pytest.mark.parametrize("then", [b"", frame(GOAWAY, 0, 0, bytes(8)), frame(PING, 0, 0, b"12345678")])
async def test_a_goodbye_with_nothing_open_ends_the_connection_without_a_word_in_the_log(
    server: GrpcServer, caplog: pytest.LogCaptureFixture, then: bytes
) -> None:
    """Some clients leave their end open until the server closes its own, or say it twice."""
    caplog.set_level("INFO")
    async with peer(server.port) as client:
        client.call(1, REQUEST)
        assert (await client.answer(1)).status == OK
        client.send(GOODBYE)
        await client.drained()
        client.send(then)
        await client.until(lambda: client.closed)
    await server.drain(1.0)
    assert "connection closed" not in caplog.text


async def test_a_closed_connection_is_freed_long_before_its_age(ports: Ports) -> None:
    async with ports.server(connection_age=ConnectionAge(age_s=1000.0, grace_s=1000.0)) as server:
        connections = server._engine.connections.open  # type: ignore[union-attr]
        async with peer(server.port) as client:
            client.call(1, REQUEST)
            assert (await client.answer(1)).status == OK
            closed = weakref.ref(next(iter(connections)))
        await until(lambda: not connections and (gc.collect(), closed())[1] is None)


AT_THE_END_OF_ITS_AGE = {
    "unary": (PREDICTIONS, message(REQUEST), END_STREAM),
    "half a request": (PREDICTIONS, message(REQUEST)[:-1], 0),
    "stream": (STREAM_PREDICTIONS, message(REQUEST), END_STREAM),
    "conversation": (STREAM_PREDICTIONS_2, b"", 0),
    "watch": ("/grpc.health.v1.Health/Watch", message(b""), END_STREAM),
    "reflection": ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", message(b":\x01*"), 0),
}


@pytest.mark.parametrize("kind", AT_THE_END_OF_ITS_AGE)
async def test_what_outlasts_the_grace_of_a_connection_is_answered_before_it_closes(ports: Ports, kind: str) -> None:
    ports.inference.on_submit = None
    path, request, end = AT_THE_END_OF_ITS_AGE[kind]
    age = ConnectionAge(age_s=0.1, grace_s=0.4)
    async with ports.server(connection_age=age) as server, peer(server.port) as client:
        client.send(client.headers(1, path=path), frame(DATA, end, 1, request))
        assert (await client.answer(1)).status == UNAVAILABLE
        assert client.goaway == NO_ERROR
        await client.until(lambda: client.closed)
        assert server.open_calls == 0


async def test_a_client_that_reads_nothing_does_not_outlast_the_grace(ports: Ports) -> None:
    age = ConnectionAge(age_s=0.1, grace_s=0.1)
    async with (
        ports.server(connection_age=age) as server,
        peer(server.port, settings={INITIAL_WINDOW_SIZE: 0}) as client,
    ):
        client.call(1, REQUEST)
        await client.until(lambda: client.closed)


# ----------------------------------------------------------------------------------------------------- drains


async def test_a_drain_waits_for_nobody_who_connects_meanwhile(ports: Ports) -> None:
    """Health checks may, until the server ends."""
    ports.inference.on_submit = None
    async with ports.server() as server, peer(server.port) as client:
        client.call(1, REQUEST)
        submission = await ports.inference.submitted()
        drain = asyncio.ensure_future(server.drain(1000.0))
        await client.until(lambda: client.goaway is not None)
        async with peer(server.port) as checking:
            path = "/grpc.health.v1.Health/Check"
            checking.send(checking.headers(1, path=path), frame(DATA, END_STREAM, 1, message(b"")))
            assert (await checking.answer(1)).status == OK
            submission.answer(b"last")
            await drain
            assert not checking.closed


async def test_a_drain_refuses_a_request_that_is_not_whole_at_its_end(ports: Ports) -> None:
    async with ports.server() as server, peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(REQUEST)[:-1]))
        await client.until(lambda: 0 in client.window_updates)
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        await until(lambda: bool(connection.calls))
        await server.drain(1000.0)
        assert (await client.answer(1)).status == UNAVAILABLE


async def test_a_stop_without_a_drain_refuses_a_request_that_is_not_whole(ports: Ports) -> None:
    async with ports.server() as server, peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(REQUEST)[:-1]))
        open_ones = server._engine.connections.open  # type: ignore[union-attr]
        await until(lambda: any(connection.calls for connection in open_ones))
        await server.__aexit__()
        assert (await client.answer(1)).status == UNAVAILABLE


async def test_a_drain_answers_a_call_whose_refusal_waits_for_its_request(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_S", 1000.0)  # which would answer it at last
    async with ports.server() as server, peer(server.port) as client:
        client.send(client.headers(1, path="/a.B/C"))
        open_ones = server._engine.connections.open  # type: ignore[union-attr]
        await until(lambda: any(connection._refused for connection in open_ones))
        await server.drain(1000.0)
        assert (await client.answer(1)).status == UNIMPLEMENTED
        await client.until(lambda: client.closed)


async def test_an_answer_on_its_way_arrives_although_its_client_sends_after_the_last_goaway(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that gets bytes for a closed socket would drop what it has not delivered."""
    monkeypatch.setattr(connection_module, "_GOAWAY_PAUSE_S", 0.0)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB))
    async with ports.server() as server, peer(server.port, settings={INITIAL_WINDOW_SIZE: 2 * MIB}) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (2 * MIB).to_bytes(4, "big")))
        await client.until(lambda: bool(client.settings))
        client.reading = False
        client.call(1, BIG)
        (connection,) = server._engine.connections.open  # type: ignore[union-attr]
        await until(lambda: bool(connection._headers) and not connection.calls)
        drain = asyncio.ensure_future(server.drain(1000.0))
        await until(lambda: connection._final_goaway and not connection._flush_planned)
        for _ in range(10):
            client.send(frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")))
            await client.drained()
        client.reading = True
        answer = await client.answer(1)
        assert (answer.status, len(answer.body) >= MIB) == (OK, True)
        await client.close()
        await drain
