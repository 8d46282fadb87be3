"""What is said of a model while it comes up."""

from __future__ import annotations

import pytest

from stoker.cli.registering import state


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([], "no worker yet"),
        (["READY", "READY"], "2 of 2 workers ready"),
        (["READY", "UNLOADING", "UNKNOWN"], "1 of 3 workers ready"),
    ],
)
def test_workers_are_counted_by_their_state(workers: list[str], words: str) -> None:
    assert state([{"workers": [{"status": status} for status in workers]}]) == words


def test_a_model_that_is_not_there_has_no_worker() -> None:
    assert state([]) == state([{}]) == "no worker yet"
