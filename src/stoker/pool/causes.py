"""Why a worker process ended, as a sentence for people, and as the error its callers get.  PURE.

Law: causes are shown to clients, so they never carry a path.
"""

from __future__ import annotations

import signal

from stoker.errors import WorkerDied, WorkerKilledForMemory

_KILLED = 128 + signal.SIGKILL  # how a shell or a wrapper spells 'my child was killed by SIGKILL'
_FOR_MEMORY = "most likely out of memory"


def describe_exit(returncode: int) -> str:
    """``returncode`` as `subprocess.Popen` has it: the exit code, or minus the signal's number."""
    if returncode < 0:
        text = f"killed by signal {-returncode} ({_signal_name(-returncode)})"
    else:
        text = f"exit code {returncode}"
    return f"{text}, {_FOR_MEMORY}" if _killed_from_outside(returncode) else text


def death_of(returncode: int | None) -> WorkerDied:
    """The error for a process that nobody here killed. None: the only process that knew more is dead, too."""
    if returncode is None:
        return WorkerDied("for an unknown reason")
    error = WorkerKilledForMemory if _killed_from_outside(returncode) else WorkerDied
    return error(describe_exit(returncode))


def _killed_from_outside(returncode: int) -> bool:
    return returncode in (-signal.SIGKILL, _KILLED)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
