"""Explains why a worker process ended: a sentence for people, and the error that its callers get.  PURE.

Law: a cause never carries a path, because clients see it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from stoker.errors import WorkerDied, WorkerOutOfMemory

_KILLED = 128 + signal.SIGKILL  # how a shell or a wrapper spells 'my child was killed by SIGKILL'
_NOT_ENOUGH_MEMORY = 507  # a worker's number for it


def describe_exit(returncode: int) -> str:
    """Describes a ``returncode`` of `subprocess.Popen`: the exit code, or minus the signal's number."""
    if returncode < 0:
        return f"killed by signal {-returncode} ({_signal_name(-returncode)})"
    return f"exit code {returncode}"


def death_of(returncode: int | None, *, out_of_memory: Callable[[], bool]) -> WorkerDied:
    """Makes the error for a process that this server did not kill. None: the return code is lost.

    ``out_of_memory``: called for processes that were killed from outside; whether the kernel did it for memory.
    """
    if returncode is None:
        return WorkerDied("for an unknown reason")
    if was_killed(returncode) and out_of_memory():
        return WorkerOutOfMemory(f"{describe_exit(returncode)}, out of memory")
    return WorkerDied(describe_exit(returncode))


def was_killed(returncode: int) -> bool:
    """Tells whether the end may be the kernel's doing, for want of memory."""
    return returncode in (-signal.SIGKILL, _KILLED)


def of_rank(rank: int | None, error: WorkerDied) -> WorkerDied:
    """Names the rank that ended first. None: the worker has no ranks."""
    return error if rank is None else type(error)(f"rank {rank}: {error.cause}")


def load_failure(number: int, message: str) -> WorkerDied:
    """Makes the error for a worker that reported why it cannot load the model."""
    return WorkerOutOfMemory(message) if number == _NOT_ENOUGH_MEMORY else WorkerDied(message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
