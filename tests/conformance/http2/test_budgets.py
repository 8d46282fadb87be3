"""Bounded memory, whatever clients send or leave unread, and large messages that take turns.

The bounds are wide: they tell bounded from unbounded.
"""

from __future__ import annotations

import asyncio

import pytest
from grpc_fakes import Ports
from h2_peer import (
    BIG,
    CANCEL,
    DATA,
    END_STREAM,
    INITIAL_WINDOW_SIZE,
    MIB,
    OK,
    REQUEST,
    RESOURCE_EXHAUSTED,
    RST_STREAM,
    STREAM_PREDICTIONS_2,
    UNAVAILABLE,
    WINDOW_UPDATE,
    frame,
    message,
    peer,
    serves,
)
from processes import resident_bytes
from waiting import until

from stoker.frontend import transfers
from stoker.frontend.grpc.limits import Limits
from stoker.frontend.grpc.server import GrpcServer
from stoker.frontend.listener import Budgets
from stoker.protos import inference_pb2

pytestmark = pytest.mark.usefixtures("wire")


async def test_a_message_over_the_limit_is_refused_by_its_length_alone(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(b"", length=2_000_000_000)))
        assert (await client.answer(1)).status == RESOURCE_EXHAUSTED
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


async def test_a_client_that_sends_past_its_window_is_cut_off(server: GrpcServer) -> None:
    async with peer(server.port) as client:
        client.send(client.headers(1), frame(DATA, 0, 1, message(b"", length=1000)))
        client.send(client.headers(3, path="/org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions"))
        for _ in range(50):
            client.send(frame(DATA, 0, 3, bytes(16_000)))
        await client.until(lambda: client.closed or client.answers.get(3) is not None)
        assert client.closed or client.answers[3].reset is not None or client.answers[3].status is not None
    assert await serves(server.port)


async def test_requests_that_do_not_fit_the_budget_wait_and_are_answered_later(ports: Ports) -> None:
    budgets = Budgets(unparsed=3 * MIB)
    budget = budgets.unparsed
    ports.inference.on_submit = lambda submission: submission.answer(b"taken")
    large = inference_pb2.PredictionsRequest(model_name="m", input={"data": bytes(2 * MIB)}).SerializeToString()
    body = message(large)
    async with ports.server(budgets=budgets) as server, peer(server.port) as first, peer(server.port) as second:
        first.send(first.headers(1), frame(DATA, 0, 1, body[:16_000]))
        await until(lambda: budget.taken > 0)
        second.send(second.headers(1), frame(DATA, 0, 1, body[:16_000]))
        await asyncio.sleep(0.05)
        assert second.window_updates.get(1, 0) == 0  # it may not go on
        assert await serves(server.port)  # small requests go on
        await _send_rest(first, body, 16_000)
        assert (await first.answer(1)).status == OK
        await second.until(lambda: second.window_updates.get(1, 0) > 0)
        await _send_rest(second, body, 16_000)
        assert (await second.answer(1)).status == OK
    assert budget.taken == 0


async def _send_rest(client: object, body: bytes, at: int) -> None:
    """Minds the window of the stream as the server opens it."""
    sent = at
    while sent < len(body):
        await client.until(lambda sent=sent: sent < 65_535 + client.window_updates.get(1, 0))  # type: ignore[attr-defined]
        room = min(16_000, 65_535 + client.window_updates.get(1, 0) - sent)  # type: ignore[attr-defined]
        last = sent + room >= len(body)
        client.send(frame(DATA, END_STREAM if last else 0, 1, body[sent : sent + room]))  # type: ignore[attr-defined]
        sent += room


async def test_half_said_requests_hold_no_more_than_the_budget(ports: Ports) -> None:
    """100 clients announce 6 MB each, send what they may, and stop."""
    budgets = Budgets(unparsed=32 * MIB)
    budget = budgets.unparsed
    async with ports.server(budgets=budgets) as server:
        before = resident_bytes()
        clients = [peer(server.port) for _ in range(100)]
        opened = [await client.__aenter__() for client in clients]
        try:
            for client in opened:
                client.send(client.headers(1), frame(DATA, 0, 1, message(bytes(16_000), length=6_000_000)))
            await asyncio.sleep(0.3)
            assert budget.taken <= 32 * MIB
            assert resident_bytes() - before < 150 * MIB
            assert await serves(server.port)
        finally:
            for client in clients:
                await client.__aexit__(None, None, None)
        await until(lambda: budget.taken == 0)


