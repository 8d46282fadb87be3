"""`TextHandler`: vocabulary, tokeniser and cleaning steps for text models (`ts.torch_handler.text_handler`).

captum is imported when an explanation is first asked for.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from abc import ABC
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.handlers import weights
from stoker.handlers.base import BaseHandler
from stoker.handlers.contractions import CONTRACTION_MAP
from stoker.handlers.text_utils import get_tokenizer
from stoker.handlers.util import CLEANUP_REGEX

if TYPE_CHECKING:
    from stoker.worker.context import Context

_LONGEST_FIRST = "|".join(re.escape(each) for each in sorted(CONTRACTION_MAP, key=len, reverse=True))
CONTRACTIONS_PATTERN = re.compile(rf"(?<!\w)(?:{_LONGEST_FIRST})(?!\w)", flags=re.IGNORECASE)
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextHandler(BaseHandler, ABC):
    """Loads ``source_vocab``: a mapping (or a vocabulary object) from token to index."""

    source_vocab: Any
    tokenizer: Any

    def initialize(self, context: Context) -> None:
        super().initialize(context)
        self.source_vocab = weights.load_file(self.get_source_vocab_path(context))
        self.tokenizer = get_tokenizer("basic_english")

    @functools.cached_property
    def lig(self) -> Any:
        """Returns captum's layer integrated gradients over the model's ``embedding``."""
        from captum.attr import LayerIntegratedGradients  # noqa: PLC0415 - see the top

        return LayerIntegratedGradients(self.model, self.model.embedding)

    def get_source_vocab_path(self, ctx: Context) -> str:
        """Returns the vocabulary that the manifest names, or ``source_vocab.pt``. Raises FileNotFoundError."""
        named = ((ctx.manifest or {}).get("model") or {}).get("sourceVocab")
        path = Path(ctx.system_properties["model_dir"], named or "source_vocab.pt")
        if not path.is_file():
            raise FileNotFoundError("Missing the source_vocab file. Add it to the archive with --extra-files")
        return str(path)

    def _expand_contractions(self, text: str) -> str:
        return CONTRACTIONS_PATTERN.sub(lambda match: _expansion(match.group()), text)

    def _remove_accented_characters(self, text: str) -> str:
        return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")

    def _remove_html_tags(self, text: str) -> str:
        return CLEANUP_REGEX.sub("", text)

    def _remove_punctuation(self, text: str) -> str:
        return text.translate(_NO_PUNCTUATION)

    _remove_puncutation = _remove_punctuation  # name used by older handlers

    def _tokenize(self, text: str) -> Any:
        return self.tokenizer(text)

    def get_word_token(self, input_tokens: Iterable[Any]) -> list[str]:
        """Returns the words of these indices."""
        numbers = [int(token) for token in input_tokens]
        if hasattr(self.source_vocab, "lookup_tokens"):
            return list(self.source_vocab.lookup_tokens(numbers))
        words = {index: word for word, index in self.source_vocab.items()}
        return [words.get(number, "<unk>") for number in numbers]

    def summarize_attributions(self, attributions: Any) -> Any:
        """Returns one number per token, scaled to length 1."""
        summed = attributions.sum(dim=-1).squeeze(0)
        norm = summed.norm()
        return summed / norm if norm > 0 else summed

    def _index(self, token: str) -> int:
        """Returns the index of ``token``, else that of ``<unk>``, else 0."""
        if isinstance(self.source_vocab, Mapping):
            unknown = self.source_vocab.get("<unk>", 0)
            return int(self.source_vocab.get(token, unknown))
        return int(self.source_vocab[token])


def _expansion(found: str) -> str:
    long = CONTRACTION_MAP.get(found) or CONTRACTION_MAP[found.lower()]
    return found[0] + long[1:] if found[0].lower() == long[0].lower() else long
