"""A Ray cluster of several nodes on this machine, on loopback, run by a process of its own: `RayNodes` speaks to it.

As a program it answers lines of JSON with lines of JSON, and ends the cluster when its standard input ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stoker.ray.driver import environment_of

TRIES = 4
"""Ray waits half a minute for a node to come up, too little on a busy machine."""

_SMALL = {"object_store_memory": 80 << 20, "include_dashboard": False}


def environment() -> dict[str, str]:
    """What every process of the cluster and the server must have in common: loopback only, a token, no statistics, no
    workers in stock. The priority of workers stays as Ray sets it on the nodes of others."""
    return environment_of("local", {"RAY_worker_niceness": "as Ray does"})


class RayNodes:
    """``env``: see `environment`. ``address``: of the cluster, once `start` has returned."""

    address: str

    def __init__(self, folder: Path) -> None:
        self.env = environment()
        self._log = (folder / "ray.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **self.env},
        )

    def start(self) -> None:
        self.address = self._ask("add", "head", {})

    def add(self, name: str, **resources: float) -> None:
        self._ask("add", name, resources)

    def kill(self, name: str) -> None:
        """Ends all processes of a node at once, as a power cut does."""
        self._ask("kill", name)

    def take(self, **resources: float) -> None:
        """Has another job of the cluster hold these until it ends."""
        self._ask("take", "", resources)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _ask(self, *words: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(b"{"):
                return json.loads(line)["answer"]
        raise AssertionError(f"the cluster ended: {self._process.wait(10)}")


def main() -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    nodes: dict[str, Any] = {}
    others: list[Any] = []
    for line in sys.stdin:
        word, name, *resources = json.loads(line)
        if word == "add":
            nodes[name] = _added(cluster, name, *resources)
        elif word == "take":
            others.append(_another_job(cluster.address, *resources))
        else:
            _kill(nodes.pop(name))
        print(json.dumps({"answer": cluster.address}), flush=True)
    ray.shutdown()  # which must not be connected to the head that ends
    cluster.shutdown()


def _added(cluster: Any, name: str, resources: dict[str, float]) -> Any:
    cpus = resources.pop("CPU", 0)
    for left in reversed(range(TRIES)):
        try:
            return cluster.add_node(num_cpus=cpus, resources=resources, node_name=name, **_SMALL)
        except Exception as error:  # Ray has no other kind for it
            if not left:
                raise
            print(f"{name} did not come up: {error}", file=sys.stderr, flush=True)
    return None


def _another_job(address: str, resources: dict[str, float]) -> Any:
    import ray

    class Holds:
        def ready(self) -> None:
            pass

    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    held = ray.remote(Holds).options(num_cpus=0, resources=resources).remote()
    ray.get(held.ready.remote())
    return held


def _kill(node: Any) -> None:
    import psutil

    raylets = node.all_processes["raylet"]
    family = [child for each in raylets for child in psutil.Process(each.process.pid).children(recursive=True)]
    for process in (*(psutil.Process(each.process.pid) for each in raylets), *family):
        process.kill()


if __name__ == "__main__":
    main()
