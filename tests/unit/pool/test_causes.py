from __future__ import annotations

import signal

import pytest

from stoker.errors import WorkerDied, WorkerKilledForMemory
from stoker.pool.causes import death_of, describe_exit


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-15, "killed by signal 15 (SIGTERM)"),
        (-9, "killed by signal 9 (SIGKILL), most likely out of memory"),
        (137, "exit code 137, most likely out of memory"),
        (-(signal.SIGRTMIN + 2), f"killed by signal {signal.SIGRTMIN + 2} (SIGRTMIN+2)"),
    ],
)
def test_a_wait_status_becomes_a_sentence(returncode: int, text: str) -> None:
    assert describe_exit(returncode) == text


def test_only_sigkill_counts_as_memory() -> None:
    assert type(death_of(-9)) is type(death_of(137)) is WorkerKilledForMemory
    assert type(death_of(-11)) is type(death_of(1)) is WorkerDied


def test_the_callers_message_names_the_cause() -> None:
    assert death_of(3).message == "Worker died. Cause: exit code 3"
