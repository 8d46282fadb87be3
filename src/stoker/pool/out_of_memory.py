"""Whether it was for memory that the kernel killed a process: what its own counters say.

SIGKILL alone proves nothing, an operator or a supervisor sends it, too.  The kernel counts the processes that it
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
        """How many there have been, as far as the nearest counter says; 0 where there is none."""
        counts = (_read(file) for file in self._counters())
        return next((count for count in counts if count is not None), 0)

    def explain(self, since: int) -> bool:
        """Whether a death may be put down to memory: there was a kill that no other death was put down to.

        ``since``: the `count` when the process was born.
        """
        before = max(since, self._explained)
        if self.count() <= before:
            return False
        self._explained = before + 1
        return True

    def _counters(self) -> Iterator[Path]:
        """The nearest first. Inside a container the path of a group may not be visible, its root is the group then."""
        for unified, path in self._groups():
            top, name = _UNIFIED if unified else _VERSION_1
            yield self._root / top / path / name
            yield self._root / top / name
        yield self._root / "proc/vmstat"

    def _groups(self) -> list[tuple[bool, str]]:
        """Whether it is a version 2 group, and its path: of each group of this process that may count memory."""
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
"""Those that this server process and its workers are among."""
