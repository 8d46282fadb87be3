"""Laws of the properties syntax over texts that nobody would think of."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from stoker.config import properties
from stoker.errors import ConfigurationError

ANY_TEXT = st.text()
SYNTAX = st.text(alphabet=list("ab \t\f\n\r\\=:#!u0041$é\N{GRINNING FACE}"), max_size=60)
WITHOUT_DOLLAR = st.text().filter(lambda text: "$" not in text)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(ANY_TEXT | SYNTAX, ANY_TEXT | SYNTAX), max_size=8))
@example([(" a=b:c#!", " \t\\ \r\n\f"), ("", ""), ("é\N{GRINNING FACE}", "\\u0041")])
def test_what_is_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    text = "".join(properties.line(key, value) for key, value in pairs)
    assert [(entry.key, entry.value) for entry in properties.parse(text, file="f")] == pairs


@given(ANY_TEXT | SYNTAX, ANY_TEXT | SYNTAX)
def test_what_is_written_is_one_line_of_ascii(key: str, value: str) -> None:
    text = properties.line(key, value)
    assert text.isascii()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "\r" not in text


@given(ANY_TEXT)
def test_a_comment_says_nothing_whatever_stands_in_it(text: str) -> None:
    assert properties.parse(properties.comment(text) + "a=b", file="f") == [properties.Entry("a", "b", 2)]


@given(ANY_TEXT | SYNTAX)
@example("\\")
@example("\\u")
@example("a=\\ud800")
@example("\\\n\\\n\\\n")
def test_any_text_is_read_or_refused_in_the_documented_way(text: str) -> None:
    try:
        entries = properties.parse(text, file="f")
    except ConfigurationError as error:
        assert error.message.startswith("Invalid configuration: f, line ")
        return
    lines = text.count("\n") + text.count("\r") + 1
    assert all(1 <= entry.line <= lines for entry in entries)
    for entry in entries:
        (entry.key + entry.value).encode()  # no half of a character is left


@given(ANY_TEXT | SYNTAX)
def test_what_was_read_means_the_same_when_written_again(text: str) -> None:
    try:
        once = properties.parse(text, file="f")
    except ConfigurationError:
        return
    again = properties.parse("".join(properties.line(entry.key, entry.value) for entry in once), file="f")
    assert [entry[:2] for entry in again] == [entry[:2] for entry in once]


@given(st.lists(st.text(alphabet="abcé=:", min_size=1), min_size=1, max_size=6), ENDS, st.text(" \t\f", max_size=4))
def test_a_value_may_be_broken_over_lines_anywhere(parts: list[str], end: str, indent: str) -> None:
    text = "key=" + f"\\{end}{indent}".join(parts)
    assert properties.parse(text, file="f") == [properties.Entry("key", "".join(parts), 1)]


@given(st.integers(min_value=0, max_value=9), st.text(alphabet="bcd", min_size=1))
def test_only_an_odd_number_of_backslashes_continues_a_line(count: int, following: str) -> None:
    entries = properties.parse(f"a=x{chr(92) * count}\n{following}=y", file="f")
    assert len(entries) == (1 if count % 2 else 2)


@given(
    st.text(min_size=1).filter(lambda name: "$" not in name), ANY_TEXT, ANY_TEXT.filter(lambda text: "$" not in text)
)
def test_a_variable_is_replaced_by_exactly_its_value(name: str, value: str, around: str) -> None:
    assert properties.expand(f"{around}$${name}$${around}", {name: value}) == around + value + around


@given(ANY_TEXT | SYNTAX)
def test_expanding_raises_nothing_but_the_word_for_an_unset_variable(text: str) -> None:
    try:
        expanded = properties.expand(text, {})
    except ValueError as error:
        assert re.match("Invalid Environment Variable .", str(error), re.DOTALL)
    else:
        assert expanded == text
