"""Implements `pool.remote.placement.Placement` on a Ray cluster.

Asks Ray for actors by way of its driver; each actor carries out an order, and its worker connects to the border.  The
next worker that needs a driver starts another if the last one has ended.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stoker import __version__
from stoker.archive.bundle import Bundle
from stoker.errors import ConfigurationError, InvalidArchive, WorkerDied
from stoker.ipc.driver_messages import Connected, Node
from stoker.node import order as orders
from stoker.node.order import Order
from stoker.pool.ranks import RankGroup, discard, rank_name
from stoker.pool.remote.border import Border
from stoker.pool.remote.driver_process import CONNECT_S, Driver, DriverLost, Request, start_driver
from stoker.pool.remote.expected_worker import ExpectedWorker
from stoker.pool.remote.placement import Launch, OnPending
from stoker.pool.remote.ranks_on_nodes import RankOnNode, ranks_on_nodes
from stoker.pool.remote.remote_process import RemoteProcess
from stoker.pool.running_process import RunningProcess
from stoker.pool.watchdog import watchdog

log = logging.getLogger(__name__)

BundleOf = Callable[[str], Awaitable[Bundle]]
"""Returns the bundle of a model's directory. Raises InvalidArchive, OSError."""

_HIDDEN = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Options of every node. ``cache_dir``, ``cache_limit_bytes``: as in `node.order.Order`. ``shares_disk``: the
    server's directories are there under the same paths."""

    cache_dir: str | None = None
    cache_limit_bytes: int = 50 << 30
    shares_disk: bool = False


class RayPlacer:
    """``address``: of the cluster. ``check``: raises ConfigurationError for a cluster that must not be used.
    ``border_of``: makes the border for a cluster. ``start``: starts a driver."""

    def __init__(
        self,
        address: str,
        *,
        node_options: NodeOptions,
        check: Callable[[Connected], None],
        border_of: Callable[[Connected], Border],
        bundle_of: BundleOf,
        start: Callable[[str], Driver] = start_driver,
    ) -> None:
        self._address = address
        self._options = node_options
        self._check = check
        self._border_of = border_of
        self._bundle_of = bundle_of
        self._start = start
        self._driver: Driver | None = None
        self._border: Border | None = None

    async def open(self) -> Connected:
        """Joins the cluster and opens the border.

        Raises: DriverLost: there is no cluster; BindError, ConfigurationError.
        """
        watchdog.acquire()
        driver = await self._joined()
        connected = driver.connected.result()
        border = self._border_of(connected)
        await border.start()
        self._border = border
        return connected

    async def close(self) -> None:
        """Closes the border, and leaves the cluster, which ends workers that still run. Idempotent."""
        border, self._border = self._border, None
        if border is not None:
            await border.close()
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()
        await watchdog.release()

    async def _joined(self) -> Driver:
        """Returns a driver that has joined the cluster. Raises DriverLost, ConfigurationError."""
        driver = self._driver
        if driver is None or driver.gone.done():
            try:
                driver = self._driver = self._start(self._address)
            except OSError as error:
                raise DriverLost(f"Ray's driver cannot be started: {error.strerror}") from None
        await asyncio.wait({driver.connected}, timeout=CONNECT_S)
        if not driver.connected.done():
            raise driver.give_up()
        self._check(driver.connected.result())
        return driver

    # ---------------------------------------------------------------------------------------- workers

    async def start(self, launch: Launch, *, on_pending: OnPending) -> RunningProcess:
        needs, ranks = launch.spec.ray, launch.spec.ranks
        assert needs is not None
        bundle = None if self._options.shares_disk else await self._bundle(launch.spec.model_dir)
        processes = 1 if ranks is None else ranks.processes
        try:
            driver = await self._joined()
        except ConfigurationError as error:  # another cluster than at the start
            raise DriverLost(error.message) from None
        request = driver.request(launch.name, needs, processes=processes, on_pending=on_pending)
        try:
            nodes = await request.placed
            _check_versions(nodes)
            if ranks is None or processes == 1:
                places = [_lone_rank(nodes[0], needs.gpus)]
            else:
                places = ranks_on_nodes(nodes, ranks, run_id=f"{launch.spec.key.name}_{nodes[0].port}")
            found = await self._run(request, launch, bundle, places)
            for process, node in zip(found, nodes, strict=True):
                process.shares_cores = node.address == driver.connected.result().address
            return found[0] if len(found) == 1 else RankGroup(found, devices=[place.local_rank for place in places])
        except BaseException:
            request.release()
            raise

    async def _bundle(self, model_dir: str) -> Bundle:
        try:
            return await self._bundle_of(model_dir)
        except OSError as error:
            raise WorkerDied(f"the model's files cannot be read: {error.strerror}") from None
        except InvalidArchive as error:
            raise WorkerDied(error.message) from None

    async def _run(
        self, request: Request, launch: Launch, bundle: Bundle | None, places: Sequence[RankOnNode]
    ) -> list[RemoteProcess]:
        """Has each actor carry out its order; returns the processes once all are connected."""
        if self._border is None:
            raise WorkerDied("the server is stopping")
        expected = [self._border.expect(rank_name(launch.name, place.rank), bundle=bundle) for place in places]
        request.on_ended = lambda number, reason: expected[number].lost(reason) if reason else None
        request.begin([orders.encode(self._order(launch, each, at)) for each, at in zip(expected, places, strict=True)])
        processes = await _all_connected(expected)
        _release_at_end(request, processes)
        return processes

    def _order(self, launch: Launch, expected: ExpectedWorker, place: RankOnNode) -> Order:
        options, metrics = self._options, launch.metrics_config
        return Order(
            **expected.order_fields,
            model_dir=launch.spec.model_dir if options.shares_disk else None,
            handler=launch.spec.handler,
            in_place=launch.spec.in_place,
            env=dict(launch.env),
            env_first={**launch.env_first, **place.env},
            withheld=launch.withheld,
            worker_module=launch.worker_module,
            metrics_config=None if metrics is None else Path(metrics).read_text(encoding="utf-8"),
            cache_dir=options.cache_dir,
            cache_limit_bytes=options.cache_limit_bytes,
        )


