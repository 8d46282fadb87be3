"""Reads the key ``warmUp`` of model-config.yaml: the name of a file, or a map of that and of batch sizes. PURE."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from stoker.core.warm_up import WarmUp

_KEYS = ("request", "batchSizes")
_LARGEST = 1 << 16


def warm_up(value: Any) -> WarmUp:
    """Raises ValueError with what is wrong."""
    given = {"request": value} if isinstance(value, str) else value
    if not isinstance(given, dict):
        raise ValueError("neither the name of a file nor a map")
    unknown = [str(key) for key in given if key not in _KEYS]
    if unknown:
        raise ValueError(f"an unknown key {unknown[0][:64]!r}; the keys are {', '.join(_KEYS)}")
    request = given.get("request")
    if not isinstance(request, str) or not request.strip() or not _is_inside(request):
        raise ValueError("request is not a file of the archive")
    sizes = given.get("batchSizes") or []
    if not isinstance(sizes, list) or not all(_is_size(size) for size in sizes):
        raise ValueError("batchSizes is not a list of numbers from 1")
    return WarmUp(request, tuple(sizes))


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _LARGEST
