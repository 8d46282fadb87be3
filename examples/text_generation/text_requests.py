"""What the handler makes of a row: the prompt's tokens, and how pieces of text become parts of the answer."""

from __future__ import annotations

from typing import NamedTuple

from decoding import Row
from openai_api import Answer


class Plain:
    """Parts are the pieces as they are."""

    def part(self, piece: str) -> str:
        return piece

    def last(self, piece: str, reason: str, tokens: int) -> str:
        return piece


class Request(NamedTuple):
    row: Row
    answer: Plain | Answer