def _lone_rank(node: Node, gpus: float) -> RankOnNode:
    """Shows a worker only the GPUs that Ray has assigned to it."""
    return RankOnNode(0, 0, {**({} if gpus else dict.fromkeys(_HIDDEN, "")), **node.devices})


async def _all_connected(expected: Sequence[ExpectedWorker]) -> list[RemoteProcess]:
    """Returns all processes, or ends them all and raises the error of the first that failed."""
    waits = [asyncio.ensure_future(each.process()) for each in expected]
    try:
        return list(await asyncio.gather(*waits))
    except BaseException:
        for wait in waits:
            wait.cancel()
        done = await asyncio.gather(*waits, return_exceptions=True)
        discard([process for process in done if isinstance(process, RemoteProcess)])
        for each in expected:
            each.cancel()
        raise


def _release_at_end(request: Request, processes: Sequence[RemoteProcess]) -> None:
    """Releases the actors once all of their processes have ended."""
    left = len(processes)

    def ended(_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            request.release()

    for process in processes:
        process.exited.add_done_callback(ended)


def _check_versions(nodes: Sequence[Node]) -> None:
    """Raises WorkerDied: a node has another version of stoker or of Python than the server."""
    ours = platform.python_version_tuple()[:2]
    for node in nodes:
        if node.stoker != __version__:
            raise WorkerDied(
                f"the node {node} has stoker {node.stoker}, the server {__version__}: they must be the same"
            )
        if tuple(node.python.split(".")[:2]) != ours:
            own = ".".join(ours)
            raise WorkerDied(f"the node {node} has Python {node.python}, the server {own}: they must be the same")
