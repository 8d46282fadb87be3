"""Parses a request under ``data`` or ``body``: text, or JSON.

``{"prompt": "...", "max_new_tokens": 64, "chat": true}``; all but the prompt are optional.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tokenizers import Tokenizer

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # what the model was tuned with


class Prompt(NamedTuple):
    """``chat``: answer the text as a question; else continue it."""

    text: str
    max_new_tokens: int
    chat: bool = True


def read(row: dict[str, Any], *, default_new_tokens: int, most_new_tokens: int) -> Prompt:
    """Parses one row.

    Raises: ValueError: it is not a valid request; the message says why.
    """
    asked = _fields(row.get("data") if row.get("data") is not None else row.get("body"))
    text, count = asked.get("prompt"), asked.get("max_new_tokens", default_new_tokens)
    chat = asked.get("chat", True)
    if not isinstance(text, str) or not text:
        raise ValueError("the prompt must be a text that is not empty")
    if not is_text(text):
        raise ValueError("the prompt has half of a surrogate pair, which is not a character")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most_new_tokens:
        raise ValueError(f"max_new_tokens must be a whole number from 1 to {most_new_tokens}")
    if not isinstance(chat, bool):
        raise ValueError("chat must be true or false")
    return Prompt(text, count, chat)


def is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            value = bytes(value).decode()
        except UnicodeDecodeError:
            raise ValueError("the prompt is not UTF-8 text") from None
    if isinstance(value, str):
        value = _json_or_text(value)
    return value if isinstance(value, dict) else {"prompt": value}


def _json_or_text(text: str) -> Any:
    """Parses a JSON object as a request; anything else is text, because a prompt may be a number or
    start with a brace.
    """
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else text
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def to_tokens(prompt: Prompt, tokenizer: Tokenizer) -> list[int]:
    """Returns the prompt in the model's format. Control tokens in the text stay text: ``encode_special_tokens``."""
    turns = [("user" if prompt.chat else "", prompt.text)]
    return turns_to_tokens(turns, tokenizer)


def turns_to_tokens(turns: list[tuple[str, str]], tokenizer: Tokenizer) -> list[int]:
    """Returns a chat in the model's format, from the role and text of each turn; one without a role is continued."""
    tokenizer.encode_special_tokens = True
    if not turns[0][0]:
        return _encode(tokenizer, turns[0][1])
    if turns[0][0] != "system":
        turns = [("system", SYSTEM), *turns]
    start, end = (token_id(tokenizer, name) for name in ("<|im_start|>", "<|im_end|>"))
    newline = _encode(tokenizer, "\n")
    tokens = [token for role, text in turns for token in (start, *_encode(tokenizer, f"{role}\n{text}"), end, *newline)]
    return [*tokens, start, *_encode(tokenizer, "assistant\n")]


def token_id(tokenizer: Tokenizer, name: str) -> int:
    """Returns the number of a control token.

    Raises: ValueError: the tokenizer has none of that name.
    """
    number = tokenizer.token_to_id(name)
    if number is None:
        raise ValueError(f"the tokenizer has no {name}")
    return int(number)


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return tokens
