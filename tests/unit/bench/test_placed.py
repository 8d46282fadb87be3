"""Workers on a Ray cluster beside local ones: who takes part, which node dies, what the figures say."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks import figures, placed
from benchmarks.contenders import everyone
from benchmarks.records import Findings
from benchmarks.verdicts import Row
from benchmarks.workload import Workload

from stoker.bench.contender import CannotInstall
from stoker.bench.measure import Measured
from stoker.bench.processes import running

MACHINE = {"cpu": "A CPU", "cores": "2"}


def row(name: str, *values: tuple[str, str, list[Measured]]) -> Row:
    found = Findings(machine=MACHINE, options={})
    for point, contender, rounds in values:
        for turn, measured in enumerate(rounds):
            found.add(point, contender, turn, measured)
    return next(row for row in figures.rows(found) if row.name == name)


def latencies(*p50s: float) -> list[Measured]:
    return [Measured(latencies_ms={"p50": p50}) for p50 in p50s]


@pytest.mark.parametrize(("placed_ms", "verdict"), [(0.44, "bar reached"), (0.46, "missed")])
def test_a_lone_request_may_take_a_few_microseconds_longer_on_a_cluster(placed_ms: float, verdict: str) -> None:
    point = "p 1KiB c=1"
    found = row("R2", (point, "stoker-ray", latencies(placed_ms)), (point, "stoker-nghttp2", latencies(0.3)))
    assert (found.ours, found.theirs, found.verdict) == (f"{placed_ms:.3f} ms", "0.300 ms", verdict)


@pytest.mark.parametrize(("seconds", "verdict"), [(3.0, "bar reached"), (3.1, "missed")])
def test_the_worker_of_a_dead_node_must_be_back_in_seconds(seconds: float, verdict: str) -> None:
    took = [Measured(more={"recovery_s": seconds})]
    assert row("R5", ("p node dies", "stoker-ray-nodes", took)).verdict == verdict


def test_without_ray_the_placed_contenders_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotInstall, match="without the package ray"):
        placed.StokerPlaced("stoker-ray").install(tmp_path, ())


def test_ray_serve_takes_part_beside_placed_workers() -> None:
    taking = [contender.name for contender in everyone() if contender.offers(Workload.PLACED)]
    assert {"stoker-ray", "stoker-ray-plain", "stoker-ray-nodes", "ray-serve"} <= set(taking)


@pytest.fixture
def raylets() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that look like nodes; below the second runs what looks like a worker."""
    sleeping = "import time; time.sleep(600)"
    below = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], 'stoker.worker.main'])"
    commands: list[list[Any]] = [
        [sys.executable, "-c", sleeping, "raylet/raylet"],
        [sys.executable, "-c", below, "raylet/raylet", sleeping],
    ]
    started = [subprocess.Popen(command) for command in commands]
    try:
        yield started
    finally:
        for process in started:
            placed.end_all(placed.tree(process.pid))
            process.wait()


def test_the_node_that_dies_is_the_one_with_the_worker_and_all_of_it_dies(
    raylets: list[subprocess.Popen[bytes]],
) -> None:
    pids = [process.pid for process in raylets]
    while len(placed.tree(pids[1])) < 2:
        time.sleep(0.01)
    until = time.monotonic() + 30
    while placed.node_with_a_worker(pids) is None and time.monotonic() < until:
        time.sleep(0.01)
    assert placed.node_with_a_worker(pids) == pids[1]
    everything = placed.tree(pids[1])
    placed.kill_node(pids[1])
    assert raylets[1].wait() == -signal.SIGKILL
    assert [pid for pid in everything if running(pid)] == []
    os.kill(pids[0], 0)
