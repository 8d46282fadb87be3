"""`TextClassifier`: one text in, the probability of each class out. Archives name it ``text_classifier``.

As in TorchServe it looks at the first request of a batch only: serve it with batch size 1.
"""

from __future__ import annotations

from typing import Any

import torch

from stoker.handlers.text import TextHandler
from stoker.handlers.text_utils import ngrams_iterator
from stoker.handlers.timer import timed
from stoker.handlers.util import map_class_to_label


class TextClassifier(TextHandler):
    """For embedding-bag models: calls them with the token indices and the offsets ``[0]``."""

    ngrams = 2

    @timed
    def preprocess(self, data: Any) -> Any:
        """Returns the indices and the tokens of the cleaned text."""
        text = data[0].get("data") or data[0].get("body")
        if isinstance(text, bytes | bytearray | memoryview):
            text = bytes(text).decode("utf-8")
        tokens = self._tokenize(self._clean(text))
        indices = [self._index(token) for token in ngrams_iterator(tokens, self.ngrams)]
        return torch.as_tensor(indices, dtype=torch.long, device=self.device), tokens

    def _clean(self, text: str) -> str:
        text = self._remove_html_tags(text).lower()
        text = self._remove_accented_characters(self._expand_contractions(text))
        return self._remove_punctuation(text)

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        indices, _ = data
        return super().inference(indices, torch.zeros(1, dtype=torch.long, device=self.device), *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> Any:
        return map_class_to_label(torch.softmax(data, dim=-1).tolist(), self.mapping)

    def get_insights(self, text_preprocess: Any, _: Any, target: Any = 0) -> Any:
        """Returns the weight of each token for class ``target``."""
        from captum.attr import TokenReferenceBase  # noqa: PLC0415 - heavy, and only explanations need it

        indices, tokens = text_preprocess
        offsets = torch.zeros(1, dtype=torch.long, device=self.device)
        reference = TokenReferenceBase().generate_reference(indices.shape[0], self.device).squeeze(0)
        attributions = self.lig.attribute(indices, reference, additional_forward_args=(offsets,), target=target)
        return [{"importances": self.summarize_attributions(attributions).tolist(), "words": tokens}]
