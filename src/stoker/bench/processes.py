"""Manages a server's processes: spawns, watches and ends all of them; reads CPU time and memory of the tree from /proc.

Invariant: everything spawned here can be found again and ended.  Children are found by their parent; those that left it
(daemons, launchers that exited) by a mark that every process inherits in its environment.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MARK = "STOKER_BENCH_MARK"
TERMINATION_S = 8.0
TICKS = os.sysconf("SC_CLK_TCK")


class Spawned:
    """One server under measurement: the shared half of every `Running`."""

    def __init__(self, process: subprocess.Popen[bytes], *, mark: str, log: Path, endpoint: str) -> None:
        self._process = process
        self._mark = mark
        self._log = log
        self._endpoint = endpoint

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def alive(self) -> bool:
        return self._process.poll() is None

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:]) if self._log.exists() else ""

    def pids(self) -> list[int]:
        return sorted(tree(self.pid) | marked(self._mark))

    def stop(self) -> None:
        """Sends SIGTERM to the root, which may tell the others; SIGKILL to what is left after `TERMINATION_S`."""
        everyone = set(self.pids())
        if self._process.poll() is None:
            self._process.terminate()
        self._wait_gone(everyone)
        end_all(everyone | set(self.pids()))
        self._process.wait()

    def _wait_gone(self, everyone: set[int]) -> None:
        until = time.monotonic() + TERMINATION_S
        while time.monotonic() < until:
            self._process.poll()  # reaps the root
            if not any(map(running, everyone)):
                return
            time.sleep(0.02)


def spawn(
    command: Sequence[str | Path], *, scratch: Path, endpoint: str, environment: Mapping[str, str] | None = None
) -> Spawned:
    """Starts ``command`` in ``scratch``, in a new session, with all output in ``scratch/server.log``."""
    mark, log, temporary = uuid.uuid4().hex, scratch / "server.log", scratch / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    whole = {**inherited, "TMPDIR": str(temporary), **(environment or {}), MARK: mark}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=scratch,
            env=whole,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Spawned(process, mark=mark, log=log, endpoint=endpoint)


def end_all(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended by itself


def tree(root: int) -> set[int]:
    """Returns ``root`` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for pid in every_pid():
        children.setdefault(parent_of(pid), []).append(pid)
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, [])
    return {pid for pid in found if running(pid)}


def marked(mark: str) -> set[int]:
    wanted = f"{MARK}={mark}".encode()
    return {pid for pid in every_pid() if wanted in _read(pid, "environ") and running(pid)}


def every_pid() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - a hot path over /proc


def parent_of(pid: int) -> int:
    fields = stat_fields(pid)
    return int(fields[1]) if fields else 0


def running(pid: int) -> bool:
    fields = stat_fields(pid)
    return bool(fields) and fields[0] not in (b"Z", b"X")


def stat_fields(pid: int) -> list[bytes]:
    """Returns /proc/PID/stat from the state on (the name before it may contain anything); empty if there is no such
    process."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """Returns user and system time of these processes and of the children they have waited for."""
    return sum(sum(map(int, fields[11:15])) for pid in pids if (fields := stat_fields(pid))) / TICKS


def own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def pss_mib(pids: Iterable[int]) -> float:
    """Returns the proportional set size: shared pages are divided among their users."""
    return sum(_pss_kib(pid) for pid in pids) / 1024


def _pss_kib(pid: int) -> int:
    found = re.search(rb"^Pss:\s+(\d+) kB", _read(pid, "smaps_rollup"), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
