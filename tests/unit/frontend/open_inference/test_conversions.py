"""Conversion in slices: the same bytes as at once, and the same refusals."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.errors import BadRequest
from stoker.frontend.open_inference.conversions import Conversions
from stoker.tensors import elements
from stoker.tensors.datatypes import DATATYPES

VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "INT64": [-(2**63), 0, 5],
    "FP16": [0.5, -1.0, 2.0],
    "BF16": [0.5, -1.0, 2.0],
    "FP64": [0.1, 1e300, -1.0],
    "BYTES": [b"", "a\u20ac", b"bc"],
}


@pytest.mark.parametrize("name", VALUES)
def test_contents_are_those_converted_at_once(name: str) -> None:
    conversions, values = Conversions(), VALUES[name] * 50_000
    contents = conversions.add("x", DATATYPES[name], values, elements.raw_of)
    few = conversions.add("y", DATATYPES[name], values[:2], elements.raw_of)
    assert len(list(conversions.steps())) == 11
    assert contents == elements.raw_of(DATATYPES[name], values)
    assert few == elements.raw_of(DATATYPES[name], values[:2])


def test_an_element_that_does_not_fit_is_refused_with_the_name_of_its_input() -> None:
    conversions = Conversions()
    conversions.add("x", DATATYPES["UINT8"], [1] * 100_000 + [256], elements.raw_of)
    with pytest.raises(BadRequest, match="Input 'x' has elements that are not UINT8"):
        list(conversions.steps())
