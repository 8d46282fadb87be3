"""Reads the tokens of a server's key_file.json."""

from __future__ import annotations

import json
from typing import NamedTuple


class Tokens(NamedTuple):
    inference: str | None = None
    management: str | None = None


def parse(content: bytes) -> Tokens:
    """Parses the server's own format, or tokens by name.

    Raises: ValueError: it contains no tokens.
    """
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    tokens = Tokens(*(_word(found.get(kind)) for kind in Tokens._fields))
    if tokens == Tokens():
        raise ValueError("no tokens in it")
    return tokens


def _word(member: object) -> str | None:
    word = member.get("key") if isinstance(member, dict) else member
    return word if isinstance(word, str) else None
