"""Reads what a model config says of ranks: ``parallelType``, ``parallelLevel`` and ``torchrun``.  PURE."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from stoker.core.ranks import Ranks

log = logging.getLogger(__name__)

_MOST_DEVICES = 64
_COUNTS = ("nnodes", "nproc-per-node", "OMP_NUMBER_THREADS")
_UNUSED = frozenset({"rdzv-backend", "rdzv-endpoint", "rdzv-conf", "monitor-interval", "node-rank"})
"""Ranks of one machine need none of them: the server starts and watches them itself."""


def ranks_of(kind: str | None, level: int | None, torchrun: Mapping[str, Any] | None) -> Ranks | None:
    """Returns None if each worker is one process with one device, also for a type without a level or the reverse."""
    options = torchrun or {}
    devices = _count(options.get("nproc-per-node")) or _count(level)
    if kind is None or not devices or (kind == "custom" and devices == 1):
        return None
    return Ranks(kind, devices, _count(options.get("OMP_NUMBER_THREADS")) or 1)


def refusal(ranks: Ranks, torchrun: Mapping[str, Any] | None) -> str | None:
    """Returns why a worker cannot have these ranks."""
    if (_count((torchrun or {}).get("nnodes")) or 1) > 1:
        return "torchrun: nnodes may only be 1: the ranks of a worker are on the server's machine."
    if ranks.level > _MOST_DEVICES:
        return f"parallelLevel {ranks.level} is more than {_MOST_DEVICES}."
    return None


def warn_of_unknown(torchrun: Mapping[str, Any] | None) -> None:
    for name, value in (torchrun or {}).items():
        if name in _COUNTS and value is not None and _count(value) is None:
            log.warning("torchrun: %s is not a whole number above 0: it has no effect", name)
        elif name not in _UNUSED and name not in _COUNTS:
            log.warning("torchrun: unsupported parameter %s", name)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
