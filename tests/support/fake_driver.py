"""A driver with a cluster of its own instead of Ray's: one node with two CPUs, on which each actor is a process.

Arguments: the socket's descriptor, the address, the versions of stoker and Python that the node claims. An actor with
the resource ``old`` claims another version of stoker. The address ``none`` has no cluster; whoever joins ``fatal``
is ended by Ray, and ``silent`` never answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stoker.ipc.driver_messages import Connected, Refused
from stoker.ray.driver import Driver
from stoker.ray.shortage import NodeRoom
from stoker.ray.view import ActorLost, NodeView

CPUS = 2.0
AGENT = "import sys; from stoker.node.agent import run; run(sys.stdin.buffer.read(), node=sys.argv[1])"


class ProcessActor:
    def __init__(self, cluster: ProcessCluster, resources: Mapping[str, float]) -> None:
        self._cluster = cluster
        self._resources = resources
        self._process: asyncio.subprocess.Process | None = None
        self.has_room = False

    async def about(self) -> Mapping[str, Any]:
        while self._cluster.free < self._resources.get("CPU", 0):
            await asyncio.sleep(0.01)
        self._cluster.free -= self._resources.get("CPU", 0)
        self.has_room = True
        stoker, python = self._cluster.versions
        stoker = "0.0.1" if "old" in self._resources else stoker
        return {"id": "a", "address": "127.0.0.1", "python": python, "stoker": stoker, "devices": {}, "port": 29500}

    async def run(self, order: bytes, node: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT, node, stdin=asyncio.subprocess.PIPE
        )
        await self._process.communicate(order)
        if self._process.returncode:
            raise ActorLost("it died")

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


class ProcessActors:
    def __init__(self, actors: Sequence[ProcessActor]) -> None:
        self.actors = actors

    async def have_room(self) -> bool:
        return all(actor.has_room for actor in self.actors)

    def release(self) -> None:
        for actor in self.actors:
            actor.kill()


class ProcessCluster:
    def __init__(self, stoker: str, python: str) -> None:
        self.versions = stoker, python
        self.free = CPUS

    async def nodes(self) -> Sequence[NodeView]:
        return [NodeView("a", "node-a", "127.0.0.1", 1, NodeRoom({"CPU": CPUS, "old": 9.0}, {"CPU": self.free}))]

    async def reachable(self, node: NodeView) -> bool:
        return True

    def place(
        self, resources: Mapping[str, float], processes: int, *, spread: bool, avoid: Collection[str]
    ) -> ProcessActors:
        return ProcessActors([ProcessActor(self, resources) for _ in range(processes)])


async def main(descriptor: str, address: str, stoker: str, python: str) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=int(descriptor)))
    driver = Driver(ProcessCluster(stoker, python), reader, writer)
    if address == "none":
        driver.send(Refused("no Ray cluster runs here"))
        await writer.drain()
        return
    if address in ("fatal", "silent"):
        print(
            "[2026-01-01 12:00:00,000 C 7 7] gcs_client.cc:210: the cluster has Python 3.9 /tmp/ray/x", file=sys.stderr
        )
        print("*** SIGABRT received ***", file=sys.stderr, flush=True)
        writer.close()
        await asyncio.sleep(0.1 if address == "fatal" else 600)
        os._exit(134)
    driver.send(Connected(address="127.0.0.1", nodes=1, ray="2.60.0", apis=[], tokens=True))
    await driver.run()


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):
        asyncio.run(main(*sys.argv[1:]))
