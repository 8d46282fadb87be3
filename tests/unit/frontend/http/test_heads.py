"""What a handler may say in the head of an answer."""

from __future__ import annotations

import pytest

from stoker.frontend.http import heads


def test_a_handlers_headers_keep_their_names_and_values() -> None:
    given = {"content-type": "text/plain", "X-Model": " warm ", "Set-Cookie": "a=b"}
    expected = [(b"content-type", b"text/plain"), (b"X-Model", b"warm"), (b"Set-Cookie", b"a=b")]
    assert heads.handler_headers(given) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "3"),
        ("transfer-encoding", "chunked"),
        ("Connection", "keep-alive"),
        ("x-request-id", "mine"),
        ("Cache-Control", "public"),
        ("ts_stream_next", "true"),
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("x", "1\r\nSet-Cookie: evil=1"),
        ("x", "\x00"),
        ("ä", "x"),
    ],
)
def test_a_header_that_would_break_the_answer_or_is_the_servers_own_is_dropped(name: str, value: str) -> None:
    assert heads.handler_headers({name: value}) == []


def test_a_value_that_is_no_latin_text_is_sent_with_question_marks() -> None:
    assert heads.handler_headers({"x": "né €"}) == [(b"x", "né ?".encode("latin-1"))]


def test_the_reason_is_the_handlers_where_it_has_one() -> None:
    assert heads.status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert heads.status_line(418, "I am odd") == b"HTTP/1.1 418 I am odd\r\n"
    assert heads.status_line(513) == b"HTTP/1.1 513 \r\n"
    assert heads.status_line(200, "a\r\nX: y €") == b"HTTP/1.1 200 a??X: y ?\r\n"


@pytest.mark.parametrize(("status", "sent"), [(200, 200), (599, 599), (999, 999), (0, 500), (101, 500), (1000, 500)])
def test_a_status_that_is_none_is_a_500(status: int, sent: int) -> None:
    assert heads.sendable_status(status) == sent
