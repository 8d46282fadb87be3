"""Who gets in at the border, and what becomes of whoever does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator

import pytest
from border_kit import NODE, access_of, agent_of, connect, open_border, remote_process, token_of

from stoker.errors import BindError, WorkerDied
from stoker.ipc.agent_messages import Exited, Output, Refused, Started
from stoker.ipc.opening import Kind, encode_opening
from stoker.pool.remote import border as borders
from stoker.pool.remote import expected_worker, opening
from stoker.pool.remote.border import Border


async def is_closed(sock: socket.socket) -> bool:
    """Waits until the border has closed the connection, having answered nothing."""
    try:
        return not await asyncio.to_thread(sock.recv, 1)
    except ConnectionError:
        return True


@contextlib.contextmanager
def raw(border: Border) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", border.port), 30) as sock:
        yield sock


@pytest.mark.parametrize("tls", [True, False])
async def test_an_agent_and_its_worker_make_a_process(tls: bool) -> None:
    async with open_border(tls=tls) as border, remote_process(border) as (process, _, worker):
        assert (process.node, process.pid) == (NODE, 4711)
        await asyncio.to_thread(worker.sendall, b"frames")
        await asyncio.to_thread(lambda: None)
        while True:
            with contextlib.suppress(BlockingIOError):
                assert process.sock.recv(100) == b"frames"
                break
            await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [True, False])
async def test_whoever_has_no_token_is_closed_without_an_answer(tls: bool) -> None:
    async with open_border(tls=tls) as border:
        expected = border.expect("w")
        for token in (bytes(40), os.urandom(40), token_of(expected, Kind.AGENT)[:8] + os.urandom(32)):
            with pytest.raises(OSError):
                await connect(expected, Kind.AGENT, agent_token=token)
        async with agent_of(expected):
            pass  # a wrong secret has not used the token up


async def test_a_token_opens_one_connection_of_its_own_kind() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        for kind in (Kind.WORKER, Kind.FETCH):
            with pytest.raises(OSError):
                await connect(expected, kind, agent_token=token_of(expected, Kind.AGENT))
        async with agent_of(expected):
            with pytest.raises(OSError):
                await connect(expected, Kind.AGENT)


async def test_tokens_die_with_the_wait() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        expected.cancel()
        for kind in (Kind.AGENT, Kind.WORKER):
            with pytest.raises(OSError):
                await connect(expected, kind)
        assert len(border._tokens) == 0


async def test_tokens_that_were_not_needed_die_when_the_process_is_there() -> None:
    async with open_border() as border, remote_process(border):
        assert len(border._tokens) == 0


GARBAGE = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40, b"\x00" * 64, encode_opening(Kind.AGENT, bytes(40))[::-1]]


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_closed(tls: bool, garbage: bytes) -> None:
    """Plain text on TLS is garbage, too."""
    async with open_border(tls=tls) as border:
        with raw(border) as sock:
            sock.sendall(garbage)
            assert await is_closed(sock) or tls  # TLS says goodbye with an alert


async def test_a_huge_first_message_is_not_read() -> None:
    async with open_border(tls=False) as border:
        with raw(border) as sock:

            def flood() -> int:
                sent = 0
                with contextlib.suppress(OSError):
                    while sent < 64 << 20:
                        sent += sock.send(bytes(1 << 16))
                return sent

            assert await asyncio.to_thread(flood) < 64 << 20


@pytest.mark.parametrize("tls", [True, False])
async def test_a_silent_connection_is_closed(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "TIMEOUT_S", 0.05)
    async with open_border(tls=tls) as border:
        with raw(border) as sock:
            assert await is_closed(sock)


async def test_an_opening_in_many_small_pieces_is_closed() -> None:
    async with open_border(tls=False) as border:
        with raw(border) as silent, raw(border) as slow:
            slow.sendall(encode_opening(Kind.AGENT, bytes(40))[:10])
            slow.shutdown(socket.SHUT_WR)
            assert await is_closed(slow)
            assert silent.fileno() >= 0


async def test_the_newest_connection_is_served_however_many_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borders, "MOST_UNKNOWN", 8)
    async with open_border() as border:
        with contextlib.ExitStack() as held:
            silent = [held.enter_context(raw(border)) for _ in range(100)]
            async with remote_process(border) as (process, _, _):
                assert process.pid == 4711
            assert len(border._unknown) <= 8
            assert await is_closed(silent[0])


async def test_a_worker_cannot_come_before_its_agent() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        worker = await connect(expected, Kind.WORKER)
        assert await asyncio.to_thread(worker.recv, 1) == b""
        worker.close()


async def test_refusals_are_counted_in_the_log_and_not_listed(caplog: pytest.LogCaptureFixture) -> None:
    async with open_border(tls=False) as border:
        expected = border.expect("w")
        with caplog.at_level(logging.DEBUG, "stoker"):
            for _ in range(5):
                with raw(border) as sock:
                    sock.sendall(b"secret-text" * 10)
                    assert await is_closed(sock)
            async with agent_of(expected):
                pass
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("stoker.pool.remote")]
    assert len(lines) == 1
    assert "secret-text" not in caplog.text
    assert token_of(expected, Kind.AGENT).hex() not in caplog.text


async def test_a_port_in_use_is_an_error() -> None:
    async with open_border() as border:
        with pytest.raises(BindError):
            await Border("127.0.0.1", border.port).start()


async def test_nodes_are_told_the_advertised_host_and_the_port_in_use() -> None:
    async with open_border(advertise="server.example") as border:
        access = access_of(border.expect("w"))
        assert (access.host, access.port) == ("server.example", border.port)
        assert access.ca is not None
        assert "PRIVATE" not in access.ca


# ------------------------------------------------------------------------------- waiting for a process


async def test_an_agent_that_refuses_says_why() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        waiting = asyncio.ensure_future(expected.process())
        async with agent_of(expected) as agent:
            await agent.send(Refused("the disk of the node is full"))
            with pytest.raises(WorkerDied, match="the disk of the node is full"):
                await waiting
            await agent.closed()


async def test_a_worker_that_ends_before_it_connects_leaves_its_last_lines_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_border() as border:
        expected = border.expect("w")
        waiting = asyncio.ensure_future(expected.process())
        async with agent_of(expected) as agent:
            await agent.send(Started(1))
            await agent.send(Output(2), b"No module named stoker\n")
            await agent.send(Exited(code=1, progress=0))
            with pytest.raises(WorkerDied, match="exit code 1"):
                await waiting
    assert f"Worker w on {NODE}: No module named stoker" in caplog.text


async def test_an_agent_that_leaves_before_its_worker_came_is_a_death() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        waiting = asyncio.ensure_future(expected.process())
        async with agent_of(expected) as agent:
            await agent.send(Started(1))
            agent.close()
            with pytest.raises(WorkerDied, match="closed its connection"):
                await waiting


async def test_nobody_waits_for_an_agent_or_a_worker_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_border() as border:
        expected = border.expect("w")
        expected._agent_timeout_s = 0.05
        with pytest.raises(WorkerDied, match="no agent connected"):
            await expected.process()
        expected = border.expect("w")
        expected._worker_timeout_s = 0.05
        waiting = asyncio.ensure_future(expected.process())
        async with agent_of(expected) as agent:
            await agent.send(Started(1))
            with pytest.raises(WorkerDied, match=r"the process on node-7 \(10.0.0.7\) did not connect within"):
                await waiting
    assert expected_worker.AGENT_TIMEOUT_S >= 60


async def test_who_placed_it_may_say_that_it_is_lost_at_any_time() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        waiting = asyncio.ensure_future(expected.process())
        await asyncio.sleep(0)
        expected.lost("the node node-7 was lost")
        with pytest.raises(WorkerDied, match="the node node-7 was lost"):
            await waiting
        early = border.expect("w")
        early.lost("the node node-8 was lost")
        with pytest.raises(WorkerDied, match="the node node-8 was lost"):
            await early.process()


async def test_a_cancelled_wait_closes_what_has_connected() -> None:
    async with open_border() as border:
        expected = border.expect("w")
        waiting = asyncio.ensure_future(expected.process())
        async with agent_of(expected) as agent:
            await agent.send(Started(1))
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await agent.closed()
