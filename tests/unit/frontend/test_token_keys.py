"""Keys, the bearer header, the key file's text, and what an operator's token file may say."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone

import pytest

from stoker.core.ports import TokenScope
from stoker.frontend.keys import NO_KEY, Key, Keyring, file_text, new_key, presented_key, read_tokens

INFERENCE, MANAGEMENT = TokenScope.INFERENCE, TokenScope.MANAGEMENT


def test_a_key_has_far_more_than_128_bits_and_no_two_are_alike() -> None:
    keys = {new_key().secret for _ in range(200)}
    assert len(keys) == 200
    assert all(re.fullmatch(rb"[A-Za-z0-9_-]{43}", key) for key in keys)


@pytest.mark.parametrize(
    ("authorization", "shown"),
    [
        ("Bearer abc", b"abc"),
        ("Bearer   abc", b"abc"),
        ("Bearer\tabc", b"abc"),
        ("bearer abc", b""),
        ("BEARER abc", b""),
        ("Bearer", b""),
        ("Bearer ", b""),
        ("Bearerabc", b""),
        (" Bearer abc", b""),
        ("Bearer abc def", b""),
        ("Bearer abc\n", b""),
        ("Basic abc", b""),
        ("abc", b""),
        ("", b""),
        (None, b""),
        ("Bearer ключ", "ключ".encode()),
        ("Bearer \udc80", b"?"),
    ],
)
def test_only_the_word_bearer_and_one_token_is_a_key(authorization: str | None, shown: bytes) -> None:
    assert presented_key(authorization) == shown


def test_a_key_opens_until_it_expires() -> None:
    key = Key(b"secret", expires_at=10.0)
    assert key.admits(b"secret", 9.999)
    assert not key.admits(b"secret", 10.0)
    assert Key(b"secret").admits(b"secret", 1e12)


@pytest.mark.parametrize("shown", [b"", b"s", b"secre", b"secret1", b"Secret", b"terces"])
def test_nothing_but_the_key_opens(shown: bytes) -> None:
    assert not Key(b"secret").admits(shown, 0.0)


def test_no_key_is_opened_by_no_key() -> None:
    assert not NO_KEY.admits(presented_key(None), -1e300)


def test_a_key_is_not_shown_by_accident() -> None:
    assert "topsecret" not in repr(Key(b"topsecret"))


def test_a_new_key_leaves_the_others_as_they_are() -> None:
    keys = Keyring.new(100.0)
    renewed = keys.with_new(MANAGEMENT, 200.0)
    assert renewed.management.secret != keys.management.secret
    assert renewed.management.expires_at == 200.0
    assert (renewed.inference, renewed.api) == (keys.inference, keys.api)


def test_the_file_has_torchserves_members_and_wall_clock_expiries() -> None:
    """Monotonic 100 s, where the wall clock is 1000 s ahead."""
    keys = Keyring(management=Key(b"m", 100.0), inference=Key(b"i", 100.5), api=Key(b"a"))
    assert json.loads(file_text(keys, 1000.0)) == {
        "management": {"key": "m", "expiration time": "1970-01-01T00:18:20.000000Z"},
        "inference": {"key": "i", "expiration time": "1970-01-01T00:18:20.500000Z"},
        "API": {"key": "a"},
    }


def test_an_expiry_beyond_the_calendar_is_its_end() -> None:
    text = file_text(Keyring.new(1e15), 0.0)
    assert json.loads(text)["inference"]["expiration time"].startswith("9999-12-31")


def test_what_a_server_writes_an_operator_can_give() -> None:
    keys = Keyring.new(5000.0)
    assert read_tokens(file_text(keys, 1e9), 1e9) == {INFERENCE: keys.inference, MANAGEMENT: keys.management}


def test_tokens_may_be_plain_words_and_one_may_be_missing() -> None:
    assert read_tokens('{"inference": " abc\\n"}', 0.0) == {INFERENCE: Key(b"abc")}


def test_an_expiry_without_a_zone_is_utc() -> None:
    moment = datetime(2030, 1, 1, tzinfo=timezone.utc).timestamp()
    tokens = read_tokens('{"inference": {"key": "k", "expiration time": "2030-01-01T00:00:00"}}', 50.0)
    assert tokens[INFERENCE].expires_at == pytest.approx(moment - 50.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "topsecret",
        "[]",
        "null",
        '"topsecret"',
        '{"inference": ""}',
        '{"inference": null}',
        '{"inference": 17}',
        '{"inference": {}}',
        '{"inference": ["topsecret"]}',
        '{"inference": {"key": "top secret"}}',
        '{"inference": {"key": "topsecret\\u0007"}}',
        '{"inference": {"key": "topsecrét"}}',
        '{"inference": {"key": "topsecret", "expiration time": "tomorrow"}}',
        '{"inference": {"key": "topsecret", "expiration time": 5}}',
    ],
)
def test_a_bad_token_file_is_an_error_that_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is not|inference") as caught:
        read_tokens(text, 0.0)
    assert "secr" not in str(caught.value)
