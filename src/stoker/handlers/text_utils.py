"""Tokenisers and n-grams for text handlers. Users import it from `ts.handler_utils.text_utils`."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Tokenizer = Callable[[str], list[str]]

_DROPPED = re.compile(r'"')
_BLANKED = re.compile(r"<br\s*/?>|[;:]")
_SEPARATED = re.compile(r"(['.,()!?])")


def ngrams_iterator(token_list: Sequence[str], ngrams: int) -> Iterator[str]:
    """Yields the tokens, then all pairs, all triples, ... up to ``ngrams`` words joined by spaces."""
    yield from token_list
    for size in range(2, ngrams + 1):
        for start in range(len(token_list) - size + 1):
            yield " ".join(token_list[start : start + size])


def get_tokenizer(tokenizer: str | Tokenizer | None, language: str = "en") -> Tokenizer:
    """Returns a tokeniser: ``basic_english``, ``spacy``, or None for splitting at spaces. Raises ValueError."""
    if tokenizer is None:
        return str.split
    if callable(tokenizer):
        return tokenizer
    if tokenizer == "spacy":
        return functools.partial(_spacy_words, importlib.import_module("spacy").load(language))
    if tokenizer != "basic_english":
        raise ValueError(f"Unknown tokenizer {tokenizer!r}: basic_english, spacy or a callable")
    if language != "en":
        raise ValueError(f"basic_english is for language 'en', not {language!r}")
    return _basic_english


def _basic_english(line: str) -> list[str]:
    """Splits lower-case text: drops quotes, turns semicolons and colons into spaces, makes other punctuation words."""
    line = _BLANKED.sub(" ", _DROPPED.sub("", line.lower()))
    return _SEPARATED.sub(r" \1 ", line).split()


def _spacy_words(pipeline: Any, line: str) -> list[str]:
    return [token.text for token in pipeline.tokenizer(line)]
