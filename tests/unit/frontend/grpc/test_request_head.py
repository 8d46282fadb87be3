"""Headers of calls and of answers, without a connection."""

from __future__ import annotations

import pytest

from stoker.frontend.grpc.request_head import parse_head, seconds_of_timeout, status_trailers
from stoker.frontend.grpc.status import INTERNAL, OK, Status

USUAL = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"host"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"grpc-python"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
)


def test_the_usual_head_has_no_metadata_of_the_caller() -> None:
    head = parse_head(USUAL)
    assert (head.verb, head.path, head.content_type) == (b"POST", b"/a.B/C", b"application/grpc")
    assert (head.timeout_s, head.encoding, head.compresses_answers, list(head.metadata)) == (None, "", False, [])
    assert head.size == sum(len(name) + len(value) + 32 for name, value in USUAL)


def test_metadata_is_the_callers_own_and_binary_values_are_bytes() -> None:
    head = parse_head(
        (
            *USUAL,
            (b"x-user", b"me, too"),
            (b"x-bin", b"AAE"),
            (b"bad-bin", b"!"),
            (b"two-bin", b"AAE=,AAI"),
            (b"grpc-trace-bin", b"AA=="),
        )
    )
    assert list(head.metadata) == [
        ("x-user", "me, too"),
        ("x-bin", b"\x00\x01"),
        ("bad-bin", b""),
        ("two-bin", b"\x00\x01"),
        ("two-bin", b"\x00\x02"),
    ]


def test_answers_are_compressed_for_a_client_that_compresses_and_takes_compressed_ones() -> None:
    assert parse_head((*USUAL, (b"grpc-encoding", b"gzip"))).compresses_answers
    assert not parse_head((*USUAL[:-1], (b"grpc-encoding", b"gzip"))).compresses_answers
    assert not parse_head((*USUAL, (b"grpc-encoding", b"br"))).compresses_answers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1S", 1.0), ("250m", 0.25), ("3M", 180.0), ("2H", 7200.0), ("5u", 5e-6), ("7n", 7e-9), ("99999999S", 99999999.0)],
)
def test_timeouts_have_a_unit(text: str, seconds: float) -> None:
    assert seconds_of_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "-1S", "1.5S", "1x", "999999999S", "\u0661S", " 1S"])
def test_a_malformed_timeout_is_none(text: str) -> None:
    assert seconds_of_timeout(text) is None


def test_trailers_carry_the_status_its_details_escaped_and_what_the_handler_set() -> None:
    assert status_trailers(Status(OK, "")) == ((b"grpc-status", b"0"),)
    trailers = status_trailers(Status(INTERNAL, "50% \u00e9\n"), [("x", "y")])
    assert trailers == ((b"grpc-status", b"13"), (b"grpc-message", b"50%25 %C3%A9%0A"), (b"x", b"y"))


def test_a_compression_is_accepted_by_its_whole_name() -> None:
    asked = (*USUAL[:-1], (b"grpc-encoding", b"gzip"))
    assert not parse_head((*asked, (b"grpc-accept-encoding", b"x-gzip, identity"))).compresses_answers
    assert parse_head((*asked, (b"grpc-accept-encoding", b"identity, gzip"))).compresses_answers


def test_values_joined_by_commas_may_have_blanks_around_them() -> None:
    assert parse_head((*USUAL, (b"a-bin", b"AAE= , AQ"))).metadata == [("a-bin", b"\x00\x01"), ("a-bin", b"\x01")]
