"""Workers behind an agent: what only they can suffer, and what nobody may notice."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from pool_kit import KEY, answer, children, is_gone, open_files, running
from remote_kit import NODE, nodes

from stoker.core.job import Input, Job
from stoker.errors import WorkerDied


@pytest.mark.parametrize("tls", [True, False])
async def test_remote_workers_answer_and_closing_leaves_no_process_and_no_open_file(tmp_path: Path, tls: bool) -> None:
    files, processes = open_files(), children()
    async with nodes(tls=tls) as made:
        async with running(tmp_path, workers=2, placement=made, job_queue_size=3000) as kit:
            assert [await kit.ask(f"echo {i}") for i in range(5)] == [f"echo {i}" for i in range(5)]
            assert kit.states() == ["READY", "READY"]
            await asyncio.gather(*(_echoed(kit.submit(f"echo {i} " + "x" * (i % 3000)), i) for i in range(2000)))
        assert await made.end() == [0, 0]
    assert children() <= processes
    assert open_files() <= files


async def _echoed(job: Job, number: int) -> None:
    assert await answer(job) == f"echo {number} " + "x" * (number % 3000)


@pytest.mark.parametrize("tls", [True, False])
async def test_sixty_megabytes_pass_in_both_directions(tmp_path: Path, tls: bool) -> None:
    async with nodes(tls=tls) as made:
        options = {"max_response_bytes": 70 << 20}
        async with running(tmp_path, placement=made, options=options) as kit:
            text = "echo " + "0123456789abcdef" * (60 << 16)
            job = Job(KEY, [Input("data", "", text.encode())])
            kit.scheduler.submit(job)
            assert await answer(job) == text


async def test_the_end_of_a_remote_worker_has_the_cause_of_a_local_one(tmp_path: Path) -> None:
    async with nodes() as made, running(tmp_path, placement=made) as kit:
        for request, cause in (("exit 3", "exit code 3"), ("segfault", "killed by signal 11 (SIGSEGV)")):
            with pytest.raises(WorkerDied) as raised:
                await kit.ask(request)
            assert raised.value.cause == cause
            await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("echo again") == "echo again"


async def test_a_killed_agent_takes_its_worker_along_and_names_its_node(tmp_path: Path) -> None:
    async with nodes() as made, running(tmp_path, placement=made) as kit:
        child = int(await kit.ask("pid"))
        job = kit.submit("sleep 600")
        while kit.scheduler.links[0].started() != 2:
            await asyncio.sleep(0.02)
        made.agents[0].kill()
        with pytest.raises(WorkerDied) as raised:
            await answer(job)
        assert raised.value.cause == f"its agent on {NODE} closed its connection"
        await kit.until(lambda: kit.states() == ["READY"])
        assert is_gone(child)
        assert await kit.ask("echo again") == "echo again"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_of_a_lost_node_only_the_batch_in_progress_fails_and_what_was_sent_ahead_runs_elsewhere(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with nodes(silence_s=2.0) as made, running(tmp_path, placement=made) as kit:
        await kit.ask("echo first")
        (worker,) = kit.scheduler._core._workers.values()
        worker.service.prefetch = 2  # as if its batches had been short, whatever else this machine does
        link = kit.scheduler.links[0]
        begun = link.started()
        slow = kit.submit("sleep 600")
        ahead = [kit.submit(f"echo {number}") for number in range(2)]
        while link.started() == begun:
            await asyncio.sleep(0.02)
        assert kit.scheduler.queue_status().pending == 0
        made.agents[0].send_signal(end)
        with pytest.raises(WorkerDied, match="node-1"):
            await answer(slow)
        assert [await answer(job) for job in ahead] == ["echo 0", "echo 1"]
        made.agents[0].send_signal(signal.SIGCONT)


async def test_a_node_that_falls_silent_is_lost_and_one_with_a_long_batch_is_not(tmp_path: Path) -> None:
    async with nodes(heartbeat_s=0.2, silence_s=2.0) as made, running(tmp_path, placement=made) as kit:
        assert await kit.ask("sleep 3")
        job = kit.submit("sleep 600")
        while kit.scheduler.links[0].started() != 2:
            await asyncio.sleep(0.02)
        made.agents[0].send_signal(signal.SIGSTOP)
        with pytest.raises(WorkerDied, match="sent no heartbeat"):
            await answer(job)
        made.agents[0].send_signal(signal.SIGCONT)
        await asyncio.to_thread(made.agents[0].wait, 30)
        assert not psutil.pid_exists(made.agents[0].pid) or is_gone(made.agents[0].pid)


SERVER = """
    import asyncio, pathlib, sys
    from pool_kit import running
    from remote_kit import nodes
    async def main():
        async with nodes(silence_s=2.0) as made, running(pathlib.Path(sys.argv[1]), placement=made) as kit:
            print(await kit.ask("pid"), made.agents[0].pid, flush=True)
            kit.submit("sleep 600")
            await asyncio.sleep(600)
    asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_neither_agent_nor_worker_outlive_a_killed_or_silent_server(tmp_path: Path, end: signal.Signals) -> None:
    path = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as server:
        try:
            assert server.stdout is not None
            pids = [int(word) for word in server.stdout.readline().split()]
            assert len(pids) == 2
            server.send_signal(end)
            while not all(is_gone(pid) for pid in pids):
                time.sleep(0.02)
        finally:
            server.kill()


class Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.characters: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        assert record.__dict__["node"] == NODE
        self.characters[record.__dict__["thread_label"]] += len(record.getMessage())


async def test_what_it_prints_is_logged_whole_with_the_node(tmp_path: Path) -> None:
    log, counting = logging.getLogger("MODEL_LOG"), Counting()
    log.addHandler(counting)
    log.propagate, level = False, log.level
    log.setLevel(logging.INFO)
    try:
        async with nodes() as made, running(tmp_path, placement=made) as kit:
            assert await kit.ask("print 8") == "printed"
            with pytest.raises(WorkerDied):
                await kit.ask("exit 3")
            assert counting.characters["W-9000-m_1.0@node-1-stdout"] >= 8 * 256 * 4095 - 8192
    finally:
        log.removeHandler(counting)
        log.propagate = True
        log.setLevel(level)


async def test_an_interpreter_that_is_not_there_is_a_failure_without_paths(tmp_path: Path) -> None:
    async with nodes(python="/nowhere/python") as made, running(tmp_path, workers=0, placement=made) as kit:
        kit.pool.scale(1)
        await kit.until(lambda: kit.pool.statuses()[0].failure is not None)
        assert kit.pool.statuses()[0].failure == "the process could not be started: No such file or directory"
