"""Frames, header blocks and messages: what is read, what is refused, and that nothing is kept beyond its limit."""

from __future__ import annotations

import gzip
import zlib

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import MessageTooLarge
from stoker.frontend.grpc.http2 import wire


@given(
    frames=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=200))
    ),
    cuts=st.integers(1, 40),
)
def test_frames_survive_any_cutting_of_the_stream(frames: list[tuple[int, int, int, bytes]], cuts: int) -> None:
    data = b"".join(wire.frame(*one) for one in frames)
    reader = wire.FrameReader()
    read = [one for start in range(0, len(data), cuts) for one in reader.feed(data[start : start + cuts])]
    assert [tuple(one) for one in read] == frames


def test_a_frame_over_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(wire.ConnectionFault):
        list(wire.FrameReader().feed((wire.MAX_FRAME_BYTES + 1).to_bytes(3, "big") + b"\0" * 6))


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z][a-z0-9-]{0,300}", fullmatch=True), st.from_regex(r"[ -~]{0,300}", fullmatch=True)
        )
    )
)
def test_any_decoder_reads_our_header_blocks(headers: list[tuple[str, str]]) -> None:
    assert [tuple(pair) for pair in hpack.Decoder(1 << 20).decode(wire.header_block(headers))] == headers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1S", 1.0), ("250m", 0.25), ("2M", 120.0), ("1H", 3600.0), ("5u", 5e-6), ("7n", 7e-9)]
    + [(bad, None) for bad in ("", "S", "1", "-1S", "1.5S", "1s", "123456789S", "1 S", None)],
)
def test_timeouts_are_seconds_and_nonsense_is_none(text: str | None, seconds: float | None) -> None:
    assert wire.seconds_of_timeout(text) == (None if seconds is None else pytest.approx(seconds))


def test_metadata_is_the_callers_own_with_binary_values_as_bytes() -> None:
    headers = [(b":path", b"/a"), (b"te", b"trailers"), (b"grpc-timeout", b"1S"), (b"k", b"v"), (b"b-bin", b"AQI")]
    assert wire.metadata_of(headers) == [("k", "v"), ("b-bin", b"\1\2")]
    assert wire.metadata_of([(b"b-bin", b"not base64!")]) == [("b-bin", b"")]


@given(messages=st.lists(st.binary(max_size=100)), cut=st.integers(1, 30))
def test_messages_survive_any_cutting_of_the_body(messages: list[bytes], cut: int) -> None:
    body = b"".join(map(wire.message, messages))
    reader = wire.MessageReader(100, "")
    assert [one for at in range(0, len(body), cut) for one in reader.feed(body[at : at + cut])] == messages
    assert not reader.incomplete


def test_a_message_over_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(MessageTooLarge):
        list(wire.MessageReader(10, "").feed(b"\0" + (11).to_bytes(4, "big")))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_messages_are_unpacked_and_bombs_are_not(encoding: str, pack: object) -> None:
    def body(data: bytes) -> bytes:
        packed = pack(data)  # type: ignore[operator]
        return b"\1" + len(packed).to_bytes(4, "big") + packed

    reader = wire.MessageReader(10_000, encoding)
    assert list(reader.feed(body(b"x" * 10_000))) == [b"x" * 10_000]
    with pytest.raises(MessageTooLarge):
        list(reader.feed(body(b"\0" * 5_000_000)))


@pytest.mark.parametrize(("encoding", "fault"), [("snappy", wire.UnknownEncoding), ("gzip", zlib.error)])
def test_what_cannot_be_unpacked_is_a_fault_of_the_message(encoding: str, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        list(wire.MessageReader(100, encoding).feed(b"\1\0\0\0\4abcd"))


def test_details_travel_in_percent_encoding_as_grpc_asks() -> None:
    assert wire.status_headers(5, "no 100 %\nä") == [("grpc-status", "5"), ("grpc-message", "no 100 %25%0A%C3%A4")]
    assert wire.status_headers(0, "") == [("grpc-status", "0")]
