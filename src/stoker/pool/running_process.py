"""Defines what the pool needs from a worker's process, wherever it runs."""

from __future__ import annotations

import asyncio
from typing import Protocol

from stoker.errors import WorkerDied
from stoker.ipc.dialing import Stream


class RunningProcess(Protocol):
    """``exited`` gets the return code (see `subprocess.Popen.returncode`) once it is reaped, None where it is lost.

    ``node``: where it runs, None: beside the server. ``shares_cores``: whether that is the server's machine, as a node
    may be, too. ``ended_first``: the rank that ended first, None: it has no ranks.
    ``death``: why it ended, if it knows more than its return code. The owner closes, after ``exited`` is done.
    """

    exited: asyncio.Future[int | None]

    @property
    def pid(self) -> int: ...

    @property
    def node(self) -> str | None: ...

    @property
    def shares_cores(self) -> bool: ...

    @property
    def sock(self) -> Stream: ...

    @property
    def progress_fd(self) -> int: ...

    @property
    def stdout_fd(self) -> int: ...

    @property
    def stderr_fd(self) -> int: ...

    @property
    def ended_first(self) -> int | None: ...

    @property
    def death(self) -> WorkerDied | None: ...

    def kill_group(self) -> None:
        """Ends the process and all it started. No effect once it is reaped."""
        ...

    def memory_bytes(self) -> int: ...

    def close(self) -> None: ...