async def test_small_requests_that_stay_incomplete_have_a_share_of_the_budget_and_the_rest_are_refused(
    ports: Ports,
) -> None:
    """One client announces 60 KB on each of 200 streams, and finishes none."""
    budgets = Budgets(unparsed=4 * MIB)
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as client:
            for id in range(1, 401, 2):
                client.send(client.headers(id), frame(DATA, 0, id, message(b"x", length=60_000)))
            assert (await client.answer(399)).status == UNAVAILABLE
            assert budgets.unparsed.taken <= 4 * MIB
            refused = [answer for answer in client.answers.values() if answer.status == UNAVAILABLE]
            assert len(refused) == 200 - MIB // 60_000 - MIB // 60_000
            assert await serves(server.port)
        await until(lambda: budgets.unparsed.taken == 0)


async def test_large_requests_wait_only_as_far_as_what_they_sent_ahead_has_room(ports: Ports) -> None:
    budgets = Budgets(unparsed=4 * MIB)
    body = message(bytes(1000), length=90_000)
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as client:
            for id in range(1, 201, 2):
                client.send(client.headers(id), frame(DATA, 0, id, body))
            assert (await client.answer(199)).status == UNAVAILABLE
            assert budgets.unparsed.taken <= 4 * MIB
            waiting, received = MIB // (64 << 10), MIB // (90_000 * 9 // 8)
            refused = [answer for answer in client.answers.values() if answer.status == UNAVAILABLE]
            assert len(refused) == 100 - waiting - received
            assert await serves(server.port)
        await until(lambda: budgets.unparsed.taken == 0)


async def test_a_connection_that_fills_its_part_of_the_budget_leaves_the_rest_to_others(ports: Ports) -> None:
    budgets = Budgets(unparsed=4 * MIB)
    body = message(bytes(1000), length=90_000)
    reserved, waiting = range(1, 21, 2), range(21, 41, 2)
    ports.inference.on_submit = lambda submission: submission.answer(b"taken")
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as greedy, peer(server.port) as other:
            for id in (*reserved, *waiting):
                greedy.send(greedy.headers(id), frame(DATA, 0, id, body))
            await greedy.until(lambda: all(greedy.window_updates.get(id, 0) for id in reserved))
            assert not any(greedy.window_updates.get(id, 0) for id in waiting)
            large = inference_pb2.PredictionsRequest(model_name="m", input={"data": bytes(89_000)})
            other.send(other.headers(1))
            await _send_rest(other, message(large.SerializeToString()), 0)
            assert (await other.answer(1)).status == OK
            for id in reserved:
                greedy.send(frame(RST_STREAM, 0, id, CANCEL))
            await greedy.until(lambda: all(greedy.window_updates.get(id, 0) for id in waiting))
        await until(lambda: budgets.unparsed.taken == 0)


async def test_messages_of_a_stream_count_while_its_method_takes_none(ports: Ports) -> None:
    budgets = Budgets(unparsed=4 * MIB)
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB))
    request = inference_pb2.PredictionsRequest(model_name="m", input={"data": bytes(15_000)}).SerializeToString()
    async with ports.server(budgets=budgets) as server:
        async with peer(server.port) as client:
            client.send(client.headers(1, path=STREAM_PREDICTIONS_2), frame(DATA, 0, 1, message(request)))
            await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
            client.send(*(frame(DATA, 0, 1, message(request)) for _ in range(3)))
            await until(lambda: budgets.unparsed.taken >= 45_000)
            assert len(ports.inference.submissions) == 1, "the client does not read its answer"
        await until(lambda: budgets.unparsed.taken == 0)


