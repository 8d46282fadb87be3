"""One-time tokens."""

from __future__ import annotations

import itertools

from stoker.ipc.opening import TOKEN_BYTES, Kind
from stoker.pool.remote.tokens import Tokens


def test_a_token_is_good_once() -> None:
    tokens: Tokens[str] = Tokens()
    token = tokens.make(Kind.AGENT, "w")
    assert (tokens.use(Kind.AGENT, token), tokens.use(Kind.AGENT, token), len(tokens)) == ("w", None, 0)


def test_a_wrong_secret_or_kind_does_not_use_it_up() -> None:
    tokens: Tokens[str] = Tokens()
    token = tokens.make(Kind.WORKER, "w")
    for wrong in (token[:-1] + bytes([token[-1] ^ 1]), token[:8] + bytes(32), bytes(TOKEN_BYTES), token[:8], b""):
        assert tokens.use(Kind.WORKER, wrong) is None
    assert tokens.use(Kind.AGENT, token) is None
    assert tokens.use(Kind.WORKER, token) == "w"


def test_a_discarded_token_is_none() -> None:
    tokens: Tokens[str] = Tokens()
    token = tokens.make(Kind.FETCH, "w")
    tokens.discard(token)
    tokens.discard(token)
    assert tokens.use(Kind.FETCH, token) is None


def test_tokens_are_as_long_as_they_say_and_their_owners_are_told_apart() -> None:
    counter = itertools.count()
    tokens: Tokens[int] = Tokens(lambda nbytes: next(counter).to_bytes(8, "big") * (nbytes // 8))
    made = {tokens.make(Kind.AGENT, number): number for number in range(5)}
    assert all(len(token) == TOKEN_BYTES for token in made)
    assert [tokens.use(Kind.AGENT, token) for token in made] == list(range(5))


def test_two_tokens_share_nothing() -> None:
    tokens: Tokens[str] = Tokens()
    first, second = tokens.make(Kind.AGENT, "a"), tokens.make(Kind.AGENT, "b")
    assert first[:8] != second[:8]
    assert first[8:] != second[8:]
