from __future__ import annotations

import pytest

from stoker.pool.ids import WorkerIds


def test_ids_count_up_from_the_first() -> None:
    ids = WorkerIds(9000)
    assert [ids.take() for _ in range(3)] == [9000, 9001, 9002]


def test_freed_ids_are_used_again_lowest_first() -> None:
    ids = WorkerIds()
    taken = [ids.take() for _ in range(4)]
    for number in (taken[2], taken[0]):
        ids.give_back(number)
    assert [ids.take() for _ in range(3)] == [9000, 9002, 9004]


def test_giving_back_twice_is_a_bug() -> None:
    ids = WorkerIds()
    ids.give_back(ids.take())
    with pytest.raises(AssertionError):
        ids.give_back(9000)
