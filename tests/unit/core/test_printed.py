from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stoker.core.printed import LineSplitter


def all_lines(*pieces: bytes, limit: int = 16) -> list[str]:
    splitter = LineSplitter(limit)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()


def test_lines_are_put_together_from_pieces() -> None:
    assert all_lines(b"one\ntw", b"o\n", b"three") == ["one", "two", "three"]


def test_an_empty_line_is_a_line_and_no_output_is_none() -> None:
    assert all_lines(b"\n\na\n") == ["", "", "a"]
    assert all_lines() == []


def test_a_line_over_the_limit_is_cut() -> None:
    assert all_lines(b"x" * 40 + b"\nend\n") == ["x" * 16, "x" * 16, "x" * 8, "end"]


def test_a_line_without_end_does_not_grow() -> None:
    splitter = LineSplitter(16)
    for _ in range(100):
        splitter.feed(b"y" * 10)
        assert len(splitter._rest) <= 16


def test_what_could_forge_a_log_line_is_escaped() -> None:
    assert all_lines(b"a\rb\x1b[2J\x00c\r\n", limit=99) == [r"a\rb\x1b[2J\x00c"]
    assert all_lines("a\u2028b\x85c\x9bd".encode(), limit=99) == [r"a\u2028b\x85c\x9bd"]
    assert all_lines("tab\tund Umlaut ä 中".encode(), limit=99) == ["tab\tund Umlaut ä 中"]


def test_what_is_no_utf8_is_shown_as_bytes() -> None:
    assert all_lines(b"\xff\xfe!") == [r"\xff\xfe!"]


@given(st.lists(st.binary(max_size=40)))
def test_no_output_of_whatever_kind_makes_a_line_with_a_control_character(pieces: list[bytes]) -> None:
    for line in all_lines(*pieces):
        assert not any(ord(c) < 32 and c != "\t" for c in line)


@given(st.text(alphabet="ab\n", max_size=60), st.integers(1, 7))
def test_lines_do_not_depend_on_how_the_output_arrives(text: str, step: int) -> None:
    data = text.encode()
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    assert all_lines(*pieces, limit=99) == all_lines(data, limit=99)
