"""The key ``warmUp`` of model-config.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.config.model_config import ModelConfig
from stoker.config.warm_up import warm_up
from stoker.core.warm_up import WarmUp
from stoker.errors import InvalidArchive


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("cat.jpg", WarmUp("cat.jpg")),
        ({"request": "a/cat.jpg"}, WarmUp("a/cat.jpg")),
        ({"request": "cat.jpg", "batchSizes": [8, 1]}, WarmUp("cat.jpg", (8, 1))),
        ({"request": "cat.jpg", "batchSizes": None}, WarmUp("cat.jpg")),
    ],
)
def test_a_file_or_a_map_says_what_to_send(value: Any, result: WarmUp) -> None:
    assert warm_up(value) == result


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "neither the name of a file nor a map"),
        (["cat.jpg"], "neither the name"),
        (None, "neither the name"),
        ({}, "request is not a file"),
        ("", "request is not a file"),
        ("/etc/passwd", "request is not a file of the archive"),
        ("../cat.jpg", "request is not a file of the archive"),
        ("a/../../cat.jpg", "request is not a file of the archive"),
        ("cat\0.jpg", "request is not a file of the archive"),
        ({"request": 3}, "request is not a file"),
        ({"request": "a", "batchSize": 1}, "unknown key 'batchSize'; the keys are request, batchSizes"),
        ({"request": "a", "batchSizes": 4}, "batchSizes is not a list of numbers from 1"),
        ({"request": "a", "batchSizes": [0]}, "batchSizes is not"),
        ({"request": "a", "batchSizes": [True]}, "batchSizes is not"),
        ({"request": "a", "batchSizes": [1 << 20]}, "batchSizes is not"),
    ],
)
def test_what_is_not_understood_is_named(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        warm_up(value)


def test_a_model_whose_warm_up_is_not_understood_is_refused() -> None:
    with pytest.raises(InvalidArchive, match=r"warmUp.*unknown key 'file'"):
        ModelConfig.of({"warmUp": {"file": "cat.jpg"}})


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, (1,)), (8, (1, 8))])
def test_without_sizes_one_row_and_the_largest_batch_are_sent(batch_size: int, sizes: tuple[int, ...]) -> None:
    assert WarmUp("cat.jpg").sizes(batch_size) == sizes
