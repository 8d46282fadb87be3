"""Nodes without a cluster: each worker has an agent in a process of its own, which connects to a real border."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from stoker.archive.bundle import Bundle
from stoker.node import order as orders
from stoker.node.order import Order
from stoker.pool.remote.border import Border
from stoker.pool.remote.certificates import make_tls
from stoker.pool.remote.placement import Launch, OnPending, Placement
from stoker.pool.running_process import RunningProcess

NODE = "node-1 (127.0.0.1)"
_AGENT = f"import sys; from stoker.node.agent import run; run(sys.stdin.buffer.read(), node={NODE!r})"


BundleOf = Callable[[str], Awaitable[Bundle]]


class Nodes:
    """A `Placement`. ``agents``: their processes, in the order of their starts. ``order``: more fields of each order.

    ``bundle_of``: the files of a directory, which the nodes fetch; None: they have the directory.
    """

    def __init__(self, border: Border, *, bundle_of: BundleOf | None = None, **order: Any) -> None:
        self.border = border
        self.agents: list[subprocess.Popen[bytes]] = []
        self._bundle_of = bundle_of
        self._order = order

    async def start(self, launch: Launch, *, on_pending: OnPending) -> RunningProcess:
        spec = launch.spec
        bundle = None if self._bundle_of is None else await self._bundle_of(spec.model_dir)
        expected = self.border.expect(launch.name, bundle=bundle)
        fields: dict[str, Any] = {
            **expected.order_fields,
            "model_dir": spec.model_dir if bundle is None else None,
            "handler": spec.handler,
            "env": dict(launch.env),
            "env_first": dict(launch.env_first),
            "withheld": launch.withheld,
            "worker_module": launch.worker_module,
            **self._order,
        }
        agent = subprocess.Popen([sys.executable, "-c", _AGENT], stdin=subprocess.PIPE)
        self.agents.append(agent)
        assert agent.stdin is not None
        agent.stdin.write(orders.encode(Order(**fields)))
        agent.stdin.close()
        return await expected.process()

    async def end(self) -> list[int]:
        """Waits until all agents have ended by themselves, and returns their exit codes."""
        return [await asyncio.to_thread(agent.wait, 30) for agent in self.agents]


@contextlib.asynccontextmanager
async def nodes(
    *,
    tls: bool = True,
    heartbeat_s: float = 0.2,
    silence_s: float = 8.0,
    bundle_of: BundleOf | None = None,
    **order: Any,
) -> AsyncIterator[Nodes]:
    border = Border("127.0.0.1", tls=make_tls() if tls else None, heartbeat_s=heartbeat_s, silence_s=silence_s)
    await border.start()
    made = Nodes(border, bundle_of=bundle_of, **order)
    try:
        yield made
    finally:
        await border.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await made.end()
        for agent in made.agents:
            agent.kill()
            agent.wait()


@contextlib.asynccontextmanager
async def placed_on_nodes() -> AsyncIterator[Placement]:
    async with nodes() as made:
        yield made
