"""What a model config may say of Ray."""

from __future__ import annotations

from typing import Any

import pytest

from stoker.config import address
from stoker.config.address import Address
from stoker.config.model_config import ModelConfig
from stoker.config.ray_keys import placement
from stoker.core.ranks import Ranks
from stoker.errors import InvalidArchive


def test_amounts_are_read_with_units_and_any_case() -> None:
    config = ModelConfig.of({"rayResources": {"cpu": 2, "gpu": 0.5, "Memory": "2g", "fpga": 1}})
    assert config.ray_resources == {"CPU": 2.0, "GPU": 0.5, "memory": float(2 << 30), "fpga": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("placement", "kubernetes", "not one of: local, ray"),
        ("placement", True, "not one of: local, ray"),
        ("raySpread", "yes", "neither true nor false"),
        ("rayResources", ["GPU"], "not a map"),
        ("rayResources", {"GPU": "one"}, "GPU is not a number"),
        ("rayResources", {"GPU": True}, "GPU is not a number"),
        ("rayResources", {"GPU": -1}, "GPU is out of range"),
        ("rayResources", {"GPU": 1.5}, "only whole numbers"),
        ("rayResources", {"CPU": 0.00001}, "the smallest amount that Ray assigns is 0.0001"),
        ("rayResources", {"GPU": float("nan")}, "GPU is not a number"),
        ("rayResources", {"memory": "lots"}, "not a number of bytes"),
        ("rayResources", {"node:10.0.0.1": 1}, "assigns itself"),
        ("rayResources", {"": 1}, "the name of a resource"),
        ("rayResources", {"a\nb": 1}, "the name of a resource"),
        ("rayResources", {1: 1}, "the name of a resource"),
        ("rayResources", {f"r{number}": 1 for number in range(33)}, "more than 32"),
    ],
)
def test_a_wrong_value_refuses_the_model_because_it_would_run_elsewhere(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(InvalidArchive, match=complaint):
        ModelConfig.of({key: value})


@pytest.mark.parametrize(
    ("given", "device_type", "ranks", "resources"),
    [
        (None, None, None, {"CPU": 1}),
        (None, "cpu", None, {"CPU": 1}),
        (None, "gpu", None, {"CPU": 1, "GPU": 1}),
        ({"GPU": 0.25}, None, None, {"CPU": 1, "GPU": 0.25}),
        ({"CPU": 0}, None, None, {}),
        (None, "gpu", Ranks("tp", 4), {"CPU": 1, "GPU": 1}),
        (None, "gpu", Ranks("custom", 4), {"CPU": 1, "GPU": 4}),
    ],
)
def test_what_is_not_given_is_a_cpu_and_a_gpu_where_the_model_wants_one(
    given: Any, device_type: str | None, ranks: Ranks | None, resources: dict[str, float]
) -> None:
    assert dict(placement(given, None, device_type=device_type, ranks=ranks).resources) == resources


def test_workers_are_spread_and_the_ranks_of_one_kept_together_unless_told_otherwise() -> None:
    ranks = Ranks("tp", 2)
    assert placement(None, None, device_type=None, ranks=None).spread
    assert not placement(None, None, device_type=None, ranks=ranks).spread
    assert placement(None, True, device_type=None, ranks=ranks).spread
    assert not placement(None, False, device_type=None, ranks=None).spread


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto", "auto"), (" LOCAL ", "local"), ("", None), ("10.0.0.1:6379", "10.0.0.1:6379"), ("[::1]:1", "[::1]:1")],
)
def test_a_cluster_is_named_by_a_word_or_by_host_and_port(text: str, expected: str | None) -> None:
    assert address.ray(text) == expected


@pytest.mark.parametrize("text", ["ray://10.0.0.1:10001", "10.0.0.1", "head:", "head:99999", "a b:1", "http://head:1"])
def test_anything_else_is_no_cluster(text: str) -> None:
    with pytest.raises(ValueError):
        address.ray(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", Address("border", "10.0.0.1", 0)),
        ("10.0.0.1:9009", Address("border", "10.0.0.1", 9009)),
        ("[::1]:9009", Address("border", "::1", 9009)),
        ("", None),
    ],
)
def test_the_border_is_named_by_a_host_with_or_without_a_port(text: str, expected: Address | None) -> None:
    assert address.border(text) == expected
