"""Implements `ray.view.Cluster` with Ray's API.

Calls that wait for an answer from the cluster run in threads.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray._private import state, worker
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from stoker.core.remote import CPU, GPU, MEMORY
from stoker.ipc.driver_messages import Connected
from stoker.ray.actor import AgentActor
from stoker.ray.shortage import Amounts, NodeRoom, is_waiting
from stoker.ray.view import ActorLost, NoCluster, NodeView

_OBJECT_STORE_BYTES = 80 << 20  # the minimum of Ray: the object store is not used
_ANSWER_S = 5.0
_PROBE_S = 1.0
_NODE_ID = "ray.io/node-id"
_NOTHING = {CPU: 0.001}  # a bundle must not be empty


class PlacedActor:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def about(self) -> Mapping[str, Any]:
        return await _answer(self._actor.about.remote())  # type: ignore[no-any-return]

    async def run(self, order: bytes, node: str) -> None:
        await _answer(self._actor.run.remote(order, node))

    def kill(self) -> None:
        with suppress(RayError, ValueError):  # it has ended already
            ray.kill(self._actor)


class ActorGroup:
    """The actors of a worker with several processes. ``group``: reserves their resources together."""

    def __init__(self, actors: Sequence[PlacedActor], group: PlacementGroup) -> None:
        self.actors = actors
        self._group = group

    async def have_room(self) -> bool | None:
        table = await asyncio.to_thread(placement_group_table, self._group)
        return bool(table.get("state") == "CREATED")

    def release(self) -> None:
        for actor in self.actors:
            actor.kill()
        remove_placement_group(self._group)


class LoneActor:
    """The actor of a worker with one process. ``starting``: all such actors that do not run yet, with the resources
    that they need, in the order requested."""

    def __init__(self, actor: PlacedActor, resources: Amounts, starting: dict[LoneActor, Amounts]) -> None:
        self._actor = actor
        self._resources = resources
        self._starting = starting
        starting[self] = resources

    @property
    def actors(self) -> Sequence[LoneActor]:
        return [self]

    async def about(self) -> Mapping[str, Any]:
        try:
            return await self._actor.about()
        finally:
            self._starting.pop(self, None)

    async def run(self, order: bytes, node: str) -> None:
        await self._actor.run(order, node)

    async def have_room(self) -> bool | None:
        demands = await asyncio.to_thread(_demands)
        if demands is None or self not in self._starting:
            return None
        behind = list(self._starting.values())[list(self._starting).index(self) + 1 :]
        return False if is_waiting(self._resources, behind, demands) else None

    def release(self) -> None:
        self._starting.pop(self, None)
        self._actor.kill()


class RayCluster:
    def __init__(self) -> None:
        self._starting: dict[LoneActor, Amounts] = {}

    def connect(self, address: str) -> Connected:
        """Joins the cluster as a driver. ``address``: auto, local or HOST:PORT. Blocks. Raises NoCluster."""
        if address not in ("auto", "local"):
            _check_answers(address)
        options: dict[str, Any] = {"object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False}
        try:
            context = ray.init(
                address=address,
                log_to_driver=False,
                configure_logging=False,
                **(options if address == "local" else {}),
            )
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            raise NoCluster(_no_cluster_reason(address, str(error))) from error
        if address == "local":
            _end_helpers()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        return Connected(
            address=ray.util.get_node_ip_address(),
            nodes=len(nodes),
            ray=ray.__version__,
            apis=[*filter(None, (context.address_info.get("webui_url"), *map(_agent_api, nodes)))],
            tokens=is_token_auth_enabled(),
        )

    def disconnect(self) -> None:
        ray.shutdown()

    async def nodes(self) -> list[NodeView]:
        return await asyncio.to_thread(_nodes)

    async def reachable(self, node: NodeView) -> bool:
        """Tells whether the node's raylet accepts connections: a dead one is found before Ray notices."""
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(node.address, node.port), _PROBE_S)
        except (OSError, TimeoutError, asyncio.TimeoutError):
            return False
        writer.close()
        return True

    def place(
        self, resources: Mapping[str, float], processes: int, *, spread: bool, avoid: Collection[str]
    ) -> ActorGroup | LoneActor:
        selector = {_NODE_ID: f"!in({','.join(sorted(avoid))})"} if avoid else {}
        if processes == 1:
            strategy = "SPREAD" if spread else "DEFAULT"
            actor = _actor(resources, scheduling_strategy=strategy, label_selector=selector or None)
            return LoneActor(actor, resources, self._starting)
        group = placement_group(
            [{name: value for name, value in resources.items() if value} or _NOTHING] * processes,
            strategy="SPREAD" if spread else "PACK",
            bundle_label_selector=[selector] * processes if selector else None,
        )
        strategies = [PlacementGroupSchedulingStrategy(group, number) for number in range(processes)]
        return ActorGroup([_actor(resources, scheduling_strategy=each) for each in strategies], group)


