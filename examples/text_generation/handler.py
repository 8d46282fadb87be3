"""Streams SmolLM2's text: a part per token; the returned value is the last part.

An invalid request fails alone; the others of its batch are answered.  `prompts` defines a request; below the paths of
OpenAI's API it is `openai_api` that reads requests and writes answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai_api
import prompts
import torch
from decoding import Row, generate
from llama import Llama, Shape
from safetensors.torch import load_file
from text_requests import Plain, Request
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
        asked = [self._asked(index, row, context) for index, row in enumerate(data)]
        good = [index for index, one in enumerate(asked) if isinstance(one, Request)]
        answer = ["" if isinstance(one, Request) else one for one in asked]
        if good:
            pieces = self._stream([asked[index] for index in good], good, len(data), context)
            for index, piece in zip(good, pieces, strict=True):
                answer[index] = piece
        return answer

    def _stream(self, requests: list[Any], places: list[int], count: int, context: Any) -> list[str]:
        """Sends all parts but the last, and returns that. ``places``: positions of the requests in the batch."""
        is_cancelled = getattr(context, "is_cancelled", lambda index: False)  # TorchServe's context lacks this method
        rows = [request.row for request in requests]
        steps = generate(
            self._model, self._tokenizer, rows, end=self._end, cancelled=lambda row: is_cancelled(places[row])
        )
        for step in steps:
            if step.last:
                ends = zip(requests, step.pieces, step.texts, strict=True)
                return [one.answer.last(piece, text.reason, text.written) for one, piece, text in ends]
            written = zip(places, requests, step.pieces, strict=True)
            parts = {place: one.answer.part(piece) for place, one, piece in written if piece}
            news = {place: part for place, part in parts.items() if part}
            if news:
                _send(news, count, context)
        raise AssertionError("generate() ends with a last step")

    def _asked(self, index: int, row: dict[str, Any], context: Any) -> Request | PredictionException | str:
        """Returns a request, or the whole answer of one that needs no text."""
        path = _path(index, row, context)
        if not path:
            found = self._row_or_refusal(row)
            return found if isinstance(found, PredictionException) else Request(found, Plain())
        context.set_response_content_type(index, openai_api.JSON)
        if path == openai_api.MODELS:
            return openai_api.models(context.model_name)
        try:
            request = self._openai_request(path, row, context.model_name)
        except openai_api.Refusal as refusal:
            context.set_response_status(refusal.status, "", index)
            return refusal.text()
        context.set_response_content_type(index, request.answer.content_type)
        return request

    def _openai_request(self, path: str, row: dict[str, Any], model: str) -> Request:
        asked = openai_api.read(
            path,
            row.get("body") if row.get("body") is not None else row.get("data"),
            model=model,
            default_new_tokens=self._default_new_tokens,
            most_new_tokens=self._most_new_tokens,
        )
        tokens = prompts.turns_to_tokens(asked.turns, self._tokenizer)
        if len(tokens) > self._most_prompt_tokens:
            raise openai_api.Refusal(f"the prompt is longer than {self._most_prompt_tokens} tokens")
        return Request(
            Row(tokens, asked.max_new_tokens, asked.stops), openai_api.Answer(path, asked, model, len(tokens))
        )

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


def _path(index: int, row: dict[str, Any], context: Any) -> str:
    """Returns what follows the version in the path; over gRPC an input of that name says it."""
    path = context.get_request_header(index, "url_path")
    if not isinstance(path, str):  # the mark of such an input, if anything
        path = row.get("url_path") or ""
    return (bytes(path).decode("utf-8", "replace") if isinstance(path, (bytes, bytearray)) else str(path)).strip("/")
