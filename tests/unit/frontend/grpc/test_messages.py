"""gRPC's framing, cut at every place."""

from __future__ import annotations

import pytest

from stoker.errors import MessageTooLarge
from stoker.frontend.grpc import messages
from stoker.frontend.grpc.messages import (
    BadFraming,
    LargeMessage,
    MessageReader,
    prefix,
)

LIMIT = 1000


def framed(*payloads: bytes) -> bytes:
    return b"".join(prefix(payload) + payload for payload in payloads)


def test_messages_that_leave_together_are_framed_as_they_are_one_by_one() -> None:
    assert messages.framed([b"one", b"", LargeMessage([b"x", b"y" * 299])]) == framed(b"one", b"", b"x" + b"y" * 299)
    assert framed(b"one", b"") == b"\0\0\0\0\3one\0\0\0\0\0"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_messages_are_the_same_however_the_body_is_cut(size: int) -> None:
    body = framed(b"one", b"", b"x" * 300, b"last")
    reader, got = MessageReader(LIMIT), []
    for at in range(0, len(body), size):
        got += reader.feed(body[at : at + size])
    assert got == [(False, b"one"), (False, b""), (False, b"x" * 300), (False, b"last")]
    assert not reader.incomplete


def test_a_body_may_not_end_within_a_prefix_or_a_message() -> None:
    body = framed(b"message")
    for cut in range(1, len(body)):
        reader = MessageReader(LIMIT)
        reader.feed(body[:cut])
        assert reader.incomplete, cut


def test_a_length_over_the_limit_is_refused_before_the_message_comes() -> None:
    reader = MessageReader(LIMIT)
    with pytest.raises(MessageTooLarge):
        reader.feed(b"\x00" + (LIMIT + 1).to_bytes(4, "big"))


def test_a_message_of_the_limit_passes() -> None:
    assert MessageReader(LIMIT).feed(framed(bytes(LIMIT))) == [(False, bytes(LIMIT))]


def test_an_announced_message_is_known_by_its_size_and_kept_as_it_comes() -> None:
    reader = MessageReader(LIMIT)
    assert reader.feed(framed(b"x" * 900)[:50]) == []
    assert reader.awaited_bytes == 900
    assert reader.feed(framed(b"x" * 900)[50:]) == [(False, b"x" * 900)]
    assert reader.awaited_bytes == 0


def test_a_flag_that_gives_no_sense_is_refused() -> None:
    with pytest.raises(BadFraming):
        MessageReader(LIMIT).feed(b"\x02\x00\x00\x00\x00")


def test_a_large_message_is_not_copied_once_more_when_it_is_whole() -> None:
    reader = MessageReader(1 << 20)
    body = framed(bytes(100_000))
    reader.feed(body[:50_000])
    [(_, message)] = reader.feed(body[50_000:])
    assert isinstance(message, bytearray)
    assert message == bytes(100_000)


def test_a_message_in_several_buffers_counts_and_reads_as_one() -> None:
    message = LargeMessage((b"ab", memoryview(b"cde")))
    assert len(message) == 5
    assert bytes(message) == b"abcde"
    assert prefix(message) == prefix(b"abcde")
