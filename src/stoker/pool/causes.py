"""Why a worker process ended, as a sentence for people, and as the error its callers get.  PURE.

Law: causes are shown to clients, so they never carry a path.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from stoker.errors import WorkerDied, WorkerOutOfMemory

_KILLED = 128 + signal.SIGKILL  # how a shell or a wrapper spells 'my child was killed by SIGKILL'
_NOT_ENOUGH_MEMORY = 507  # a worker's number for it


def describe_exit(returncode: int) -> str:
    """``returncode`` as `subprocess.Popen` has it: the exit code, or minus the signal's number."""
    if returncode < 0:
        return f"killed by signal {-returncode} ({_signal_name(-returncode)})"
    return f"exit code {returncode}"


def death_of(returncode: int | None, *, out_of_memory: Callable[[], bool]) -> WorkerDied:
    """The error for a process that nobody here killed. None: the only process that knew more is dead, too.

    ``out_of_memory``: whether the kernel says so; asked about processes that were killed from outside.
    """
    if returncode is None:
        return WorkerDied("for an unknown reason")
    if returncode in (-signal.SIGKILL, _KILLED) and out_of_memory():
        return WorkerOutOfMemory(f"{describe_exit(returncode)}, out of memory")
    return WorkerDied(describe_exit(returncode))


def load_failure(number: int, message: str) -> WorkerDied:
    """The error for a worker that said itself why it cannot load the model."""
    return WorkerOutOfMemory(message) if number == _NOT_ENOUGH_MEMORY else WorkerDied(message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
