"""What passes between call metadata and handlers, both ways."""

from __future__ import annotations

import logging

import pytest

from stoker.core.reply import ResponseMeta
from stoker.frontend.grpc import metadata
from stoker.frontend.grpc.metadata import MAX_TRAILING_BYTES, request_headers, trailing_metadata


@pytest.fixture(autouse=True)
def _fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_logged", set())


def test_a_call_with_only_the_librarys_own_metadata_has_no_headers() -> None:
    assert request_headers(()) is None
    assert request_headers((("user-agent", "grpc"), ("grpc-timeout", "1S"), ("te", "trailers"), (":path", "/"))) is None


def test_values_of_one_name_are_joined_and_binary_ones_are_base64() -> None:
    given = (("a", "1"), ("b-bin", b"\x00\xff"), ("a", "2"))
    assert request_headers(given) == {"a": "1,2", "b-bin": "AP8="}


@pytest.mark.parametrize("name", ["authorization", "explain", "describe", "url_path"])
def test_names_that_command_a_handler_or_carry_a_token_are_removed(name: str) -> None:
    assert request_headers(((name, "x"), ("y", "z"))) == {"y": "z"}


def test_nothing_set_is_nothing_sent() -> None:
    assert not trailing_metadata(None)
    assert trailing_metadata(ResponseMeta()) == []


def test_the_status_is_sent_only_if_it_says_something() -> None:
    assert trailing_metadata(ResponseMeta(507)) == [("ts-status", "507")]
    assert trailing_metadata(ResponseMeta(200, "Fine")) == [("ts-status", "200"), ("ts-reason", "Fine")]


def test_names_are_lower_cased_and_values_stripped() -> None:
    assert trailing_metadata(ResponseMeta(headers={"X-Name": "  v  "})) == [("x-name", "v")]


def test_numbers_as_values_become_text() -> None:
    assert trailing_metadata(ResponseMeta(headers={"x": 5})) == [("x", "5")]  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "name", ["grpc-x", ":x", "", "x y", "x\n", "x\u00e9", "te", "Connection", "x-bin", "ts-status"]
)
def test_names_that_cannot_be_sent_are_dropped_with_one_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert trailing_metadata(ResponseMeta(headers={name: "v", "good": "g"})) == [("good", "g")]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "\u00e9", "\x7f", "a\tb"])
def test_values_that_cannot_be_sent_are_dropped(value: str) -> None:
    assert trailing_metadata(ResponseMeta(headers={"x": value})) == []


def test_the_same_name_is_a_warning_only_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        trailing_metadata(ResponseMeta(headers={"te": "x"}))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_content_type_is_left_out_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert trailing_metadata(ResponseMeta(headers={"Content-Type": "application/json", "ts_stream_next": "true"})) == []
    assert not caplog.records


def test_all_of_it_together_stays_under_the_limit() -> None:
    kept = trailing_metadata(ResponseMeta(headers={f"x{n}": "v" * n for n in range(500)}))
    assert sum(len(name) + len(value) + 32 for name, value in kept) <= MAX_TRAILING_BYTES
    assert len(kept) > 50
