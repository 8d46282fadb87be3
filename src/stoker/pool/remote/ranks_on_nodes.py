"""Prepares the ranks of a worker that run on nodes of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stoker.core.ranks import GLOO_INTERFACE, Ranks
from stoker.ipc.driver_messages import Node
from stoker.pool.ranks import rank_environment


class RankOnNode(NamedTuple):
    """``local_rank``: its number among the ranks on its node, and the number of its device there. ``env``: variables
    that its process must have."""

    rank: int
    local_rank: int
    env: Mapping[str, str]


def ranks_on_nodes(nodes: Sequence[Node], ranks: Ranks, *, run_id: str) -> list[RankOnNode]:
    """Makes the variables that torchrun sets for each rank. ``nodes``: the node of each rank; the first is the master.

    Ranks on one node see each other's devices, in the order of the ranks, as they do on a single machine.
    """
    order = list(dict.fromkeys(node.id for node in nodes))
    counts = Counter(node.id for node in nodes)
    placed: Counter[str] = Counter()
    found = []
    for rank, node in enumerate(nodes):
        local_rank = placed[node.id]
        placed[node.id] += 1
        env = {
            **rank_environment(rank, ranks, port=nodes[0].port, run_id=run_id),
            "LOCAL_RANK": str(local_rank),
            "LOCAL_WORLD_SIZE": str(counts[node.id]),
            "GROUP_RANK": str(order.index(node.id)),
            "GROUP_WORLD_SIZE": str(len(order)),
            "MASTER_ADDR": nodes[0].address,
            **({GLOO_INTERFACE: node.interface} if node.interface else {}),
            **_joined([each.devices for each in nodes if each.id == node.id]),
        }
        found.append(RankOnNode(rank, local_rank, env))
    return found


def _joined(devices: Sequence[Mapping[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(name for each in devices for name in each)
    return {name: ",".join(each[name] for each in devices if each.get(name)) for name in names}
