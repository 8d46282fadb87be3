"""Tokens from the file that the server writes."""

from __future__ import annotations

import json

import pytest

from stoker.client.token_file import Tokens, parse


def test_tokens_are_read_from_the_servers_format_and_from_plain_words() -> None:
    file = {"management": {"key": "m", "expiration time": "t"}, "inference": {"key": "i"}, "API": {"key": "a"}}
    assert parse(json.dumps(file).encode()) == Tokens("i", "m")
    assert parse(b'{"inference": "i"}') == Tokens("i", None)


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b"{}", b'{"inference": 3}', b"\xff"])
def test_a_file_without_tokens_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse(content)
