from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stoker.handlers.contractions import CONTRACTION_MAP
from stoker.handlers.text_classifier import TextClassifier
from stoker.handlers.text_utils import get_tokenizer, ngrams_iterator
from stoker.testing.handlers import make_context

MODEL = """
import torch

class Bag(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(10, 2)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.arange(20.0).reshape(10, 2) % 7)

    def forward(self, text, offsets):
        return self.embedding(text, offsets)
"""
VOCABULARY = {"<unk>": 0, "good": 1, "film": 2, "good film": 3, "cannot": 4}


@pytest.fixture
def handler(tmp_path: Path) -> TextClassifier:
    (tmp_path / "model.py").write_text(MODEL)
    torch.save(VOCABULARY, tmp_path / "source_vocab.pt")
    handler = TextClassifier()
    handler.initialize(make_context(tmp_path, manifest={"modelFile": "model.py"}))
    return handler


def test_a_text_gets_the_probability_of_each_class(handler: TextClassifier) -> None:
    handler.mapping = {"0": "bad", "1": "good"}
    (answer,) = handler.handle([{"data": bytearray(b"<b>Good</b> film!")}], handler.context)
    assert list(answer) == ["bad", "good"] and sum(answer.values()) == pytest.approx(1)


def test_the_text_is_cleaned_before_it_is_looked_up(handler: TextClassifier) -> None:
    indices, tokens = handler.preprocess([{"body": "I can't <i>see</i> thé good film."}])
    assert tokens == ["i", "cannot", "see", "the", "good", "film"]
    assert indices.tolist() == [0, 4, 0, 0, 1, 2, 0, 0, 0, 0, 3]


def test_unknown_words_do_not_fail_the_request(handler: TextClassifier) -> None:
    handler.source_vocab = {"good": 1}
    assert handler.preprocess([{"data": "never heard"}])[0].tolist() == [0, 0, 0]


def test_a_vocabulary_object_is_asked_in_its_own_way(handler: TextClassifier) -> None:
    class Vocabulary:
        def __getitem__(self, token: str) -> int:
            return len(token)

        def lookup_tokens(self, numbers: list[int]) -> list[str]:
            return [f"w{number}" for number in numbers]

    handler.source_vocab = Vocabulary()
    assert handler.preprocess([{"data": "a bc"}])[0].tolist() == [1, 2, 4]
    assert handler.get_word_token(torch.tensor([1, 2])) == ["w1", "w2"]


def test_indices_become_words_again(handler: TextClassifier) -> None:
    assert handler.get_word_token([1, torch.tensor(2), 9]) == ["good", "film", "<unk>"]


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    with pytest.raises(Exception, match=r"Missing the source_vocab file\."):
        TextClassifier().initialize(make_context(tmp_path, manifest={"modelFile": "model.py"}))


def test_the_manifest_may_name_the_vocabulary(handler: TextClassifier, tmp_path: Path) -> None:
    torch.save({"x": 1}, tmp_path / "other.pt")
    context = make_context(tmp_path, manifest={"modelFile": "model.py", "sourceVocab": "other.pt"})
    handler.initialize(context)
    assert handler.source_vocab == {"x": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sure they don't", "I am sure they do not"),
        ("Won't you? CAN'T!", "Will not you? Cannot!"),
        ("y'all'd've come", "you all would have come"),
        ("its not a contraction, nor is donation", "its not a contraction, nor is donation"),
    ],
)
def test_contractions_are_written_out(handler: TextClassifier, text: str, expected: str) -> None:
    assert handler._expand_contractions(text).lower() == expected.lower()


def test_the_map_of_contractions_holds_the_usual_ones() -> None:
    assert len(CONTRACTION_MAP) > 110
    assert (CONTRACTION_MAP["isn't"], CONTRACTION_MAP["I've"], CONTRACTION_MAP["it'll"]) == (
        "is not",
        "I have",
        "it will",
    )


def test_both_spellings_of_the_punctuation_step_exist(handler: TextClassifier) -> None:
    assert handler._remove_punctuation("a,b!") == handler._remove_puncutation("a,b!") == "ab"


def test_attributions_are_summed_per_token_and_scaled() -> None:
    summary = TextClassifier().summarize_attributions(torch.tensor([[[3.0, 0.0], [2.0, 2.0]]]))
    assert summary.tolist() == pytest.approx([0.6, 0.8])
    assert TextClassifier().summarize_attributions(torch.zeros(1, 2, 2)).tolist() == [0.0, 0.0]


def test_ngrams_come_shortest_first() -> None:
    assert list(ngrams_iterator(["a", "b", "c"], 3)) == ["a", "b", "c", "a b", "b c", "a b c"]
    assert list(ngrams_iterator(["a"], 2)) == ["a"]


def test_basic_english_splits_punctuation_off() -> None:
    split = get_tokenizer("basic_english")
    assert split('Hi, "you"; it\'s (ok)?<br />Yes.') == [
        "hi",
        ",",
        "you",
        "it",
        "'",
        "s",
        "(",
        "ok",
        ")",
        "?",
        "yes",
        ".",
    ]


def test_tokenizers_are_chosen_by_name() -> None:
    assert get_tokenizer(None)("a  b") == ["a", "b"]
    assert get_tokenizer(len) is len  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Unknown tokenizer"):
        get_tokenizer("klingon")
    with pytest.raises(ValueError, match="'de'"):
        get_tokenizer("basic_english", "de")


def test_explanations_name_the_words(handler: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    class Reference:
        def generate_reference(self, length: int, device: Any) -> torch.Tensor:
            return torch.zeros(1, length, dtype=torch.long)

    class Gradients:
        def __init__(self, model: Any, layer: Any) -> None:
            assert layer is model.embedding

        def attribute(self, text: torch.Tensor, reference: torch.Tensor, **options: Any) -> torch.Tensor:
            assert text.shape == reference.shape and options["target"] == 1
            return torch.ones(len(text), 2)

    attr = SimpleNamespace(TokenReferenceBase=Reference, LayerIntegratedGradients=Gradients)
    monkeypatch.setitem(sys.modules, "captum", SimpleNamespace(attr=attr))
    monkeypatch.setitem(sys.modules, "captum.attr", attr)
    (answer,) = handler.get_insights(handler.preprocess([{"data": "good film"}]), None, 1)
    assert answer["words"] == ["good", "film"] and answer["importances"] == pytest.approx([3**-0.5] * 3)
