from __future__ import annotations

import signal

import pytest

from stoker.errors import WorkerDied, WorkerOutOfMemory
from stoker.pool.causes import death_of, describe_exit, load_failure


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-11, "killed by signal 11 (SIGSEGV)"),
        (-15, "killed by signal 15 (SIGTERM)"),
        (-9, "killed by signal 9 (SIGKILL)"),
        (137, "exit code 137"),
        (-(signal.SIGRTMIN + 2), f"killed by signal {signal.SIGRTMIN + 2} (SIGRTMIN+2)"),
    ],
)
def test_a_wait_status_becomes_a_sentence(returncode: int, text: str) -> None:
    assert describe_exit(returncode) == text


@pytest.mark.parametrize(
    ("returncode", "text"),
    [(-9, "killed by signal 9 (SIGKILL), out of memory"), (137, "exit code 137, out of memory")],
)
def test_sigkill_is_for_memory_only_where_the_kernel_says_so(returncode: int, text: str) -> None:
    killed = death_of(returncode, out_of_memory=lambda: True)
    assert type(killed) is WorkerOutOfMemory
    assert killed.cause == text
    assert type(death_of(returncode, out_of_memory=lambda: False)) is WorkerDied


@pytest.mark.parametrize("returncode", [-11, -15, 0, 1, 9, None])
def test_the_kernel_is_not_asked_about_other_deaths(returncode: int | None) -> None:
    def asked() -> bool:
        raise AssertionError("another process may have been killed for memory")

    assert type(death_of(returncode, out_of_memory=asked)) is WorkerDied


def test_the_callers_message_names_the_cause() -> None:
    assert death_of(3, out_of_memory=lambda: False).message == "Worker died. Cause: exit code 3"


def test_a_worker_that_says_507_had_not_enough_memory() -> None:
    assert type(load_failure(507, "MemoryError: ")) is WorkerOutOfMemory
    assert type(load_failure(500, "ValueError: 507")) is WorkerDied
    assert load_failure(507, "MemoryError: 3 GB").cause == "MemoryError: 3 GB"
