"""JSON as Gson's lenient reader takes it: what each row means was read off that reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.config import lenient_json
from stoker.config.lenient_json import Number

PLAIN = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def as_numbers(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_int=Number, parse_float=Number)


@given(PLAIN, st.booleans())
def test_plain_json_means_what_it_means_to_everybody(value: Any, ascii_only: bool) -> None:
    for indent in (None, 2):
        assert lenient_json.parse(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == as_numbers(value)


@pytest.mark.parametrize(
    ("source", "means"),
    [
        ("{'a': 'b'}", {"a": "b"}),
        ("{a: b, 1.0: c-d.mar}", {"a": "b", "1.0": "c-d.mar"}),
        ("{a=1; b=>2}", {"a": "1", "b": "2"}),
        ("{a: b c}", None),
        ("{'it\\'s': \"q\\u0041\\n\"}", {"it's": "qA\n"}),
        ("{a: TRUE, b: False, c: nULL, d: truer}", {"a": True, "b": False, "c": None, "d": "truer"}),
        ("{a: 012, b: -0, c: 1., d: .5, e: +1}", {"a": "012", "b": "-0", "c": "1.", "d": ".5", "e": "+1"}),
        ("[1,]", ["1", None]),
        ("[,]", [None, None]),
        ("[1;2]", ["1", "2"]),
        ("[]", []),
        ("{a: 1,}", None),
        ("{,}", None),
        ("{a: }", None),
        ("{a 1}", None),
        ("{a: 1 b: 2}", None),
        ("[1 2]", None),
        ("/* c */ {a: 1 // rest\n, # rest\n b: 2}", {"a": "1", "b": "2"}),
        ("{a: 1 // rest }", None),
        ("{a: 1} // rest", None),
        ("{a: 1} x", None),
        ("{a: 1}\n", {"a": "1"}),
        ("\ufeff{a: 1}", {"a": "1"}),
        ("{a: 'b", None),
        ("{a: '\\q'}", None),
        ("{a: '\\u12g4'}", None),
        ("{a: /* b}", None),
        ("", None),
        ("{a: 1, a: 2}", {"a": "2"}),
    ],
)
def test_what_is_nearly_json_is_read_as_gson_reads_it(source: str, means: Any) -> None:
    if means is None:
        with pytest.raises(ValueError, match=r"^not valid JSON: .* at character "):
            lenient_json.parse(source)
    else:
        assert lenient_json.parse(source) == means


def test_only_what_is_written_as_a_number_is_one() -> None:
    kinds = [type(item) for item in lenient_json.parse("[1, -1.5e+3, '1', 012, 1x, 0x1]")]
    assert kinds == [Number, Number, str, str, str, str]


def test_an_error_says_where_and_shows_little_of_the_text() -> None:
    with pytest.raises(ValueError, match=r"expected : at character 7 \('} and here follows m'\)"):
        lenient_json.parse("{'ab' } and here follows much more")


@given(st.text(alphabet="{}[]:,;='\"\\/#* \n\tau01.") | st.text())
def test_no_text_does_anything_but_parse_or_raise(source: str) -> None:
    try:
        value = lenient_json.parse(source)
    except ValueError as error:
        assert str(error)
    else:
        json.dumps(value)  # nothing but what JSON knows
        assert lenient_json.parse(json.dumps(value)) == value


@pytest.mark.parametrize("source", ["[" * 10**6, "{a:" * 10**6, "#" * 10**6, "/**/" * 10**5, "'" + "\\n" * 10**5])
def test_hostile_texts_end_soon(source: str) -> None:
    with pytest.raises(ValueError):
        lenient_json.parse(source)


# ------------------------------------------------------------------------------------ values as one kind


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (Number("4"), 4),
        (Number("4.9"), 4),
        (Number("-4.9"), -4),
        (Number("1e3"), 1000),
        ("4", 4),
        ("+4", 4),
        ("012", 12),
    ],
)
def test_a_number_or_its_text_is_a_whole_number_without_what_follows_the_point(value: Any, whole: int) -> None:
    assert lenient_json.whole(value) == whole


@pytest.mark.parametrize(
    "value", ["", "x", "1_0", "NaN", "Infinity", "0x1", "\u0661", True, None, {}, [], "1e999", str(2**31)]
)
def test_what_is_no_number_of_32_bits_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a number|is out of range"):
        lenient_json.whole(value)


def test_flags_and_texts_are_taken_from_every_plain_value() -> None:
    assert [lenient_json.flag(value) for value in (True, "TRUE", "true", "yes", Number("1"), False)] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert [lenient_json.text(value) for value in ("a", Number("1.0"), True)] == ["a", "1.0", "true"]
    for value in (None, {}, []):
        with pytest.raises(ValueError, match="is not a text"):
            lenient_json.text(value)
