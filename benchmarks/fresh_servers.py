"""Measurements on servers of their own: start-up, memory, scale-up, clients that disconnect during requests."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from benchmarks.points import OVERHEAD_S, Closed, Turn
from benchmarks.workspace import Options, Workspace
from stoker.bench import h2load, tools
from stoker.bench.checking import Checker, Probe, wait_for_answer
from stoker.bench.contender import Contender, Model, Running
from stoker.bench.measure import Measured
from stoker.bench.processes import pss_mib
from stoker.errors import StokerError

START_TIMEOUT_S = 180.0
SETTLE_S = 1.0
LONG_SETTLE_S = 5.0
"""Settling time before scaling: the server's background work after the start is over."""
LEAVING_WARM_UP_S = 3.0


@dataclass(frozen=True, kw_only=True)
class FreshTurn:
    """One contender's turn at a point that starts servers of its own."""

    workspace: Workspace
    contender: Contender
    model: Model
    round: int

    def turn(self, running: Running) -> Turn:
        return Turn(
            workspace=self.workspace, contender=self.contender, model=self.model, running=running, round=self.round
        )


def first_answer(fresh: FreshTurn, running: Running, probe: Probe, began: float) -> tuple[float, str | None]:
    """Waits for it. Returns the seconds since ``began``, and what was wrong if no right answer came."""
    checker = Checker(running, fresh.contender.wire, probe)
    problem = wait_for_answer(checker, running, timeout_s=START_TIMEOUT_S)
    return time.monotonic() - began, problem


@dataclass(frozen=True, kw_only=True)
class StartUp:
    """Measures seconds until the first right answer; memory then, and after a load."""

    name: str
    load: Closed
    load_s: float

    def seconds(self, options: Options) -> float:
        return 5.0 + SETTLE_S + self.load_s

    def measure(self, fresh: FreshTurn) -> Measured:
        began = time.monotonic()
        with fresh.workspace.launched(fresh.contender, fresh.model) as running:
            took, problem = first_answer(fresh, running, self.load.probe, began)
            if problem:
                return Measured(problem=problem)
            time.sleep(SETTLE_S)
            idle = pss_mib(running.pids())
            load = self.load.load(running, fresh.contender, self.load_s)
            fresh.workspace.generator(fresh.contender.wire)(load)
            after = pss_mib(running.pids())
        return Measured(more={"start_s": took, "pss_idle_mib": idle, "pss_after_mib": after})


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Measures memory per extra worker: the tree with few and with more workers, after every worker has worked."""

    name: str
    probe: Probe
    few: int
    many: int
    worker_s: float
    """Approximate time for a worker's start and first answer."""

    def seconds(self, options: Options) -> float:
        return (self.few + self.many) * self.worker_s + 14

    def measure(self, fresh: FreshTurn) -> Measured:
        found = {}
        for workers in (self.few, self.many):
            with fresh.workspace.launched(fresh.contender, fresh.model, workers=workers) as running:
                problem = self._used(fresh, running, workers)
                if problem:
                    return Measured(problem=problem)
                found[workers] = pss_mib(running.pids())
        extra = (found[self.many] - found[self.few]) / (self.many - self.few)
        return Measured(more={f"pss_{n}_mib": size for n, size in found.items()} | {"pss_extra_mib": extra})

    def _used(self, fresh: FreshTurn, running: Running, workers: int) -> str | None:
        """Waits until all workers are ready and have worked: the pages that they touch when answering count."""
        _, problem = first_answer(fresh, running, self.probe, time.monotonic())
        if problem:
            return problem
        problem = scaled(running, workers)
        if problem:
            return problem
        point = Closed(name=self.name, probe=self.probe, concurrency=2 * workers)
        fresh.workspace.generator(fresh.contender.wire)(point.load(running, fresh.contender, 2.0))
        return None


@dataclass(frozen=True, kw_only=True)
class ScaleUp:
    """Measures seconds until one more worker is ready on a running server; then scales back."""

    name: str
    probe: Probe
    few: int
    many: int

    def seconds(self, options: Options) -> float:
        return LONG_SETTLE_S + 12.0

    def measure(self, fresh: FreshTurn) -> Measured:
        with fresh.workspace.launched(fresh.contender, fresh.model, workers=self.few) as running:
            _, problem = first_answer(fresh, running, self.probe, time.monotonic())
            problem = problem or scaled(running, self.few)
            if problem:
                return Measured(problem=problem)
            time.sleep(LONG_SETTLE_S)
            began = time.monotonic()
            problem = scaled(running, self.many)
            return Measured(problem=problem, more={"scale_s": time.monotonic() - began})


def scaled(running: Running, workers: int) -> str | None:
    """Sets the number of workers and waits for it. Returns what went wrong."""
    scale: Any = getattr(running, "scale", None)
    if scale is None:
        return "cannot change the number of workers while it serves"
    try:
        scale(workers)
    except (StokerError, grpc.RpcError) as error:
        return f"scaling failed: {str(error)[:120]}"
    return None


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """Runs the normal load, clients that are killed during requests, and the normal load again, which is reported."""

    name: str
    load: Closed
    kills: int
    batch: dict[str, int]

    def seconds(self, options: Options) -> float:
        return 6.0 + LEAVING_WARM_UP_S + 2 * (options.duration_s + OVERHEAD_S) + 0.3 * self.kills

    def measure(self, fresh: FreshTurn) -> Measured:
        with fresh.workspace.launched(fresh.contender, fresh.model, **self.batch) as running:
            _, problem = first_answer(fresh, running, self.load.probe, time.monotonic())
            if problem:
                return Measured(problem=problem)
            fresh.workspace.generator(fresh.contender.wire)(self.load.load(running, fresh.contender, LEAVING_WARM_UP_S))
            before = self.load.measure(fresh.turn(running))
            self._leave(fresh, running)
            after = self.load.measure(fresh.turn(running))
        more = {"rate_before": before.rate, "kept": after.rate / before.rate if before.rate else 0.0}
        return replace(after, more=more)

    def _leave(self, fresh: FreshTurn, running: Running) -> None:
        load = replace(self.load.load(running, fresh.contender, 5.0), concurrency=64)
        tool = tools.find("h2load", home=fresh.workspace.home / "tools")
        with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
            body = Path(folder, "body")
            body.write_bytes(h2load.grpc_frame(load.request.body))
            command = [str(tool), "-D", "5", *h2load.command(load, body, Path(folder, "log"))]
            for number in range(self.kills):
                kill_after(command, 0.15 + 0.02 * (number % 5))


def kill_after(command: list[str], seconds: float) -> None:
    """Kills the client; the kernel closes its connections, requests and all."""
    client = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        time.sleep(seconds)
    finally:
        os.killpg(client.pid, signal.SIGKILL)
        client.wait()