async def test_unread_answers_stop_the_reading_of_more_requests(ports: Ports) -> None:
    """A client asks for 200 answers of 1 MiB and reads none: some are made, then its requests stay unread."""
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    async with ports.server(limits=Limits(unread_bytes=8 * MIB)) as server:
        before = resident_bytes()
        async with peer(server.port, settings={INITIAL_WINDOW_SIZE: 65_535}) as client:
            for id in range(1, 401, 2):
                client.call(id, BIG)
                await client.drained()
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert len(ports.inference.submissions) < 100
            assert resident_bytes() - before < 150 * MIB
            assert await serves(server.port)


async def test_answers_larger_than_what_may_be_unread_go_on_while_the_client_reads(ports: Ports) -> None:
    """Reading stops for a client that leaves too much unread, but what opens its windows must still be read."""
    large = bytes(range(256)) * 4096 * 3
    ports.inference.on_submit = lambda submission: submission.answer(large if submission.model == "big" else b"x")
    async with ports.server(limits=Limits(unread_bytes=MIB)) as server, peer(server.port) as client:
        for id in (1, 3, 5):
            client.call(id, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        client.call(7, REQUEST)  # comes while too much is unread
        client.send(client.headers(9), frame(RST_STREAM, 0, 9, CANCEL))
        while not all(client.answers.get(id) and client.answers[id].ended for id in (1, 3, 5, 7)):
            grant = (256 << 10).to_bytes(4, "big")
            client.send(*(frame(WINDOW_UPDATE, 0, id, grant) for id in (0, 1, 3, 5)))
            await asyncio.sleep(0.001)
        assert [client.answers[id].status for id in (1, 3, 5, 7)] == [OK] * 4
        assert all(client.answers[id].body.endswith(large) for id in (1, 3, 5))
        assert len(ports.inference.submissions) == 4


async def test_what_comes_while_too_much_is_unread_counts_in_the_budget(ports: Ports) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB))
    budgets = Budgets()
    async with (
        ports.server(budgets=budgets, limits=Limits(unread_bytes=MIB // 2)) as server,
        peer(server.port) as client,
    ):
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        for id in range(3, 203, 2):
            client.send(client.headers(id), *[frame(DATA, 0, id, bytes(15_000))] * 4)
        await until(lambda: budgets.unread.total > 6 * MIB)
        assert budgets.unparsed.taken == 0
        assert len(ports.inference.submissions) == 1
    await until(lambda: budgets.unread.total == 0)


async def test_a_large_answer_that_the_client_resets_is_forgotten(ports: Ports) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(MIB if submission.model == "big" else 1))
    budgets = Budgets()
    async with ports.server(budgets=budgets) as server, peer(server.port) as client:
        client.call(1, BIG)
        await client.until(lambda: 1 in client.answers and len(client.answers[1].body) >= 65_535)
        client.send(frame(RST_STREAM, 0, 1, CANCEL))
        await until(lambda: budgets.unread.total == 0)
        client.send(frame(WINDOW_UPDATE, 0, 0, MIB.to_bytes(4, "big")))
        client.call(3, REQUEST)
        assert (await client.answer(3)).status == OK


@pytest.mark.parametrize("model", ["big", "m"], ids=["answer", "request"])
async def test_a_large_message_takes_turns(ports: Ports, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is read, or sent, as fast as the server goes would keep the others of its loop waiting."""
    turns: list[int] = []
    begin = transfers.Transfers._begin_turn
    monkeypatch.setattr(transfers, "TURN_BYTES", 256 << 10)
    monkeypatch.setattr(transfers.Transfers, "_begin_turn", lambda it: (turns.append(1), begin(it)))
    ports.inference.on_submit = lambda submission: submission.answer(bytes(6 * MIB if model == "big" else 1))
    data = bytes(1 if model == "big" else 6 * MIB)
    large = inference_pb2.PredictionsRequest(model_name=model, input={"data": data}).SerializeToString()
    wide = {INITIAL_WINDOW_SIZE: (1 << 31) - 1}
    async with ports.server() as server, peer(server.port, settings=wide) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")), client.headers(1))
        body = message(large)
        for start in range(0, len(body), 16_384):
            await client.until(lambda at=start: client.window_updates.get(1, 0) + 65_535 >= at + 16_384)
            end = END_STREAM if start + 16_384 >= len(body) else 0
            client.send(frame(DATA, end, 1, body[start : start + 16_384]))
        assert (await client.answer(1)).status == OK
    assert len(turns) > 6
