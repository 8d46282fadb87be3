"""stoker with its workers on the nodes of a Ray cluster on this machine, and the time that it takes to recover from the
death of a node."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fresh_servers import FreshTurn, first_answer
from benchmarks.workload import Workload
from benchmarks.workspace import Options
from stoker.bench.checking import Checker, Probe, wait_for_answer
from stoker.bench.contender import LOOPBACK, CannotInstall, Deployment, Running
from stoker.bench.contenders import STOKER, Stoker, start_torchserve
from stoker.bench.measure import Measured
from stoker.bench.processes import Spawned, end_all, running, spawn, tree
from stoker.bench.torchserve_api import TorchServeApi
from stoker.errors import StokerError

NODES = Path(__file__).resolve().parent / "ray_nodes.py"
RECOVERY_S = 60.0
"""Longest wait for an answer after a node's death."""

_CLUSTER_S = 120.0


class NoCluster(StokerError):
    """The cluster of the bench did not come up."""


class PlacedApi(TorchServeApi):
    """A server with the folder of its cluster. Its path is short, because those of Ray's Unix sockets must be."""

    def __init__(self, spawned: Spawned, deployment: Deployment, folder: Path, cluster: Spawned | None = None) -> None:
        super().__init__(spawned, model=deployment.model.name, management_port=deployment.more_ports[0])
        self.cluster = cluster
        self._folder = folder

    def pids(self) -> list[int]:
        return super().pids() + ([] if self.cluster is None else self.cluster.pids())

    def stop(self) -> None:
        super().stop()
        if self.cluster is not None:
            self.cluster.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class StokerPlaced(Stoker):
    """Lets Ray place all workers. ``settings``: more than that one."""

    def __init__(self, name: str, **settings: str) -> None:
        super().__init__("nghttp2")
        self.name = name
        said = "".join(f", {key}={value}" for key, value in settings.items())
        self.note = f"as stoker-nghttp2, worker_placement=ray{said}, a cluster of this machine"
        self._settings = {"worker_placement": "ray", **settings}

    def install(self, home: Path, requirements: tuple[str, ...]) -> None:
        """Raises CannotInstall: the environment of the bench has no Ray."""
        if importlib.util.find_spec("ray") is None:
            raise CannotInstall(f"{self.name}: the bench runs without the package ray (pip install 'stoker[ray]')")

    def offers(self, workload: Workload) -> bool:
        return workload is Workload.PLACED

    def start(self, deployment: Deployment) -> PlacedApi:
        folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        spawned = self._serve(deployment, folder, ray_address="local")
        return PlacedApi(spawned, deployment, folder)

    def _serve(self, deployment: Deployment, folder: Path, *, ray_address: str) -> Spawned:
        settings = {**self._settings, "ray_address": ray_address}
        return start_torchserve(STOKER, deployment, settings, environment={"RAY_TMPDIR": str(folder)})


class StokerOnNodes(StokerPlaced):
    """Runs on a cluster of three nodes, one of which has no workers."""

    def __init__(self) -> None:
        super().__init__("stoker-ray-nodes")
        self.note = "as stoker-ray, a cluster of three nodes on this machine, two of them for workers"

    def start(self, deployment: Deployment) -> PlacedApi:
        folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        scratch = deployment.scratch / "cluster"
        scratch.mkdir()
        cluster = spawn([STOKER[0], NODES, folder], scratch=scratch, endpoint=LOOPBACK)
        with ExitStack() as undo:  # if the bench is ended meanwhile, too
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            undo.callback(cluster.stop)
            address = _address_when_ready(scratch / "server.log", cluster)
            served = self._serve(deployment, folder, ray_address=address)
            undo.pop_all()
        return PlacedApi(served, deployment, folder, cluster)


def _address_when_ready(log: Path, cluster: Spawned) -> str:
    """Returns the cluster's address once all nodes are there."""
    until = time.monotonic() + _CLUSTER_S
    while time.monotonic() < until and cluster.alive():
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("ready "):
                return line.removeprefix("ready ")
        time.sleep(0.1)
    raise NoCluster(f"No cluster came up: {cluster.log_tail()[-200:]}")


def placed() -> list[StokerPlaced]:
    return [StokerPlaced("stoker-ray"), StokerPlaced("stoker-ray-plain", ray_border_tls="false"), StokerOnNodes()]


@dataclass(frozen=True, kw_only=True)
class NodeDeath:
    """Measures seconds from the death of the only worker's node until a worker on another node answers."""

    name: str
    probe: Probe
    for_peers: bool = True

    def seconds(self, options: Options) -> float:
        return 60.0

    def measure(self, fresh: FreshTurn) -> Measured:
        try:
            with fresh.workspace.launched(fresh.contender, fresh.model) as started:
                _, problem = first_answer(fresh, started, self.probe, time.monotonic())
                return Measured(problem=problem) if problem else self._recover(fresh, started)
        except NoCluster as error:
            return Measured(problem=str(error))

    def _recover(self, fresh: FreshTurn, started: Running) -> Measured:
        cluster: Any = getattr(started, "cluster", None)
        node = None if cluster is None else node_with_a_worker(cluster.pids())
        if node is None:
            return Measured(problem="no node with a worker was found")
        checker = Checker(started, fresh.contender.wire, self.probe)
        began = time.monotonic()
        kill_node(node)
        problem = wait_for_answer(checker, started, timeout_s=RECOVERY_S)
        return Measured(problem=problem, more={"recovery_s": time.monotonic() - began})


def node_with_a_worker(pids: list[int]) -> int | None:
    """Returns the raylet among ``pids`` below which a worker runs."""
    for pid in pids:
        if b"raylet/raylet" in _command(pid) and any(b"stoker.worker.main" in _command(each) for each in tree(pid)):
            return pid
    return None


def kill_node(raylet: int) -> None:
    """Kills a node at once, as if the power were cut."""
    os.kill(raylet, signal.SIGSTOP)  # it starts nothing more
    everything = tree(raylet)
    end_all(everything)
    while any(map(running, everything)):
        time.sleep(0.001)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
