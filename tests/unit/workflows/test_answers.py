from __future__ import annotations

import json

import pytest

from stoker.workflows.answers import STREAMED, WHOLE, json_of


def test_the_only_leaf_is_answered_untouched() -> None:
    assert WHOLE.whole({"a": b"\x00\xff text"}, {}) == b"\x00\xff text"


def test_several_leaves_are_members_of_an_object_in_the_order_of_the_graph() -> None:
    answer = WHOLE.whole({"b": b'{"x": 1}', "a": b"[1, null]"}, {})

    assert bytes(answer) == b'{\n  "b": {\n    "x": 1\n  },\n  "a": [\n    1,\n    null\n  ]\n}\n'


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (b"42", 42),
        (b"null", None),
        (b'{"a": null}', {"a": None}),
        ('"\u00e9"'.encode(), "\u00e9"),
        (b"plain text", "plain text"),
        (b"", ""),
        (b"\xff", "\ufffd"),
        (b"NaN", "NaN"),
        (b"1e999", "1e999"),
        (b"[" * 100_000, "[" * 100_000),
        (b'{"a": "b\\nc"}', {"a": "b\nc"}),
        (b"9" * 10_000, "9" * 10_000),
    ],
)
def test_any_leaf_has_a_member_be_it_json_or_not(output: bytes, value: object) -> None:
    assert json.loads(json_of({"leaf": output, "other": b"1"})) == {"leaf": value, "other": 1}


@pytest.mark.parametrize("depth", [100, 300, 600, 990, 1500, 50_000])
def test_no_depth_costs_the_answer(depth: int) -> None:
    """Python parses deeper documents than it writes."""
    assert json_of({"leaf": b"[" * depth + b"]" * depth, "other": b"1"}).endswith(b'"other": 1\n}\n')


def test_text_is_not_escaped() -> None:
    assert "é".encode() in json_of({"a": '"é"'.encode()})


def test_a_lone_surrogate_does_not_cost_the_answer() -> None:
    assert json.loads(json_of({"a": rb'"\ud800"'})) == {"a": "?"}


def test_parts_pass_as_they_are() -> None:
    assert STREAMED.streams
    assert STREAMED.part("a", b"part", last=False) == b"part"
