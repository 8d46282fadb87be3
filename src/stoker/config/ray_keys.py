"""Reads what a model config says of Ray: ``placement``, ``rayResources`` and ``raySpread``.  PURE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stoker.config import units
from stoker.core.ranks import Ranks
from stoker.core.remote import CPU, GPU, MEMORY, RayNeeds

PLACES = ("local", "ray")
_MOST_NAMES = 32
_LONGEST_NAME = 128
_LEAST, _MOST = 1e-4, 1e9
_OF_RAY = ("node:", "bundle_group", "object_store_memory", "accelerator_type:")
"""Beginnings of names that Ray gives to resources itself; a type of accelerator may be asked for."""


def resources(value: Any) -> Mapping[str, float]:
    """Converts the map. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("not a map of resources and amounts")
    if len(value) > _MOST_NAMES:
        raise ValueError(f"more than {_MOST_NAMES} resources")
    return {_name(name): _amount(name, amount) for name, amount in value.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"the name of a resource is 1 to {_LONGEST_NAME} printable characters")
    known = {CPU.lower(): CPU, GPU.lower(): GPU, MEMORY: MEMORY}
    word = known.get(name.strip().lower(), name.strip())
    if word.startswith(_OF_RAY[:3]):
        raise ValueError(f"{word} is a resource that Ray assigns itself")
    return word


def _amount(name: str, value: Any) -> float:
    if name.strip().lower() == MEMORY and isinstance(value, str):
        value = units.size(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is not a number")
    if not 0 <= value <= (_MOST if name.strip().lower() != MEMORY else _MOST**2):
        raise ValueError(f"{name} is out of range: {value:g}")
    if 0 < value < _LEAST:
        raise ValueError(f"{name} is {value:g}: the smallest amount that Ray assigns is {_LEAST:g}")
    if value > 1 and value != int(value) and name.strip().lower() != MEMORY:
        raise ValueError(f"{name} is {value:g}: above 1, Ray assigns only whole numbers")
    return float(value)


def placement(
    given: Mapping[str, float] | None, spread: bool | None, *, device_type: str | None, ranks: Ranks | None
) -> RayNeeds:
    """Completes what the model config says: a CPU for each process, and a GPU where the model asks for one.

    ``given``: of each process. A process with all devices of its worker takes as many GPUs.
    """
    devices = ranks.level if ranks is not None and ranks.processes == 1 else 1
    defaults = {CPU: 1.0, **({GPU: float(devices)} if device_type == "gpu" else {})}
    wanted = {**defaults, **(given or {})}
    several = ranks is not None and ranks.processes > 1
    return RayNeeds(
        tuple((name, amount) for name, amount in sorted(wanted.items()) if amount > 0),
        not several if spread is None else spread,
    )
