"""A traceback in what a process prints is one record, and what surrounds it is none of it."""

from __future__ import annotations

import builtins
import sys
import traceback

import pytest

from stoker.core.printed import Tracebacks, indented


def records(*lines: str) -> list[str]:
    joined = Tracebacks()
    return [record for line in lines for record in joined.feed(line)] + joined.end()


def printed(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()


def raised(make: type[Exception] = ValueError, *arguments: object) -> Exception:
    try:
        raise make(*arguments)
    except Exception as error:
        return error


def chained(words: str) -> Exception:
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            if words == "cause":
                raise ValueError("second") from first
            raise ValueError("second")  # noqa: B904 - this is what is tested
    except ValueError as error:
        return error


def test_ordinary_lines_are_a_record_each() -> None:
    assert records("a", "", "  b", "ValueError: no") == ["a", "", "  b", "ValueError: no"]


def test_a_traceback_is_one_record_between_others() -> None:
    lines = printed(raised(ValueError, "no"))
    assert records("before", *lines, "after") == ["before", "\n".join(lines), "after"]


@pytest.mark.parametrize("words", ["cause", "context"])
def test_what_it_is_linked_to_belongs_to_it(words: str) -> None:
    lines = printed(chained(words))
    assert lines.count("Traceback (most recent call last):") == 2
    assert records(*lines, "", "after") == ["\n".join(lines), "", "after"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_an_exception_group_is_one_record() -> None:
    group = builtins.ExceptionGroup("several", [raised(), raised(KeyError, "x")])
    try:
        raise group
    except Exception as error:
        lines = printed(error)
    assert records(*lines, "after") == ["\n".join(lines), "after"]


def test_two_in_a_row_are_two() -> None:
    lines = printed(raised(ValueError, "no"))
    assert records(*lines, *lines) == ["\n".join(lines)] * 2


def test_notes_and_indented_text_belong_to_it() -> None:
    lines = [*printed(raised(ValueError, "no")), "    a note"]
    assert records(*lines, "after") == ["\n".join(lines), "after"]


def test_it_is_open_until_something_else_comes_or_the_end() -> None:
    joined = Tracebacks()
    assert not joined.open
    for line in printed(raised(ValueError, "no")):
        assert joined.feed(line) == []
    assert joined.open
    assert len(joined.end()) == 1
    assert not joined.open


def test_one_that_never_ends_is_cut() -> None:
    found = records("Traceback (most recent call last):", *["  File"] * 2500)
    assert len(found) > 1
    assert sum(record.count("\n") + 1 for record in found) == 2501


@pytest.mark.parametrize("text", ["one\ntwo", "one\n\nthree", "a\n\n\nb\nc"])
def test_an_exceptions_text_of_many_lines_is_indented_and_so_stays_with_it(text: str) -> None:
    lines = indented("\n".join(printed(raised(RuntimeError, text)))).splitlines()
    assert lines[-1].strip() == text.splitlines()[-1]
    assert records(*lines, "after")[-1] == "after"
    if "\n\n\n" not in text:
        assert records(*lines, "after") == ["\n".join(lines), "after"]


@pytest.mark.parametrize("words", ["cause", "context"])
def test_indenting_changes_no_other_traceback(words: str) -> None:
    lines = printed(chained(words))
    assert indented("\n".join(lines)).splitlines() == lines
