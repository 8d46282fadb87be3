"""Expected values were checked against java.util.Properties."""

from __future__ import annotations

import pytest

from stoker.config.properties import Entry, expand, parse
from stoker.errors import ConfigurationError


def pairs(text: str) -> dict[str, str]:
    return {entry.key: entry.value for entry in parse(text, file="f")}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a=b", "a", "b"),
        ("a:b", "a", "b"),
        ("a b", "a", "b"),
        ("a = b c ", "a", "b c "),
        ("  a\t:\tb", "a", "b"),
        ("a", "a", ""),
        ("a==b", "a", "=b"),
        ("a=b=c:d", "a", "b=c:d"),
        ("=b", "", "b"),
        (r"a\:b=c", "a:b", "c"),
        (r"a\ b=c", "a b", "c"),
        (r"a=http\://127.0.0.1\:8080", "a", "http://127.0.0.1:8080"),
        (r"a=\u00e9\tx\q", "a", "é\txq"),
        (r"a=\ud83d\ude00", "a", "\N{GRINNING FACE}"),
        (r"a=C:\\models\\x", "a", r"C:\models\x"),
        ("a=b\\\n   c", "a", "bc"),
        ("a=b\\\r\n\tc", "a", "bc"),
        ("a=b\\\\\nc=d", "a", "b\\"),
        ("a=b\\\n#c", "a", "b#c"),
        ("a=b\\", "a", "b"),
        ("\\\n# only a comment\na=b", "a", "b"),
    ],
)
def test_a_line_is_read_as_java_reads_it(text: str, key: str, value: str) -> None:
    assert parse(text, file="f")[0][:2] == (key, value)


def test_comments_and_blank_lines_say_nothing() -> None:
    assert pairs("# a=1\n ! b=2\n\n \t\nc=3\n") == {"c": "3"}


def test_a_comment_does_not_continue_on_the_next_line() -> None:
    assert pairs("# a \\\nb=1") == {"b": "1"}


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines_are_numbered_where_they_begin_whatever_ends_them(end: str) -> None:
    text = end.join(["# c", "a=1\\", "  2", "", "b=3"])
    assert parse(text, file="f") == [Entry("a", "12", 2), Entry("b", "3", 5)]


def test_every_entry_is_kept_so_that_a_double_key_can_be_reported() -> None:
    assert [e.value for e in parse("a=1\na=2", file="f")] == ["1", "2"]


@pytest.mark.parametrize("escape", [r"\u12", r"\uzzzz", r"\u", r"\u 123"])
def test_a_malformed_escape_names_file_and_line(escape: str) -> None:
    with pytest.raises(ConfigurationError, match=r"conf\.properties, line 2: malformed"):
        parse(f"a=1\nb={escape}", file="conf.properties")


def test_variables_are_replaced_anywhere_in_a_value() -> None:
    assert expand("x $$A$$/$$B_2$$ $C $$", {"A": "1", "B_2": "two"}) == "x 1/two $C $$"


def test_a_replaced_variable_is_not_expanded_again() -> None:
    assert expand("$$A$$", {"A": "$$B$$", "B": "no"}) == "$$B$$"


def test_an_unset_variable_is_an_error_with_its_name() -> None:
    with pytest.raises(ValueError, match="Invalid Environment Variable NOPE"):
        expand("a $$NOPE$$", {})
