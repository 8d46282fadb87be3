"""Explains why a worker process ended: makes a readable cause, and the error for its callers.  PURE.

Invariant: a cause never contains a path, because clients see it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from stoker.errors import WorkerDied, WorkerOutOfMemory

_KILLED = 128 + signal.SIGKILL  # exit code of a shell whose child was killed by SIGKILL
_NOT_ENOUGH_MEMORY = 507  # error number that workers report for it


def describe_exit(returncode: int) -> str:
    """Describes a ``returncode`` of `subprocess.Popen`: the exit code, or minus the signal's number."""
    if returncode < 0:
        return f"killed by signal {-returncode} ({_signal_name(-returncode)})"
    return f"exit code {returncode}"


def death_of(returncode: int | None, *, out_of_memory: Callable[[], bool]) -> WorkerDied:
    """Makes the error for a process that this server did not kill. ``returncode``: None if it is lost.

    ``out_of_memory``: tells whether the kernel killed the process to free memory; called only if SIGKILL ended it.
    """
    if returncode is None:
        return WorkerDied("for an unknown reason")
    if was_killed(returncode) and out_of_memory():
        return WorkerOutOfMemory(f"{describe_exit(returncode)}, out of memory")
    return WorkerDied(describe_exit(returncode))


def was_killed(returncode: int) -> bool:
    """Tells whether SIGKILL ended the process, as when the kernel runs out of memory."""
    return returncode in (-signal.SIGKILL, _KILLED)


def with_rank(error: WorkerDied, rank: int | None) -> WorkerDied:
    """Adds the rank that ended first to the cause. None: the worker has no ranks."""
    return error if rank is None else type(error)(f"rank {rank}: {error.cause}")


def load_failure(number: int, message: str) -> WorkerDied:
    """Makes the error for a worker that reported why it cannot load the model."""
    return WorkerOutOfMemory(message) if number == _NOT_ENOUGH_MEMORY else WorkerDied(message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
