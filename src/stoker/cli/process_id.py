"""Which process is it really?  Process ids are reused; a start time and the boot tell one process from the next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_JAVA_MARK = b"org.pytorch.serve.ModelServer"
_ZOMBIE_STATES = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Identity:
    """``started``: clock ticks since the boot. ``boot``: which boot."""

    pid: int
    started: str
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None when there is no such process, or only its remains."""
        stat = _read(_PROC / str(pid) / "stat")
        if stat is None:
            return None
        state, *fields = stat.rpartition(b")")[2].decode("ascii", "replace").split()  # the name may hold anything
        if state in _ZOMBIE_STATES:
            return None
        return cls(pid, fields[18], _boot())

    def owner(self) -> int | None:
        """The user it runs as."""
        try:
            return (_PROC / str(self.pid)).stat().st_uid
        except OSError:
            return None


def is_java_torchserve(pid: int) -> bool:
    """TorchServe's own server, whose pid file is one bare number."""
    command_line = _read(_PROC / str(pid) / "cmdline")
    return command_line is not None and _JAVA_MARK in command_line.split(b"\0")


def own_identity() -> Identity:
    identity = Identity.of(os.getpid())
    assert identity is not None
    return identity


def _boot() -> str:
    return (_read(_PROC / "sys/kernel/random/boot_id") or b"").decode("ascii", "replace").strip()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
