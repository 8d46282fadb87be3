"""Computes what a cluster lacks to place a worker, from the total and free resources of its nodes.  PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stoker.core.remote import MEMORY

Amounts = Mapping[str, float]

_CLUSTER = "the Ray cluster"
_SLACK = 1e-6  # for rounding: Ray counts in ten-thousandths


class NodeRoom(NamedTuple):
    """Resources of a node, in total and free."""

    total: Amounts
    free: Amounts


def shortage(wanted: Amounts, nodes: Sequence[NodeRoom], *, processes: int = 1) -> str:
    """Describes what is missing for ``processes`` that need ``wanted`` each, as a clause; empty: nothing is."""
    if not nodes:
        return f"{_CLUSTER} has no nodes"
    fitting = sum(_times(wanted, node.free) for node in nodes)
    if fitting >= processes:
        return ""
    for_now = _lacking(wanted, [node.free for node in nodes])
    for_ever = _lacking(wanted, [node.total for node in nodes])
    if for_ever:
        return f"no node of {_CLUSTER} has {_more_than_any(for_ever, wanted, [node.total for node in nodes])}"
    if fitting:
        each = " and ".join(shown(name, value) for name, value in wanted.items())
        return f"{_CLUSTER} has room for {fitting} of {processes} processes, each with {each}"
    return f"no node of {_CLUSTER} has {_busy(for_now, wanted, nodes)}"


def is_waiting(wanted: Amounts, behind: Sequence[Amounts], demands: Sequence[tuple[Amounts, int]]) -> bool:
    """Tells whether a request for ``wanted`` still waits.

    The cluster does not report which requests wait, only ``demands``: amounts, and the number of requests for each.
    Requests are served in order. ``behind``: amounts that were requested later.
    """
    same = _canonical(wanted)
    waiting = sum(count for amounts, count in demands if _canonical(amounts) == same)
    return waiting > sum(_canonical(amounts) == same for amounts in behind)


def _canonical(amounts: Amounts) -> dict[str, float]:
    return {name: round(amount, 4) for name, amount in amounts.items() if amount > 0}


def _times(wanted: Amounts, room: Amounts) -> int:
    """Returns how many processes fit into ``room``."""
    counts = [int(room.get(name, 0.0) / amount + _SLACK) for name, amount in wanted.items() if amount > 0]
    return max(0, min(counts, default=1 << 20))


def _lacking(wanted: Amounts, rooms: Sequence[Amounts]) -> list[str]:
    """Returns the resources that keep a process off every node: those that no node has enough of, else those that the
    best node lacks."""
    missing = [[name for name, amount in wanted.items() if room.get(name, 0.0) + _SLACK < amount] for room in rooms]
    if not all(missing):
        return []
    everywhere = [name for name in wanted if all(name in names for names in missing)]
    return everywhere or min(missing, key=len)


def _more_than_any(names: Sequence[str], wanted: Amounts, totals: Sequence[Amounts]) -> str:
    parts = []
    for name in names:
        most = max(total.get(name, 0.0) for total in totals)
        if most + _SLACK >= wanted[name]:  # a node has enough of it, but not of another resource
            return " and ".join(shown(name, value) for name, value in wanted.items()) + " together"
        parts.append(
            f"{shown(name, wanted[name])} (the largest has {amount(name, most)})" if most > 0 else f"any {name}"
        )
    return " and ".join(parts)


def _busy(names: Sequence[str], wanted: Amounts, nodes: Sequence[NodeRoom]) -> str:
    parts = []
    for name in names:
        total = sum(node.total.get(name, 0.0) for node in nodes)
        free = sum(node.free.get(name, 0.0) for node in nodes)
        parts.append(f"{shown(name, wanted[name])} free (of {amount(name, total)}, {amount(name, free)} free in all)")
    return " and ".join(parts)


def shown(name: str, value: float) -> str:
    return f"{name} {amount(name, value)}"


def amount(name: str, value: float) -> str:
    if name != MEMORY:
        return f"{round(value, 4):g}"
    return f"{value / (1 << 30):.3g} GiB" if value >= 1 << 30 else f"{value / (1 << 20):.3g} MiB"
