"""Defines what the spawner needs to start workers on other machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stoker.core.model import ModelSpec
from stoker.pool.running_process import RunningProcess

OnPending = Callable[[str], None]
"""Called with what the cluster lacks while it has no room for a worker, and with an empty string once it has."""


def same_shortage(one: str, other: str) -> bool:
    """Tells whether both name the same resources, whatever figures follow in parentheses."""
    return one.partition(" (")[0] == other.partition(" (")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A worker to start on another machine. ``name``: as in logs. ``env``, ``env_first``, ``withheld``: as in
    `node.order.Order`. ``metrics_config``: the metrics file; None: the packaged one."""

    name: str
    spec: ModelSpec
    env: Mapping[str, str] = field(default_factory=dict)
    env_first: Mapping[str, str] = field(default_factory=dict)
    withheld: str | None = None
    metrics_config: str | None = None
    worker_module: str = "stoker.worker.main"


class Placement(Protocol):
    async def start(self, launch: Launch, *, on_pending: OnPending) -> RunningProcess:
        """Waits until the cluster has room for the worker, however long that takes, and until it has connected. A
        cancellation leaves nothing behind.

        Raises: WorkerDied: it could not be placed or started.
        """
        ...
