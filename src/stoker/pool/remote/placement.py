"""Places workers on other machines: what the spawner asks for, whoever does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stoker.core.model import ModelSpec
from stoker.pool.running_process import RunningProcess

OnPending = Callable[[str], None]
"""Is called while a worker has no place, with what is missing; with nothing once there is room."""


def same_shortage(one: str, other: str) -> bool:
    """Tells whether both say that the same is missing, whatever figures follow in brackets."""
    return one.partition(" (")[0] == other.partition(" (")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A worker that is to run elsewhere. ``name``: as in logs. ``env``, ``env_first``, ``withheld``: as in
    `node.order.Order`. ``metrics_config``: the metrics file; None: the packaged one."""

    name: str
    spec: ModelSpec
    env: Mapping[str, str] = field(default_factory=dict)
    env_first: Mapping[str, str] = field(default_factory=dict)
    withheld: str | None = None
    metrics_config: str | None = None
    worker_module: str = "stoker.worker.main"


class Placement(Protocol):
    """Waits until there is room, for as long as that takes, and the worker is connected. A cancellation leaves nothing
    behind.

    Raises: WorkerDied: it could not be placed or started.
    """

    async def start(self, launch: Launch, *, on_pending: OnPending) -> RunningProcess: ...
