"""Tells from the kernel's counters whether the OOM killer ended a process.

SIGKILL alone proves nothing: an operator or a supervisor may send it.  The kernel counts the processes that its OOM
killer ends, in the process's control group (before it sends the signal) and for the whole machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_FIELD = "oom_kill"
_UNIFIED = "sys/fs/cgroup", "memory.events"
_VERSION_1 = "sys/fs/cgroup/memory", "memory.oom_control"


class MemoryKills:
    """``root``: the folder that holds ``proc`` and ``sys``."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._explained = 0

    def count(self) -> int:
        """Reads the counter of the innermost group that has one; 0: there is none."""
        counts = (_read(file) for file in self._counters())
        return next((count for count in counts if count is not None), 0)

    def explain(self, since: int) -> bool:
        """Returns whether an OOM kill explains the death of a process; each kill explains one death only.

        ``since``: the `count` when the process started.
        """
        before = max(since, self._explained)
        if self.count() <= before:
            return False
        self._explained = before + 1
        return True

    def _counters(self) -> Iterator[Path]:
        """Yields the innermost first. Where a container hides the path of its group, the group is the visible root."""
        for unified, path in self._groups():
            top, name = _UNIFIED if unified else _VERSION_1
            yield self._root / top / path / name
            yield self._root / top / name
        yield self._root / "proc/vmstat"

    def _groups(self) -> list[tuple[bool, str]]:
        """Lists the control groups of this process that may count OOM kills: (whether of version 2, path)."""
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
"""Counts OOM kills in the control groups of this server and its workers."""
