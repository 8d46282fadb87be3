"""What the pool sees of a process on another machine, against an agent in this process."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from border_kit import NODE, open_border, remote_process

from stoker.errors import WorkerDied, WorkerOutOfMemory
from stoker.ipc.agent_messages import (
    OUTPUT_REST_BYTES,
    OUTPUT_WINDOW_BYTES,
    Exited,
    Heartbeat,
    Kill,
    Output,
    Taken,
    Usage,
)
from stoker.pool.progress import progress_of
from stoker.pool.remote import remote_process as remote_processes


async def read_all(fd: int, nbytes: int) -> bytes:
    data = b""
    while len(data) < nbytes:
        try:
            data += os.read(fd, 1 << 16)
        except BlockingIOError:
            await asyncio.sleep(0)
    return data


async def test_its_end_is_reported_with_code_and_progress() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        await agent.send(Exited(code=3, progress=17))
        worker.close()
        assert await process.exited == 3
        assert progress_of(process.progress_fd) == 17
        assert str(process.death) == str(WorkerDied("exit code 3"))


async def test_a_kill_for_memory_is_the_nodes_own_to_tell() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        await agent.send(Exited(code=-signal.SIGKILL, progress=1, out_of_memory=True))
        worker.close()
        assert await process.exited == -signal.SIGKILL
        assert isinstance(process.death, WorkerOutOfMemory)


async def test_what_the_worker_sent_before_its_end_is_here_when_the_end_is_known() -> None:
    """The report comes over another connection, and may be the faster one."""
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        await agent.send(Exited(code=0, progress=1))
        await asyncio.to_thread(worker.sendall, b"x" * 50_000)
        worker.close()
        await process.exited
        received = b""
        while data := process.sock.recv(1 << 16):
            received += data
        assert received == b"x" * 50_000


async def test_of_a_process_whose_agent_is_lost_nobody_knows_what_had_begun() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        await agent.send(Usage(1 << 20, 5))
        agent.close()
        worker.close()
        assert await process.exited is None
        assert progress_of(process.progress_fd) is None
        assert process.death is not None
        assert process.death.cause == f"its agent on {NODE} closed its connection"


async def test_what_a_worker_answers_after_its_agents_death_and_before_its_own_counts() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        agent.close()
        while process.death is None:
            await asyncio.sleep(0)
        await asyncio.to_thread(worker.sendall, b"x" * 50_000)
        worker.close()
        await process.exited
        received = b""
        while data := process.sock.recv(1 << 16):
            received += data
        assert received == b"x" * 50_000


async def test_a_worker_that_outlives_its_agent_is_served_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_processes, "_REST_S", 0.02)
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        agent.close()
        await process.exited
        assert await asyncio.to_thread(worker.recv, 1) == b""


async def test_a_worker_whose_connection_is_stalled_is_killed_so_that_its_progress_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_border(heartbeat_s=0.02) as border, remote_process(border) as (process, agent, _):
        monkeypatch.setattr(remote_processes.tcp_state, "is_stalled", lambda stream, for_s: True)
        await agent.receive(Kill)
        await agent.send(Exited(code=-signal.SIGKILL, progress=17))
        assert await process.exited == -signal.SIGKILL
        assert progress_of(process.progress_fd) == 17
        assert process.death is not None
        assert process.death.cause == f"the connection to {NODE} is stalled"


async def test_who_placed_it_gives_the_reason_of_its_loss() -> None:
    async with open_border() as border, remote_process(border) as (process, _, _):
        process.lost("the node node-7 (10.0.0.7) was lost")
        process.lost("a later reason")
        assert await process.exited is None
        assert process.death is not None
        assert process.death.cause == "the node node-7 (10.0.0.7) was lost"


async def test_a_lost_process_loses_its_connection_at_which_the_worker_ends() -> None:
    async with open_border() as border, remote_process(border) as (process, _, worker):
        process.lost("gone")
        await process.exited
        assert await asyncio.to_thread(worker.recv, 1) == b""


async def test_a_silent_agent_is_a_lost_node_and_one_that_beats_is_not() -> None:
    async with open_border(heartbeat_s=0.02, silence_s=0.1) as border, remote_process(border) as (process, agent, _):
        for _ in range(20):
            await agent.receive(Heartbeat)
            await agent.send(Usage(4096, 0))
        assert not process.exited.done()
        assert process.memory_bytes() == 4096
        await process.exited
        assert "sent no heartbeat" in str(process.death)


async def test_killing_asks_the_agent_once_and_waits_for_its_report() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        process.kill_group()
        process.kill_group()
        await agent.receive(Kill)
        await agent.send(Exited(code=-9, progress=4))
        worker.close()
        assert await process.exited == -9
        assert progress_of(process.progress_fd) == 4


async def test_an_agent_that_does_not_report_a_kill_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_processes, "KILL_REPORT_S", 0.02)
    async with open_border() as border, remote_process(border) as (process, agent, _):
        process.kill_group()
        assert await process.exited is None
        assert "did not report" in str(process.death)
        await agent.closed()


async def test_the_newest_batch_that_began_is_known_while_it_runs() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, _):
        assert progress_of(process.progress_fd) == 0
        await agent.send(Usage(0, 23))
        while progress_of(process.progress_fd) != 23:
            await asyncio.sleep(0)


# ------------------------------------------------------------------------------------------- output


async def test_output_arrives_at_the_pipes_and_what_they_took_is_granted_again() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, _):
        await agent.send(Output(1), b"to stdout")
        await agent.send(Output(2), b"to stderr")
        assert await read_all(process.stdout_fd, 9) == b"to stdout"
        assert await read_all(process.stderr_fd, 9) == b"to stderr"
        assert [await agent.receive(Taken) for _ in range(2)] == [Taken(1, 9), Taken(2, 9)]


async def test_output_that_nobody_reads_is_bounded_and_delays_no_heartbeat() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, _):
        for _ in range(OUTPUT_WINDOW_BYTES // 8192 * 2):
            await agent.send(Output(1), bytes(8192))
        await agent.send(Usage(1234, 0))
        while process.memory_bytes() != 1234:
            await asyncio.sleep(0)
        assert len(await read_all(process.stdout_fd, OUTPUT_WINDOW_BYTES * 2)) == OUTPUT_WINDOW_BYTES * 2


async def test_an_agent_that_sends_more_output_than_it_may_is_lost() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, _):
        with pytest.raises(OSError):
            for _ in range((OUTPUT_REST_BYTES + OUTPUT_WINDOW_BYTES) // 32768 * 2 + 200):
                await agent.send(Output(1), bytes(32768))
        await process.exited
        assert "an invalid message" in str(process.death)


async def test_the_last_lines_are_in_the_pipe_when_the_end_is_known() -> None:
    async with open_border() as border, remote_process(border) as (process, agent, worker):
        lines = b"a line of the end\n" * 10_000
        for start in range(0, len(lines), 16384):
            await agent.send(Output(2), lines[start : start + 16384])
        await agent.send(Exited(code=1, progress=0))
        worker.close()
        assert await read_all(process.stderr_fd, len(lines)) == lines
        assert await process.exited == 1


@pytest.mark.parametrize("data", [b"\x05\x00\x00\x00\x00\x00\x00\x00hello", b"\xff" * 64])
async def test_an_agent_that_speaks_nonsense_after_its_token_is_lost(data: bytes) -> None:
    async with open_border() as border, remote_process(border) as (process, agent, _):
        await asyncio.to_thread(agent.stream.sendall, data)
        assert await process.exited is None
        assert "an invalid message" in str(process.death)
