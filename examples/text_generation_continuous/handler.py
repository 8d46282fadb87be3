"""SmolLM2, batched continuously: a call of `handle` is one step; requests join and leave between two steps.

Every text keeps its own key-value cache under its request's id, so nothing waits for the longest text of a batch.
"""

from __future__ import annotations

from typing import Any

import prompts
from decoding import Text, advance, read
from text_generation import TextGenerator

from ts.utils.util import PredictionException


class ContinuousTextGenerator(TextGenerator):
    """The entry point. A request is a row with its data in the first step, and an empty row in those after it."""

    def initialize(self, context: Any) -> None:
        super().initialize(context)
        self._prompt_tokens = (context.model_yaml_config or {}).get("handler", {}).get("prompt_tokens_per_step", 128)
        # Every chat begins with the same system message: it is read once.
        self._chat = read(self._model, prompts.to_tokens(prompts.Prompt("", 1), self._tokenizer))
        self._texts: dict[str, Text] = {}

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        ids: dict[int, str] = context.request_ids
        for gone in self._texts.keys() - set(ids.values()):  # finished, or its caller left
            del self._texts[gone]
        refused = {}
        for row, name in ids.items():
            if data[row] or name not in self._texts:
                asked = self._row_or_refusal(data[row])
                if isinstance(asked, PredictionException):
                    refused[row] = asked
                else:
                    self._texts[name] = Text(self._model, self._tokenizer, asked, end=self._end, known=self._chat)
        going = {row: self._texts[name] for row, name in ids.items() if row not in refused}
        pieces = advance(self._model, list(going.values()), prompt_tokens=self._prompt_tokens) if going else []
        context.stopping_criteria = {row: lambda _, text=text: text.done for row, text in going.items()}
        return [answer for _, answer in sorted({**refused, **dict(zip(going, pieces, strict=True))}.items())]
