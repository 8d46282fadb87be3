"""Decoding in steps: the same values as at once, whatever is cut where."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from stoker.errors import BadRequest
from stoker.frontend.http import json_steps


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_steps, "STEP_BYTES", 8)


def decoded(text: bytes) -> tuple[Any, int]:
    """Returns the value, and the number of steps."""
    steps, count = json_steps.steps(text), 0
    try:
        while True:
            next(steps)
            count += 1
    except StopIteration as end:
        return end.value, count


def random_value(choice: random.Random, depth: int) -> Any:
    kind = choice.randrange(6 if depth else 4)
    if kind >= 4:
        return [random_value(choice, depth - 1) for _ in range(choice.randrange(6))]
    return [choice.randrange(10 ** choice.randrange(1, 12)), choice.random(), None, True][kind]


def random_text(choice: random.Random) -> str:
    return "".join(choice.choices('ab,,[]{}:" \u20ac', k=choice.randrange(12)))


@pytest.mark.parametrize("seed", range(300))
def test_nested_lists_of_any_shape_are_what_they_are_at_once(seed: int) -> None:
    choice = random.Random(seed)
    value = [random_value(choice, 4) for _ in range(choice.randrange(1, 9))]
    text = json.dumps(value, indent=choice.choice([None, 1])).encode()
    assert decoded(text)[0] == value


@pytest.mark.parametrize("seed", range(300))
def test_texts_are_what_they_are_at_once_whatever_is_in_them(seed: int) -> None:
    choice = random.Random(seed)
    texts = [[random_text(choice) for _ in range(choice.randrange(5))] for _ in range(choice.randrange(1, 6))]
    text = json.dumps([texts, random_text(choice)], ensure_ascii=False).encode()
    assert decoded(text)[0] == json.loads(text)


def test_a_document_is_decoded_tensor_by_tensor() -> None:
    tensors = [{"name": name, "shape": [2, 40], "data": [list(range(40)), list(range(40))]} for name in ("x", "y")]
    document = {"id": "a, b", "inputs": tensors, "parameters": {"a": 1, "b": [None]}}
    value, steps = decoded(json.dumps(document).encode())
    assert value == document
    assert steps > 4 * 10, "each list of 40 numbers has about 20 of them"


def test_a_list_of_texts_is_cut_whatever_they_hold() -> None:
    texts = ['{"a": [1, 2]}', "C:\\", "one\ntwo", '\\"'] * 10
    value, steps = decoded(json.dumps({"data": texts, "others": [{"a": 1}, *texts]}).encode())
    assert value == {"data": texts, "others": [{"a": 1}, *texts]}
    assert steps > len(texts) // 2


@pytest.mark.parametrize(
    "text",
    [
        b"[1, 2, 3, 4, 5",
        b"[1, 2, 3, 4, 5]]",
        b'{"a": [1, 2, 3,, 5]}',
        b"[1, 2, 3}, {4]",
        b"nothing at all",
        b"[1.2345678,]",
        b"[true, [,1]]",
        b"[1.234567,          ,2]",
        b"[1.2345678],",
    ],
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(text)


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_document_is_what_it_is_at_once_if_it_is_json_at_all(seed: int) -> None:
    choice = random.Random(seed)
    for _ in range(20):
        text = bytearray(json.dumps([random_value(choice, 3), random_text(choice)]).encode())
        for _ in range(choice.randrange(1, 3)):
            text.insert(choice.randrange(len(text)), choice.choice(b',[]{}":1 '))
            del text[choice.randrange(len(text))]
        try:
            expected = msgspec.json.decode(text)
        except msgspec.DecodeError:
            with pytest.raises(msgspec.DecodeError):
                decoded(bytes(text))
        else:
            assert decoded(bytes(text))[0] == expected


def test_lists_too_deep_are_refused() -> None:
    with pytest.raises(RecursionError):
        decoded(b"[" * 100_000 + b"1," * 10 + b"1" + b"]" * 100_000)


def test_lists_that_cannot_be_cut_may_have_a_quarter_of_the_values() -> None:
    def values(count: int) -> bytes:
        return b"[{}," + b"1," * (count - 2) + b"1]"

    assert len(decoded(values(499_000))[0]) == 499_000
    with pytest.raises(BadRequest, match="more than 500000 values"):
        decoded(values(501_000))
