"""Identifies a process: pids are reused, so start time and boot tell one process from the next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
SERVER_MARK = "org.pytorch.serve.ModelServer"
"""Arguments by which tools recognize a server: TorchServe's class, and an option of our server's interpreter."""
_ZOMBIE_STATES = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process. ``started``: clock ticks since the boot. ``boot``: id of the boot."""

    pid: int
    started: str
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Returns the identity, None if there is no such process or it is a zombie."""
        stat = _read(_PROC / str(pid) / "stat")
        if stat is None:
            return None
        state, *fields = stat.rpartition(b")")[2].decode("ascii", "replace").split()  # the name may contain anything
        if state in _ZOMBIE_STATES:
            return None
        return cls(pid, fields[18], _boot())

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        """Parses what `text` has written; None for anything else."""
        words = text.split()
        return cls(int(words[0]), *words[1:]) if len(words) == 3 and words[0].isdecimal() else None

    def text(self) -> str:
        return f"{self.pid} {self.started} {self.boot}\n"

    def owner(self) -> int | None:
        """Returns the user that it runs as."""
        try:
            return (_PROC / str(self.pid)).stat().st_uid
        except OSError:
            return None


def is_server(pid: int) -> bool:
    """Tells whether it is a server, TorchServe's or ours."""
    return SERVER_MARK in _command_line(pid)


def is_java_torchserve(pid: int) -> bool:
    """Tells whether it is TorchServe's own server, which only the pid file identifies."""
    words = _command_line(pid)
    return SERVER_MARK in words and Path(words[0]).name == "java"


def own_identity() -> Identity:
    identity = Identity.of(os.getpid())
    assert identity is not None
    return identity


def _command_line(pid: int) -> list[str]:
    words = (_read(_PROC / str(pid) / "cmdline") or b"").split(b"\0")
    return [os.fsdecode(word) for word in words]


def _boot() -> str:
    return (_read(_PROC / "sys/kernel/random/boot_id") or b"").decode("ascii", "replace").strip()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
