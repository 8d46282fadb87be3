"""Tells from the kernel's counters whether it killed a process for memory.

SIGKILL alone proves nothing: an operator or a supervisor may send it.  The kernel counts the processes that it
kills for memory, in the control group of the dead process before it sends the signal, and once for the whole machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_FIELD = "oom_kill"
_UNIFIED = "sys/fs/cgroup", "memory.events"
_VERSION_1 = "sys/fs/cgroup/memory", "memory.oom_control"


class MemoryKills:
    """``root`` is where ``proc`` and ``sys`` are."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._explained = 0

    def count(self) -> int:
        """Reads the nearest counter; 0 where there is none."""
        counts = (_read(file) for file in self._counters())
        return next((count for count in counts if count is not None), 0)

    def explain(self, since: int) -> bool:
        """Returns whether a kill for memory explains one death. ``since``: the `count` when the process started."""
        before = max(since, self._explained)
        if self.count() <= before:
            return False
        self._explained = before + 1
        return True

    def _counters(self) -> Iterator[Path]:
        """Yields the nearest counter first. In a container a group's path may be invisible: its root is the group."""
        for unified, path in self._groups():
            top, name = _UNIFIED if unified else _VERSION_1
            yield self._root / top / path / name
            yield self._root / top / name
        yield self._root / "proc/vmstat"

    def _groups(self) -> list[tuple[bool, str]]:
        """Lists this process's groups that may count memory: whether of version 2, and the path."""
        try:
            lines = (self._root / "proc/self/cgroup").read_text().splitlines()
        except OSError:
            return []
        parts = [line.split(":", 2) for line in lines if line.count(":") >= 2]
        return [
            (not controllers, path.lstrip("/"))
            for _, controllers, path in parts
            if not controllers or "memory" in controllers.split(",")
        ]


def _read(file: Path) -> int | None:
    try:
        fields = dict(line.split()[:2] for line in file.read_text().splitlines() if len(line.split()) >= 2)
        return int(fields[_FIELD])
    except (OSError, KeyError, ValueError):
        return None


memory_kills = MemoryKills()
"""Counts kills in the groups of this server and its workers."""
