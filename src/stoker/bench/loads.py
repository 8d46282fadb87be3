"""Describes loads and their results, and runs a load generator as a process of its own, bounded in time.

Invariant: no load generator outlives its time.  It gets its planned duration and `GRACE_S`, then it is killed and the
measurement says so: a hanging server costs seconds, not the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from stoker.bench.contender import Wire, WireRequest

GRACE_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """A closed loop: ``concurrency`` connections, each with one request in progress at any time."""

    endpoint: str
    wire: Wire
    request: WireRequest
    concurrency: int
    duration_s: float
    answer_bytes: int | None = None
    """Body size of every response, gRPC frames included; None: it varies."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """``failed``: answers that were errors or never arrived. ``problem``: why the figures must not be used."""

    requests: int = 0
    seconds: float = 0.0
    failed: int = 0
    latencies_ms: dict[str, float] = field(default_factory=dict)
    client_cpu_s: float = 0.0
    problem: str | None = None

    @property
    def rate(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Finished:
    """A load generator that has ended. ``timed_out``: it was killed."""

    output: str
    cpu_s: float
    status: int
    timed_out: bool


def run_client(command: Sequence[str | Path], *, timeout_s: float, input_text: str = "") -> Finished:
    """Runs a load generator to its end and counts its CPU time (its children's too)."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    killed = threading.Event()
    timer = threading.Timer(timeout_s, _kill, (process.pid, killed))
    timer.start()
    try:
        output = _communicate(process.stdin, process.stdout, input_text)
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:  # Ctrl-C: the generator has a session of its own and did not get it
        _kill(process.pid, killed)
        os.wait4(process.pid, 0)
        raise
    finally:
        timer.cancel()
        process.returncode = 0  # reaped here, without Popen knowing
        process.stdout.close()
    return Finished(output, usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status), killed.is_set())


def why_unusable(finished: Finished) -> str | None:
    if finished.timed_out:
        return "the load generator had to be stopped: answers did not come"
    if finished.status:
        return f"the load generator ended with status {finished.status}: {finished.output.strip()[-200:]}"
    return None


def _communicate(stdin: IO[bytes], stdout: IO[bytes], text: str) -> str:
    """Writes the input first: the generator reads it before it writes, so neither pipe can block the other."""
    try:
        stdin.write(text.encode())
        stdin.close()
    except BrokenPipeError:
        pass  # it ended at once; status and output say why
    return stdout.read().decode(errors="replace")


def _kill(pid: int, killed: threading.Event) -> None:
    killed.set()
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended just now
