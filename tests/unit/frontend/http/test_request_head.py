"""Heads of requests: what they mean, and which are refused. What is refused over a socket too is in the conformance
tests of odd requests."""

from __future__ import annotations

import pytest

from stoker.errors import BadRequest, HeadTooLarge
from stoker.frontend.http.request_head import RequestHead, check_partial_head, is_http_2, parse


def head(*lines: bytes, start: bytes = b"POST /predictions/m?a=1 HTTP/1.1") -> RequestHead:
    return parse(b"\r\n".join((start, b"Host: x", *lines, b"", b"")))


def test_a_head_is_taken_apart() -> None:
    found = head(b"Content-Type: text/plain", b"X-A: 1", b"Content-Length: 5")
    assert (found.method, found.path, found.query) == (b"POST", b"/predictions/m", b"a=1")
    assert found.headers[1:3] == [(b"Content-Type", b"text/plain"), (b"X-A", b"1")]
    assert found.facts[b"content-type"] == b"text/plain"
    assert (found.content_length, found.chunked, found.http_1_0) == (5, False, False)
    assert found.line == "POST /predictions/m?a=1 HTTP/1.1"


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        (b"1.1", None, True),
        (b"1.1", b"close", False),
        (b"1.1", b"Upgrade, Close", False),
        (b"1.0", None, False),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"close", False),
    ],
)
def test_whether_the_connection_goes_on(version: bytes, connection: bytes | None, kept: bool) -> None:
    lines = () if connection is None else (b"Connection: " + connection,)
    assert head(*lines, start=b"GET / HTTP/" + version).keep_alive is kept


def test_several_connection_headers_are_one_list() -> None:
    assert head(b"Connection: x", b"Connection: close").keep_alive is False


@pytest.mark.parametrize("target", [b"http://x/predictions/m", b"https://u@h:1/predictions/m"])
def test_the_absolute_form_is_its_path(target: bytes) -> None:
    assert head(start=b"GET " + target + b" HTTP/1.1").path == b"/predictions/m"


def test_an_offer_of_another_protocol_is_not_taken() -> None:
    found = head(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3")
    assert (found.content_length, found.keep_alive) == (3, True)


@pytest.mark.parametrize(
    "lines",
    [
        [b"Host: y"],
        [b"Authorization: a", b"authorization: b"],
        [b"Content-Length: 1", b"Content-Length: 2"],
        [b"Content-Length: 1", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"X: a\r\n b"],
        [b"X: a\rb"],
        [b"X: a\x00b"],
        [b"X: a\nY: b"],
    ],
    ids=repr,
)
def test_what_two_readers_could_understand_differently_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        head(*lines)


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r", b"G", b"GET", b"POST /x HTTP/1.1\r\n"])
def test_the_beginning_of_a_head_may_go_on(begin: bytes) -> None:
    assert not refused(begin)
    assert refused(begin + b"\0"), "what follows is looked at too"


def refused(begin: bytes) -> bool:
    try:
        check_partial_head(begin, limit=100)
    except BadRequest:
        return True
    return False


@pytest.mark.parametrize("begin", [b"\x16\x03\x01\x02", b"GET /\x00", b"{", b"GET / HTTP/1.1\nHost: x", b"A" * 40])
def test_the_beginning_of_something_else_is_refused_before_it_ends(begin: bytes) -> None:
    with pytest.raises(BadRequest):
        check_partial_head(begin, limit=100)


@pytest.mark.parametrize("wrong", [b"\0", b"\nX: y", b"\rX", b"\r\n more", b"\r\n\tmore"])
def test_a_head_that_comes_byte_by_byte_is_refused_at_the_byte_that_is_wrong(wrong: bytes) -> None:
    sent = b"GET / HTTP/1.1\r\nHost: x" + wrong
    checked, refusals = 0, []
    for size in range(1, len(sent) + 1):
        try:
            check_partial_head(sent[:size], limit=100, checked=checked)
        except BadRequest:
            refusals.append(size)
            break
        checked = max(0, size - 3)
    assert refusals == [next(size for size in range(1, len(sent) + 1) if refused(sent[:size]))]


def test_what_was_checked_before_is_not_checked_again() -> None:
    check_partial_head(b"GET /\0 HTTP/1.1\r\n", limit=100, checked=6)


def test_a_head_without_an_end_is_bounded() -> None:
    with pytest.raises(HeadTooLarge, match="larger than 100 bytes"):
        check_partial_head(b"GET / HTTP/1.1\r\n" + b"x" * 100, limit=100)


def test_the_preface_of_http_2_is_known() -> None:
    assert is_http_2(b"PRI * HTTP/2.0\r\n\r\n")
    assert not is_http_2(b"PRINT / HTTP/1.1\r\n\r\n")
