"""SmolLM2 batched continuously, with its real weights, through a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import examples_kit
import pytest

from stoker.client import CallError, Client

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]
NAME = "text_generation_continuous"
FRANCE = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with examples_kit.serving(NAME, folder=tmp_path_factory.mktemp(NAME)) as client:
        yield client


def streamed(client: Client, prompt: object) -> Iterator[str]:
    payload = prompt if isinstance(prompt, str) else json.dumps(prompt)
    for part in client.predict_stream(NAME, payload.encode(), timeout=examples_kit.CALL_S):
        yield part.text


def test_an_answer_is_streamed_token_by_token_and_a_unary_call_gets_it_as_one(client: Client) -> None:
    parts = list(streamed(client, FRANCE))
    assert "".join(parts) == ANSWER
    assert parts[:3] == ["The", " capital", " of"]
    assert client.predict(NAME, FRANCE.encode(), timeout=examples_kit.CALL_S).text == ANSWER


def test_a_late_question_is_answered_while_a_long_text_goes_on(client: Client) -> None:
    long = streamed(client, {"prompt": "Tell me a long story.", "max_new_tokens": 512})
    next(long)
    assert "".join(streamed(client, FRANCE)) == ANSWER
    assert next(long)
    long.close()  # type: ignore[attr-defined]  # it is a generator
    assert "".join(streamed(client, FRANCE)) == ANSWER


def test_texts_written_together_are_what_each_is_alone(client: Client) -> None:
    prompts: list[object] = [
        FRANCE,
        {"prompt": "Once upon a time", "chat": False, "max_new_tokens": 12},
        {"prompt": "Hi", "max_new_tokens": 3},
        {"prompt": "Name three colours. " * 40, "max_new_tokens": 8},  # read in several steps
        {"prompt": "こんにちは", "max_new_tokens": 10},
    ]
    alone = ["".join(streamed(client, prompt)) for prompt in prompts]
    with ThreadPoolExecutor(10) as callers:
        together = list(callers.map(lambda prompt: "".join(streamed(client, prompt)), prompts * 2))
    assert together == alone * 2


@pytest.mark.parametrize(
    ("payload", "why"),
    [(b"", "the prompt must be a text"), (b'{"prompt": "hi", "max_new_tokens": 0}', "a whole number from 1 to 512")],
)
def test_a_request_that_makes_no_sense_is_refused_alone(client: Client, payload: bytes, why: str) -> None:
    other = streamed(client, {"prompt": "Tell me a long story.", "max_new_tokens": 60})
    next(other)
    with pytest.raises(CallError, match=why):
        client.predict(NAME, payload, timeout=examples_kit.CALL_S)
    assert len(list(other)) > 20
