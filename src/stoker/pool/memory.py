"""Tells how much memory is available on the machine, or to the container that the server runs in."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def available_percent(group: Path = _GROUP) -> float:
    """Returns the available memory in percent: of the machine or of the control group's limit, whichever is less."""
    machine = psutil.virtual_memory()
    whole = 100.0 * machine.available / machine.total
    limit, used, reclaimable = _number(group / "memory.max"), _number(group / "memory.current"), _reclaimable(group)
    if limit is None or used is None or not 0 < limit < machine.total:
        return whole
    return min(whole, 100.0 * max(0, limit - used + reclaimable) / limit)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return None


def _reclaimable(group: Path) -> int:
    """Returns the bytes of cached files that the kernel drops when memory runs short."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
