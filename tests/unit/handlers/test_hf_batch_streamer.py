from __future__ import annotations

import queue
from typing import Any

import pytest
import torch

from stoker.handlers.hf_batch_streamer import TextIteratorStreamerBatch


class Tokenizer:
    WORDS = ["Hello", " wor", "ld", " ", "你", "好", "\n", "!"]

    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(self.WORDS[token] for token in tokens) + options.get("mark", "")


def texts(streamer: TextIteratorStreamerBatch) -> list[list[str]]:
    return [[each["text"] for each in item] for item in streamer]


def test_words_are_given_out_when_they_are_whole() -> None:
    streamer = TextIteratorStreamerBatch(Tokenizer(), 2)
    for step in ([0, 4], [1, 5], [2, 6], [7, 0]):
        streamer.put(torch.tensor(step))
    streamer.end()
    assert texts(streamer) == [["", "你"], ["Hello ", "好"], ["", "\n"], ["", ""], ["world!", "Hello"]]


def test_the_prompt_can_be_left_out() -> None:
    streamer = TextIteratorStreamerBatch(Tokenizer(), 1, skip_prompt=True)
    streamer.put(torch.tensor([[0, 1, 2]]))
    streamer.put(torch.tensor([7]))
    streamer.end()
    assert texts(streamer) == [[""], ["!"]]


def test_decode_options_reach_the_tokenizer() -> None:
    streamer = TextIteratorStreamerBatch(Tokenizer(), 1, mark="|")
    streamer.put(torch.tensor([[0]]))
    streamer.end()
    assert texts(streamer) == [[""], ["Hello|"]]


@pytest.mark.parametrize("shape", [(3,), (1, 2), (0, 5)])
def test_tokens_of_another_batch_size_are_refused_with_transformers_words(shape: tuple[int, ...]) -> None:
    streamer = TextIteratorStreamerBatch(Tokenizer(), 2)
    with pytest.raises(ValueError, match=r"batch size is set to 2 but got input tensor of shape torch.Size\(\["):
        streamer.put(torch.zeros(shape))
    streamer.end()
    assert texts(streamer) == [["", ""]]


def test_a_model_that_says_nothing_in_time_ends_the_wait() -> None:
    with pytest.raises(queue.Empty):
        next(TextIteratorStreamerBatch(Tokenizer(), 1, timeout=0.01))
