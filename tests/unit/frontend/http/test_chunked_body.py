"""Bodies in chunks, in whatever pieces they arrive: the data, its end, and nothing of what follows."""

from __future__ import annotations

import pytest

from stoker.errors import BadRequest
from stoker.frontend.http import request_body
from stoker.frontend.http.request_body import ChunkedBody

BODIES = {
    b"0\r\n\r\n": b"",
    b"5\r\nhello\r\n0\r\n\r\n": b"hello",
    b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n": b"hello",
    b"4\r\n\r\n\r\n\r\n0\r\n\r\n": b"\r\n\r\n",
    b"5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n": b"hello",
    b"A ; ext\r\n\n0\r\n\r\n\r\n\r\n\r\n00;x\r\nA: 1\r\nB:\r\n\r\n": b"\n0\r\n\r\n\r\n\r\n",
}
NEXT = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


def read(*pieces: bytes) -> tuple[bytes, bytes, bool]:
    data = bytearray()
    body = ChunkedBody(data.extend)
    rest = b""
    for piece in pieces:
        rest += piece if body.whole else body.feed(piece)
    return bytes(data), rest, body.whole


@pytest.mark.parametrize("wire", BODIES)
def test_what_follows_a_body_is_left_wherever_the_pieces_are_cut(wire: bytes) -> None:
    sent = wire + NEXT
    for cut in range(1, len(sent)):
        assert read(sent[:cut], sent[cut:]) == (BODIES[wire], NEXT, True), cut


@pytest.mark.parametrize("wire", BODIES)
def test_a_body_that_comes_byte_by_byte_is_the_same(wire: bytes) -> None:
    assert read(*(bytes([byte]) for byte in wire)) == (BODIES[wire], b"", True)


def test_a_body_without_its_end_is_not_whole() -> None:
    assert read(b"5\r\nhello\r\n0\r\n") == (b"hello", b"", False)


@pytest.mark.parametrize(
    "wire",
    [
        b"xyz\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello5\r\n",
        b"5\nhello\n0\n\n",
        b"1;a\x00\r\n",
        b"1;a\nb\r\n",
        b"ffffffffffffffffff\r\n",
        b"0\r\na\r\n\r\n",
        b"0\r\na: b\r\n c\r\n\r\n",
        b"0\r\na : b\r\n\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
    ],
)
def test_what_is_no_chunk_is_refused(wire: bytes) -> None:
    with pytest.raises(BadRequest):
        read(wire)


@pytest.mark.parametrize("piece", [b"a" * 1000, b"Trailer: x\r\n" * 100])
def test_extensions_and_trailers_are_bounded(piece: bytes) -> None:
    body = ChunkedBody(lambda data: None)
    body.feed(b"0;" if piece.startswith(b"a") else b"0\r\n")
    with pytest.raises(BadRequest):
        for _ in range(1000):
            body.feed(piece)


def test_a_body_costs_no_step_for_each_line_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Sizes:
        def match(self, window: bytes, at: int) -> object:
            sizes.append(at)
            return pattern.match(window, at)

    pattern = request_body._SIZE_LINE
    monkeypatch.setattr(request_body, "_SIZE_LINE", Sizes())
    data = b"\r\n0\r\n\r\n" * 1000
    assert read(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)) == (data, b"", True)
    assert len(sizes) == 2


def test_what_a_chunk_declares_is_known_before_its_data_has_come() -> None:
    body = ChunkedBody(lambda data: None)
    body.feed(b"5\r\nhello\r\nfffffff\r\n")
    assert body.declared == 5 + 0xFFFFFFF