def _actor(resources: Mapping[str, float], **options: Any) -> PlacedActor:
    own = {name: value for name, value in resources.items() if name not in (CPU, GPU, MEMORY)}
    actor = ray.remote(AgentActor).options(
        num_cpus=resources.get(CPU, 0),
        num_gpus=resources.get(GPU, 0),
        memory=int(resources[MEMORY]) if MEMORY in resources else None,
        resources=own or None,
        max_restarts=0,
        **{name: value for name, value in options.items() if value is not None},
    )
    return PlacedActor(actor.remote())


async def _answer(reference: Any) -> Any:
    try:
        return await reference
    except RayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - into the server's log
        raise ActorLost(_actor_lost_reason(error)) from None


def _actor_lost_reason(error: RayError) -> str:
    text = str(error)
    if "No module named 'stoker" in text or "failed to import" in text:
        return "stoker is not installed where Ray runs on a node: each node needs the version that the server has"
    return f"Ray lost its actor ({type(error).__name__})"


def _nodes() -> list[NodeView]:
    free = state.available_resources_per_node()
    return [
        NodeView(
            id=node["NodeID"],
            name=_name(node),
            address=node["NodeManagerAddress"],
            port=node["NodeManagerPort"],
            room=NodeRoom(node["Resources"], free.get(node["NodeID"], {})),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def _demands() -> list[tuple[Amounts, int]] | None:
    """Returns the resource requests that waited for room a second ago, and how often each was made; None: this version
    of Ray does not report them."""
    try:
        from ray.autoscaler.v2.sdk import get_cluster_resource_state  # noqa: PLC0415 - not part of Ray's public API

        found = get_cluster_resource_state(worker.global_worker.gcs_client)
        return [(dict(each.request.resources_bundle), each.count) for each in found.pending_resource_requests]
    except Exception:  # other versions of Ray may raise anything
        return None


def _agent_api(node: Mapping[str, Any]) -> str:
    """Returns HOST:PORT of the node's dashboard agent; empty: it does not listen."""
    port = node.get("DashboardAgentListenPort") or -1
    return f"{node['NodeManagerAddress']}:{port}" if port > 0 else ""


def _name(node: Mapping[str, Any]) -> str:
    """Returns the name given to the node, or else its host name: Ray would use its address."""
    given = str(node.get("NodeName") or "")
    return given if given and given != node["NodeManagerAddress"] else str(node["NodeManagerHostname"])


def _end_helpers() -> None:
    """Ends helpers of Ray that are not needed: the log monitor, the autoscaler and the dashboard. `ray.init` cannot
    leave them out."""
    for helper in ("log_monitor", "monitor", "dashboard"):
        with suppress(Exception):  # not part of Ray's public API
            getattr(worker._global_node, f"kill_{helper}")(check_alive=False)


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except OSError as error:
        raise NoCluster(f"no Ray cluster answers at {address}: {error.strerror or error}") from None


def _no_cluster_reason(address: str, error: str) -> str:
    first = " ".join(error.split())[:400]
    if address == "auto" and ("find any running" in error or "No cluster" in error):
        return "no Ray cluster runs on this machine: start one (ray start), or name it by ray_address"
    if "Version mismatch" in error:
        return f"the Ray cluster has other versions than this server: {first}"
    if "Failed to connect to Ray cluster" in error:
        return f"what answers at {address} is not a Ray cluster's head, or it asks for another token (RAY_AUTH_MODE)"
    if address not in ("auto", "local") and "node" in error.lower():
        return f"this machine is not a node of the Ray cluster at {address} (ray start --address={address}): {first}"
    return f"the Ray cluster cannot be used: {first}"
