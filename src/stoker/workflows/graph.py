"""The graph of a workflow: its nodes, how each is served, and which follow which.  PURE.

Only `Graph.build` makes graphs, and checks these invariants:
  * one start node, from which every node is reached; no cycle, no edge twice;
  * nodes keep the order in which they are given, and a node's predecessors that order too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stoker import errors

DEFAULT_RETRY_ATTEMPTS = 1
DEFAULT_TIMEOUT_S = 10.0
DEFAULT_BATCH_DELAY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Serving options: those for all nodes of a specification, or one node's own.

    ``batch_size`` and ``max_batch_delay_s`` None: as the model's archive says. ``retry_attempts``: attempts after the
    first.  ``timeout_s``: of each attempt, from submission to reply.
    """

    min_workers: int = 1
    max_workers: int = 1
    batch_size: int | None = 1
    max_batch_delay_s: float | None = DEFAULT_BATCH_DELAY_S
    retry_attempts: int = DEFAULT_RETRY_ATTEMPTS
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """``url``: the node's model archive; None: a function of the workflow's handler file.

    ``decode``: its rows hold the JSON values of its predecessors' outputs rather than their bytes.
    """

    name: str
    url: str | None = None
    serving: Serving = Serving()
    decode: bool = False
    successors: tuple[str, ...] = ()
    predecessors: tuple[str, ...] = ()

    @property
    def is_function(self) -> bool:
        return self.url is None


@dataclass(frozen=True, slots=True)
class Graph:
    """``nodes``: by name, in the order of the specification.  ``leaves``: those whose outputs are the answer."""

    nodes: Mapping[str, Node]
    start: str
    leaves: tuple[str, ...]

    @staticmethod
    def build(nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> Graph:
        """Connects the nodes: replaces their ``successors`` and ``predecessors``. Raises InvalidGraph."""
        given = {node.name: node for node in nodes}
        successors, predecessors = _neighbours(given, edges)
        starts = [name for name, before in predecessors.items() if not before]
        if len(starts) != 1:
            raise errors.InvalidGraph("DAG should have only one start node")
        if _has_cycle(successors):
            raise errors.InvalidGraph("Not a valid DAG")
        connected = {
            name: replace(
                node,
                successors=tuple(successors[name]),
                predecessors=tuple(other for other in given if other in predecessors[name]),
            )
            for name, node in given.items()
        }
        leaves = tuple(name for name, after in successors.items() if not after)
        return Graph(connected, starts[0], leaves)

    def without_retries(self, names: Iterable[str]) -> Graph:
        """Returns the graph with one attempt at each of these nodes: what keeps state must see a request once."""
        nodes = dict(self.nodes)
        for name in names:
            nodes[name] = replace(nodes[name], serving=replace(nodes[name].serving, retry_attempts=0))
        return replace(self, nodes=nodes)

    def needed_by(self, wanted: Iterable[str]) -> Sequence[str]:
        """Returns the ``wanted`` nodes and all that they depend on, in the order of the graph."""
        needed, left = set[str](), list(wanted)
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                left.extend(self.nodes[name].predecessors)
        return [name for name in self.nodes if name in needed]


def _neighbours(
    nodes: Mapping[str, Node], edges: Iterable[tuple[str, str]]
) -> tuple[dict[str, list[str]], dict[str, set[str]]]:
    successors: dict[str, list[str]] = {name: [] for name in nodes}
    predecessors: dict[str, set[str]] = {name: set() for name in nodes}
    for source, target in edges:
        if source == target:
            raise errors.InvalidGraph("Self loop exception")
        if target in successors[source]:
            raise errors.InvalidGraph("loop exception")
        successors[source].append(target)
        predecessors[target].add(source)
    return successors, predecessors


def _has_cycle(successors: Mapping[str, Sequence[str]]) -> bool:
    """Removes nodes without predecessors until there are none left; what remains has a cycle."""
    waits_for = dict.fromkeys(successors, 0)
    for after in successors.values():
        for name in after:
            waits_for[name] += 1
    free = [name for name, count in waits_for.items() if not count]
    removed = 0
    while free:
        removed += 1
        for name in successors[free.pop()]:
            waits_for[name] -= 1
            if not waits_for[name]:
                free.append(name)
    return removed < len(successors)
