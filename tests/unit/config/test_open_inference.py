"""The section ``openInference`` of model-config.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.config.model_config import ModelConfig
from stoker.config.open_inference import interface
from stoker.core.tensors import TensorSpec
from stoker.errors import InvalidArchive

X = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}


@pytest.mark.parametrize(
    ("section", "rows", "batched"),
    [
        ({}, False, False),
        ({"inputs": [X]}, True, True),
        ({"mode": "v2", "inputs": [X]}, False, False),
        ({"mode": "tensors"}, True, True),
        ({"mode": "tensors", "batchDimension": None}, True, False),
    ],
)
def test_the_mode_follows_from_the_inputs_unless_it_is_set(section: dict[str, Any], rows: bool, batched: bool) -> None:
    found = interface(section)
    assert (found.rows, found.batched and found.rows) == (rows, batched)


def test_all_of_it_is_read() -> None:
    found = interface({"inputs": [X], "outputs": [{**X, "name": "y"}], "as": "torch", "platform": "own"})
    assert (found.values, found.platform) == ("torch", "own")
    assert found.inputs == (TensorSpec("x", "FP32", (-1, 2)),)
    assert found.outputs == (TensorSpec("y", "FP32", (-1, 2)),)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ([], "not a map"),
        ({"input": [X]}, "unknown key 'input'"),
        ({"mode": "x"}, "mode is not one of"),
        ({"as": "tf"}, "as is not one of"),
        ({"batchDimension": 1}, "must be 0 or null"),
        ({"batchDimension": False}, "must be 0 or null"),
        ({"platform": 1}, "platform is not text"),
        ({"inputs": X}, "inputs is not a list"),
        ({"inputs": [{**X, "name": ""}]}, "has no name"),
        ({"inputs": [{**X, "datatype": "float"}]}, "datatype of 'x' is not one of"),
        ({"inputs": [{**X, "shape": [-2]}]}, "not a list of numbers from -1"),
        ({"inputs": [{**X, "shape": [True]}]}, "not a list of numbers from -1"),
        ({"inputs": [{**X, "shape": [1] * 40}]}, "more than 32 dimensions"),
        ({"inputs": [{**X, "shape": [1, 2]}]}, "does not begin with -1"),
        ({"inputs": [X, X]}, "same name"),
        ({"inputs": [{**X, "dims": 1}]}, "unknown key 'dims'"),
    ],
)
def test_a_section_that_is_not_understood_refuses_the_model(section: Any, words: str) -> None:
    """Served as if it were not there, the model would take other requests than its author wrote down."""
    with pytest.raises(InvalidArchive, match=f"openInference: .*{words}"):
        ModelConfig.of({"openInference": section})
