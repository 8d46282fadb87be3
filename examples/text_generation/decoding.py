"""Writes texts greedily, several at a time: one piece of each per step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from llama import Cache, Llama
from tokenizers import Tokenizer


class Row(NamedTuple):
    """``stops``: texts that end the answer; they are not part of it."""

    tokens: list[int]
    max_new_tokens: int
    stops: tuple[str, ...] = ()


class Known(NamedTuple):
    """A prompt that was read before: others begin as it does."""

    tokens: list[int]
    cache: Cache

    def common(self, tokens: list[int]) -> int:
        """Returns how many of the first ``tokens`` are the same; the last one is always left to read."""
        pairs = zip(self.tokens, tokens[:-1], strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(self.tokens), len(tokens) - 1))


def read(model: Llama, tokens: list[int]) -> Known:
    cache = Cache(model.shape, len(tokens))
    model.step([tokens], [cache])
    return Known(tokens, cache)


class Text:
    """A text that is being written. ``unread``: tokens that the model has not read yet. ``reason``: of its end, stop or
    length. ``written``: how many tokens so far.

    Turns tokens into text: a character of several tokens is written with the last one.
    """

    def __init__(self, model: Llama, tokenizer: Tokenizer, row: Row, *, end: int, known: Known | None = None) -> None:
        self.cache = Cache(model.shape, len(row.tokens) + row.max_new_tokens)
        if known is not None:
            self.cache.begin_as(known.cache, known.common(row.tokens))
        self.unread = row.tokens[self.cache.used :]
        self.done = False
        self.written = 0
        self.reason = "length"
        self._tokenizer = tokenizer
        self._left = row.max_new_tokens
        self._end = end
        self._held: list[int] = []
        self._stops = row.stops
        self._kept = ""

    def write(self, token: int) -> str:
        self._left -= 1
        self.written += 1
        self.done = token == self._end or self._left == 0
        if token == self._end:
            self.reason = "stop"
        self.unread = [token]
        if token != self._end:
            self._held.append(token)
        text: str = self._tokenizer.decode(self._held)
        if text.endswith("\ufffd") and not self.done:
            return ""
        self._held.clear()
        return self._before_stop(text) if self._stops else text

    def _before_stop(self, piece: str) -> str:
        """Returns the text up to the first stop. Keeps the end that a stop may begin with for the next piece."""
        text = self._kept + piece
        found = [text.index(stop) for stop in self._stops if stop in text]
        if found:
            self.done, self.reason = True, "stop"
            return text[: min(found)]
        kept = 0 if self.done else max(_overlap(text, stop) for stop in self._stops)
        self._kept = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """Returns how many characters at the end of ``text`` begin ``stop``."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


def advance(model: Llama, texts: list[Text], *, prompt_tokens: int | None = None) -> list[str]:
    """Takes the most likely next token of each text; returns the piece that it adds, often "".

    ``prompt_tokens``: how many tokens of prompts are read in one step, so that a long prompt does not keep the others
    waiting; at least one of each text is. None: all.
    """
    news: list[list[int]] = []
    for text in texts:
        new = text.unread if prompt_tokens is None else text.unread[: max(1, prompt_tokens)]
        if prompt_tokens is not None and len(text.unread) > 1:
            prompt_tokens -= len(new)
        text.unread = text.unread[len(new) :]
        news.append(new)
    newest = model.step(news, [text.cache for text in texts]).argmax(dim=-1).tolist()
    return ["" if text.unread else text.write(token) for text, token in zip(texts, newest, strict=True)]


class Step(NamedTuple):
    """One piece of text per row, "" for rows without new text. ``last``: every row is finished."""

    pieces: list[str]
    last: bool
    texts: list[Text]


def generate(
    model: Llama, tokenizer: Tokenizer, rows: list[Row], *, end: int, cancelled: Callable[[int], bool]
) -> Iterator[Step]:
    """Writes each row until the likeliest token is ``end``, the maximum is reached, or ``cancelled(row)``."""
    texts = [Text(model, tokenizer, row, end=end) for row in rows]
    while True:
        going = [index for index, text in enumerate(texts) if not text.done]
        pieces = [""] * len(texts)
        for index, piece in zip(going, advance(model, [texts[index] for index in going]), strict=True):
            pieces[index] = piece
        for index, text in enumerate(texts):
            text.done = text.done or cancelled(index)
        last = all(text.done for text in texts)
        yield Step(pieces, last, texts)
        if last:
            return
