"""Decodes a batch greedily: one piece of text per row and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from llama import Llama
from tokenizers import Tokenizer


class Row(NamedTuple):
    tokens: list[int]
    max_new_tokens: int


class Step(NamedTuple):
    """One piece of text per row, "" for rows without new text. ``last``: every row is finished."""

    pieces: list[str]
    last: bool


def generate(
    model: Llama, tokenizer: Tokenizer, rows: list[Row], *, end: int, cancelled: Callable[[int], bool]
) -> Iterator[Step]:
    """Takes the most likely next token of each row until it is ``end``, the maximum is reached, or
    ``cancelled(row)``.
    """
    cache = model.new_cache([len(row.tokens) for row in rows], new_tokens=max(row.max_new_tokens for row in rows))
    writers = [_Writer(tokenizer, row.max_new_tokens, end) for row in rows]
    columns = _padded(rows, end)
    while True:
        newest = model.step(columns, cache).argmax(dim=-1)
        pieces = [writer.write(token) for writer, token in zip(writers, newest.tolist(), strict=True)]
        for index, writer in enumerate(writers):
            writer.done = writer.done or cancelled(index)
        last = all(writer.done for writer in writers)
        yield Step(pieces, last)
        if last:
            return
        columns = newest[:, None]


def _padded(rows: list[Row], filler: int) -> torch.Tensor:
    longest = max(len(row.tokens) for row in rows)
    return torch.tensor([[filler] * (longest - len(row.tokens)) + row.tokens for row in rows])


class _Writer:
    """Turns the tokens of one row into text. A character of several tokens is written with the last one."""

    def __init__(self, tokenizer: Tokenizer, limit: int, end: int) -> None:
        self._tokenizer = tokenizer
        self._left = limit
        self._end = end
        self._held: list[int] = []
        self.done = False

    def write(self, token: int) -> str:
        if self.done:
            return ""
        self._left -= 1
        self.done = token == self._end or self._left == 0
        if token != self._end:
            self._held.append(token)
        text: str = self._tokenizer.decode(self._held)
        if text.endswith("\ufffd") and not self.done:
            return ""
        self._held.clear()
        return text
