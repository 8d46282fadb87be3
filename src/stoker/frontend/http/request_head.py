"""Parses the head of an HTTP/1.1 request, and refuses ambiguous ones. PURE.

httptools checks the syntax.  What it accepts but a proxy in front could read differently is refused here: two Host
headers or none, two Authorization headers, a header continued on the next line, a bare CR or LF, a NUL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httptools

from stoker.errors import BadRequest, HeadTooLarge

END = b"\r\n\r\n"
NOT_HTTP = "The request is not valid HTTP/1.1."
_FACTS = frozenset(
    {b"describe", b"explain", b"url_path"}
    | {b"accept", b"authorization", b"connection", b"content-length", b"content-type", b"expect", b"host"}
    | {b"content-encoding", b"inference-header-content-length", b"transfer-encoding"}
)
_ONCE = frozenset(
    {b"authorization", b"content-length", b"host", b"inference-header-content-length", b"transfer-encoding"}
)
_AMBIGUOUS = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n|\n[ \t]")
_HTTP_2 = re.compile(rb"PRI \* HTTP/2")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}( |\Z)")
_VERSIONS = {"1.0", "1.1"}


class RequestHead:
    """``url`` and its ``path`` and ``query`` as in the request line; ``headers`` with names in the client's case,
    ``facts`` some of them by lower-case name.  ``route``: the result of `Predictor.wants`, kept here because
    clients repeat their heads.
    """

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "facts",
        "headers",
        "http_1_0",
        "is_head",
        "keep_alive",
        "line",
        "method",
        "path",
        "query",
        "route",
        "url",
    )

    def __init__(self, method: bytes, url: bytes, version: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.method = method
        self.url = url
        self.http_1_0 = version == "1.0"
        self.is_head = method == b"HEAD"
        self.line = f"{method.decode('latin-1')} {url.decode('latin-1')} HTTP/{version}"
        self.headers = headers
        self.facts = _facts(headers)
        self.path, _, self.query = url.partition(b"?")
        self.route: Any = None
        connection = self.facts.get(b"connection", b"").lower()
        self.keep_alive = b"keep-alive" in connection if self.http_1_0 else b"close" not in connection
        self.chunked = b"transfer-encoding" in self.facts
        self.content_length = int(self.facts.get(b"content-length", b"0"))
        self.expects_continue = not self.http_1_0 and self.facts.get(b"expect", b"").lower() == b"100-continue"


def _facts(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Collects the headers that the server uses. Raises BadRequest: a header that must be unique is repeated."""
    facts: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower not in _FACTS:
            continue
        if lower not in facts:
            facts[lower] = value
        elif lower in _ONCE:
            raise BadRequest(f"The request has more than one {lower.decode().title()} header.")
        elif lower == b"connection":
            facts[lower] += b"," + value
    return facts


class _Collector:
    """Callbacks for httptools while it reads a head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


def parse(raw: bytes) -> RequestHead:
    """Parses a head. ``raw`` ends with the empty line. Raises BadRequest."""
    refuse_ambiguous(raw)
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # only HTTP/1.1 is served; curl offers HTTP/2 like this and accepts HTTP/1.1
    except httptools.HttpParserError:
        raise BadRequest(NOT_HTTP) from None
    method, version = parser.get_method(), parser.get_http_version()
    if method == b"CONNECT" or version not in _VERSIONS:
        raise BadRequest(NOT_HTTP)
    head = RequestHead(method, collector.url, version, collector.headers)
    if not head.path.startswith(b"/"):
        head.path = _path_of_absolute(head.url)
    _check(head)
    return head


def _path_of_absolute(url: bytes) -> bytes:
    try:
        return httptools.parse_url(url).path or b"/"
    except httptools.HttpParserError:
        raise BadRequest(NOT_HTTP) from None


def _check(head: RequestHead) -> None:
    if head.http_1_0:
        if head.chunked:
            raise BadRequest("HTTP/1.0 does not support Transfer-Encoding.")
    elif b"host" not in head.facts:
        raise BadRequest("The request has no Host header.")
    if head.chunked:
        if b"content-length" in head.facts:
            raise BadRequest("The request has a Content-Length and a Transfer-Encoding.")
        if head.facts[b"transfer-encoding"].strip().lower() != b"chunked":
            raise BadRequest("The only Transfer-Encoding of requests is chunked.")


def refuse_ambiguous(raw: bytes | bytearray, start: int = 0, stop: int | None = None) -> None:
    if _AMBIGUOUS.search(raw, start, len(raw) if stop is None else stop):
        raise BadRequest(NOT_HTTP)


def check_partial_head(raw: bytes | bytearray, *, limit: int, checked: int = 0) -> None:
    """Checks that an incomplete head starts like one and is not too long. Raises BadRequest, HeadTooLarge.

    ``checked``: bytes whose checks are not repeated, at most all that an earlier call saw but its last three. A head
    may come byte by byte.
    """
    if len(raw) > limit:
        raise HeadTooLarge(limit=limit)
    if _METHOD.match(raw) is None:
        raise BadRequest(NOT_HTTP)
    refuse_ambiguous(raw, checked, len(raw) - raw.endswith(b"\r"))  # the LF of a CR at the end may follow


def is_http_2(raw: bytes | bytearray) -> bool:
    """Recognizes the preface of a client that speaks HTTP/2 without negotiating it."""
    return _HTTP_2.match(raw) is not None
