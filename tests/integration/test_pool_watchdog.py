"""However a server dies, its workers and their children die with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pool_kit import SUPPORT, is_gone

from stoker.pool.watchdog import Watchdog

SERVER = """
import asyncio, sys
from pathlib import Path
import pool_kit
from pool_kit import running
from stoker.pool.watchdog import watchdog

async def main():
    pool_kit.forked = len(sys.argv) > 2
    async with running(Path(sys.argv[1]), workers=2) as kit:
        pids = [*(await kit.ask("spawn")).split(), *kit.pids()]
        print(watchdog.pid, *pids, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def server(tmp_path: Path):
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )
    with process:
        yield process
        process.kill()


def wait_until_gone(pids: list[int], *, within_s: float) -> list[int]:
    until = time.monotonic() + within_s
    while time.monotonic() < until and not all(map(is_gone, pids)):
        time.sleep(0.02)
    return [pid for pid in pids if not is_gone(pid)]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_workers_and_their_children_are_gone_soon_after_the_server_was_killed(
    server: subprocess.Popen[bytes], end: signal.Signals
) -> None:
    assert server.stdout is not None
    watchdog, *pids = map(int, server.stdout.readline().split())
    assert len(pids) == 4
    assert all(map(psutil.pid_exists, [watchdog, *pids]))
    server.send_signal(end)
    assert wait_until_gone([*pids, watchdog], within_s=60) == []


def test_even_stopped_workers_are_gone(server: subprocess.Popen[bytes]) -> None:
    assert server.stdout is not None
    watchdog, *pids = map(int, server.stdout.readline().split())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    server.kill()
    assert wait_until_gone([*pids, watchdog], within_s=60) == []


@contextlib.contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_the_watchdog_kills_only_groups_that_it_was_not_told_to_forget() -> None:
    watchdog = Watchdog()
    with sleeper() as spared, sleeper() as doomed, sleeper() as other:
        for process in (other, spared, doomed):
            watchdog.add(process.pid)
        watchdog.remove(spared.pid)
        watchdog.remove(12345678)  # never heard of it
        await watchdog.close()
        assert doomed.wait(60) == other.wait(60) == -signal.SIGKILL
        assert spared.poll() is None


async def test_the_watchdog_ignores_the_signals_of_a_terminal_and_is_restarted_when_it_is_killed() -> None:
    watchdog = Watchdog()
    with sleeper() as first, sleeper() as second:
        watchdog.add(first.pid)
        pid = watchdog.pid
        assert pid is not None
        psutil.Process(pid).send_signal(signal.SIGCONT)
        wait_for_trap(pid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert not is_gone(pid)
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone([pid], within_s=60) == []
        watchdog.add(second.pid)
        assert watchdog.pid not in (None, pid)
        await watchdog.close()
        assert first.wait(60) == second.wait(60) == -signal.SIGKILL


def wait_for_trap(pid: int) -> None:
    """Until the shell has run its first line: it ignores SIGHUP then."""
    while True:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigIgn:") and int(line.split()[1], 16) & 1:
                return
        time.sleep(0.01)


ADOPTING = """
import asyncio, os, sys
from pathlib import Path
import psutil
from pool_kit import running

async def main():
    async with running(Path(sys.argv[1])) as kit:
        await kit.ask("spawn")
        try:
            await kit.ask("exit 3")
        except Exception:
            pass
    while psutil.Process().children():
        await asyncio.sleep(0.02)
    print("process", os.getpid(), "has no children")

asyncio.run(main())
"""


NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def may_make_namespaces() -> bool:
    return bool(shutil.which("unshare")) and subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_make_namespaces(), reason="needs the right to make a process namespace")
def test_as_process_1_of_a_container_the_server_leaves_no_zombies(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", ADOPTING, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert done.stdout == b"process 1 has no children\n"
