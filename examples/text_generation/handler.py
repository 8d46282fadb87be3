"""Streams SmolLM2's text: a part per token; the returned value is the last part.

An invalid request fails alone; the others of its batch are answered.  `prompts` defines a request.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import prompts
import torch
from decoding import Row, generate
from llama import Llama, Shape
from safetensors.torch import load_file
from tokenizers import Tokenizer

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.utils.util import PredictionException


class TextGenerator:
    """The entry point: the server makes one instance, calls `initialize` once and `handle` for each batch."""

    def initialize(self, context: Any) -> None:
        folder = Path(context.system_properties["model_dir"])
        limits = (context.model_yaml_config or {}).get("handler", {})
        self._default_new_tokens = limits.get("default_new_tokens", 64)
        self._most_new_tokens = limits.get("most_new_tokens", 512)
        self._most_prompt_tokens = limits.get("most_prompt_tokens", 1024)
        torch.set_num_threads(limits.get("threads", 1))
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._end = prompts.token_id(self._tokenizer, "<|im_end|>")
        shape = Shape(**json.loads((folder / "shape.json").read_text(encoding="utf-8")))
        weights = load_file(folder / context.manifest["model"]["serializedFile"])
        self._model = Llama(shape, {name: weight.to(torch.float32) for name, weight in weights.items()})

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        asked = [self._row_or_refusal(row) for row in data]
        good = [index for index, row in enumerate(asked) if isinstance(row, Row)]
        answer = [row if isinstance(row, PredictionException) else "" for row in asked]
        if good:
            pieces = self._stream([asked[index] for index in good], good, len(data), context)
            for index, piece in zip(good, pieces, strict=True):
                answer[index] = piece
        return answer

    def _stream(self, rows: list[Any], places: list[int], count: int, context: Any) -> list[str]:
        """Sends all parts but the last, and returns that. ``places``: positions of the rows in the batch."""
        is_cancelled = getattr(context, "is_cancelled", lambda index: False)  # TorchServe's context lacks this method
        steps = generate(
            self._model, self._tokenizer, rows, end=self._end, cancelled=lambda row: is_cancelled(places[row])
        )
        for step in steps:
            if step.last:
                return step.pieces
            news = {place: piece for place, piece in zip(places, step.pieces, strict=True) if piece}
            if news:
                _send(news, count, context)
        raise AssertionError("generate() ends with a last step")

    def _row_or_refusal(self, row: dict[str, Any]) -> Row | PredictionException:
        try:
            prompt = prompts.read(
                row, default_new_tokens=self._default_new_tokens, most_new_tokens=self._most_new_tokens
            )
        except ValueError as error:
            return PredictionException(str(error), 400)
        tokens = prompts.to_tokens(prompt, self._tokenizer)
        if len(tokens) > self._most_prompt_tokens:
            return PredictionException(f"the prompt is longer than {self._most_prompt_tokens} tokens", 400)
        return Row(tokens, prompt.max_new_tokens)


def _send(news: dict[int, str], count: int, context: Any) -> None:
    """Sends a part to the requests of the batch that have new text."""
    parts = [news.get(place, "") for place in range(count)]
    ids = {place: context.request_ids[place] for place in news}
    send_intermediate_predict_response(parts, ids, "Prediction success", 200, context)
