"""Server-Sent Events as bytes."""

from __future__ import annotations

import pytest

from stoker.frontend.http import sse
from stoker.frontend.http.status import Answer


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (b"hello", b"data: hello\n\n"),
        (b"two\nlines", b"data: two\ndata: lines\n\n"),
        (b"all\r\nkinds\rof\nends", b"data: all\ndata: kinds\ndata: of\ndata: ends\n\n"),
        (b"event: fake\n\ndata: x", b"data: event: fake\ndata: \ndata: data: x\n\n"),
        (b"", b"data: \n\n"),
    ],
)
def test_each_line_of_a_part_is_data_of_one_event(part: bytes, sent: bytes) -> None:
    """A part must never be able to end its event or begin another."""
    assert sse.event(part) == sent
    assert sse.event(bytearray(part)) == sent


def test_an_error_is_an_event_of_its_own_kind_on_one_line() -> None:
    event = sse.error_event(Answer(503, "InternalServerException", "Prediction\nfailed"))
    assert event.startswith(b"event: error\ndata: {")
    assert event.count(b"\n") == 3


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [(b"text/event-stream", True), (b"application/json, Text/Event-Stream;q=0.9", True), (b"*/*", False), (b"", False)],
)
def test_events_are_sent_to_who_names_them(accept: bytes, wanted: bool) -> None:
    assert sse.wanted(accept) is wanted
