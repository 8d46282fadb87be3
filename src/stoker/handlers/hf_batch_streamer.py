"""`TextIteratorStreamerBatch`: yields the text of a batch while a Hugging Face model generates it.

Give it as ``streamer=`` to ``generate`` in one thread and iterate over it in another.  It is called as transformers
calls its own streamers (`put`, `end`) and needs nothing of that package.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class TextIteratorStreamerBatch:
    """Each item is a step: a list with one ``{"text": new text}`` per sequence of the batch, often "".

    Text is given out up to the last space: tokens after it may still change how the last word is written. ``timeout``:
    seconds to wait for the next item, then `queue.Empty` is raised.
    """

    def __init__(
        self,
        tokenizer: Any,
        batch_size: int,
        skip_prompt: bool = False,
        timeout: float | None = None,
        **decode_kwargs: Any,
    ) -> None:
        self.tokenizer = tokenizer
        self.batch_size = batch_size
        self.skip_prompt = skip_prompt
        self.timeout = timeout
        self.decode_kwargs = decode_kwargs
        self._tokens: list[list[int]] = [[] for _ in range(batch_size)]
        self._given: list[int] = [0] * batch_size
        self._prompt_is_next = True
        self._texts: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()

    def put(self, value: Any) -> None:
        """Takes new token ids, (batch,) or (batch, length) for the prompt. Raises ValueError: another batch size."""
        if value.shape[0] != self.batch_size:
            raise ValueError(
                f"TextIteratorStreamerBatch batch size is set to {self.batch_size} "
                f"but got input tensor of shape {value.shape}"
            )
        prompt, self._prompt_is_next = self._prompt_is_next, False
        if prompt and self.skip_prompt:
            return
        rows = value.reshape(self.batch_size, -1).tolist()
        self._texts.put([self._next_text(index, tokens) for index, tokens in enumerate(rows)])

    def end(self) -> None:
        """Yields the text held back, and ends the iteration."""
        self._texts.put([self._rest(index) for index in range(self.batch_size)])
        self._prompt_is_next = True
        self._texts.put(None)

    def __iter__(self) -> Iterator[list[dict[str, str]]]:
        return self

    def __next__(self) -> list[dict[str, str]]:
        texts = self._texts.get(timeout=self.timeout)
        if texts is None:
            raise StopIteration
        return [{"text": text} for text in texts]

    def _next_text(self, index: int, tokens: list[int]) -> str:
        self._tokens[index] += tokens
        text = self._decoded(index)
        if text.endswith("\n"):
            return self._rest(index)
        end = len(text) if text and _is_cjk(text[-1]) else text.rfind(" ") + 1
        start = self._given[index]
        self._given[index] = max(start, end)
        return text[start:end]

    def _rest(self, index: int) -> str:
        text = self._decoded(index)[self._given[index] :]
        self._tokens[index], self._given[index] = [], 0
        return text

    def _decoded(self, index: int) -> str:
        return str(self.tokenizer.decode(self._tokens[index], **self.decode_kwargs)) if self._tokens[index] else ""


def _is_cjk(character: str) -> bool:
    """Tells whether a character belongs to a script without spaces between words."""
    return any(first <= ord(character) <= last for first, last in _CJK)
