"""What a cluster lacks, in words."""

from __future__ import annotations

import pytest

from stoker.ray.shortage import NodeRoom, is_waiting, shortage

GIB = 1 << 30
BIG = NodeRoom({"CPU": 16.0}, {"CPU": 8.0})
GPUS = NodeRoom({"CPU": 4.0, "GPU": 2.0, "memory": 8.0 * GIB}, {"CPU": 1.0, "memory": 2.0 * GIB})


@pytest.mark.parametrize(
    ("wanted", "processes", "text"),
    [
        ({"CPU": 1}, 1, ""),
        ({"CPU": 8}, 1, ""),
        ({}, 100, ""),
        ({"fpga": 1}, 1, "no node of the Ray cluster has any fpga"),
        ({"GPU": 4}, 1, "no node of the Ray cluster has GPU 4 (the largest has 2)"),
        ({"memory": 64 * GIB}, 1, "no node of the Ray cluster has memory 64 GiB (the largest has 8 GiB)"),
        ({"CPU": 16, "GPU": 1}, 1, "no node of the Ray cluster has CPU 16 and GPU 1 together"),
        ({"CPU": 1, "GPU": 1}, 1, "no node of the Ray cluster has GPU 1 free (of 2, 0 free in all)"),
        ({"CPU": 9}, 1, "no node of the Ray cluster has CPU 9 free (of 20, 9 free in all)"),
        ({"CPU": 4}, 3, "the Ray cluster has room for 2 of 3 processes, each with CPU 4"),
    ],
)
def test_the_sentence_names_what_is_missing(wanted: dict[str, float], processes: int, text: str) -> None:
    assert shortage(wanted, [GPUS, BIG], processes=processes) == text


def test_a_cluster_whose_nodes_are_all_gone_has_no_room() -> None:
    assert shortage({"CPU": 1}, []) == "the Ray cluster has no nodes"


def test_fractions_are_counted_as_ray_does() -> None:
    assert shortage({"GPU": 0.1}, [NodeRoom({"GPU": 1.0}, {"GPU": 0.3})], processes=3) == ""
    assert shortage({"GPU": 0.1}, [NodeRoom({"GPU": 1.0}, {"GPU": 0.3})], processes=4) != ""


@pytest.mark.parametrize(
    ("wanted", "behind", "waits"),
    [
        ({"CPU": 1.0}, 0, True),
        ({"CPU": 1.0}, 2, True),
        ({"CPU": 1.0}, 3, False),
        ({"CPU": 1.0, "GPU": 0.0}, 2, True),
        ({"CPU": 1.00000001}, 3, False),
        ({"CPU": 1.0, "GPU": 1.0}, 0, True),
        ({"CPU": 1.0, "GPU": 1.0}, 1, False),
        ({"CPU": 2.0}, 0, False),
        ({}, 0, False),
    ],
)
def test_of_those_that_asked_for_the_same_the_last_ones_wait(
    wanted: dict[str, float], behind: int, waits: bool
) -> None:
    demands = [({"CPU": 1.0}, 2), ({"GPU": 1.0, "CPU": 1.0}, 1), ({"CPU": 1.0}, 1)]
    assert is_waiting(wanted, [wanted] * behind + [{"CPU": 7.0}], demands) is waits
