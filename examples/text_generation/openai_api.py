"""OpenAI's API: reads requests for completions and chats, and writes their answers, whole or as events.

What a greedy model cannot do otherwise is ignored (`temperature`, `top_p`, `seed`); what would change the answer's form
is refused.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from prompts import is_text

MODELS, CHAT, COMPLETIONS = "v1/models", "v1/chat/completions", "v1/completions"
EVENTS, JSON = "text/event-stream", "application/json"
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_UNSUPPORTED = (
    "tools",
    "functions",
    "logprobs",
    "top_logprobs",
    "suffix",
    "echo",
    "audio",
    "logit_bias",
    "frequency_penalty",
    "presence_penalty",
)
_MOST_STOPS = 4


class Refusal(Exception):
    """The request is answered with this error."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def text(self) -> str:
        kind = "not_found_error" if self.status == 404 else "invalid_request_error"
        return json.dumps({"error": {"message": str(self), "type": kind, "param": None, "code": self.status}})


class Asked(NamedTuple):
    """``turns``: role and text of each message, or one text without a role, which is continued. ``stops``: texts that
    end the answer."""

    turns: list[tuple[str, str]]
    max_new_tokens: int
    stream: bool
    usage: bool
    stops: tuple[str, ...] = ()


def models(model: str) -> str:
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "stoker"}]
    return json.dumps({"object": "list", "data": data})


def read(path: str, body: Any, *, model: str, default_new_tokens: int, most_new_tokens: int) -> Asked:
    """
    Raises: Refusal
    """
    if path not in (CHAT, COMPLETIONS):
        raise Refusal(f"Unknown API endpoint: {path}", 404)
    asked = _document(body)
    if asked.get("model", model) != model:
        raise Refusal(f"The model {asked['model']!r} does not exist; this is {model!r}.", 404)
    for name in _UNSUPPORTED:
        if asked.get(name):
            raise Refusal(f"{name} is not supported")
    for name in ("n", "best_of"):
        if asked.get(name) not in (1, None):
            raise Refusal(f"{name} must be 1")
    if asked.get("response_format") not in (None, {"type": "text"}):
        raise Refusal("response_format may only be text")
    if not isinstance(asked.get("stream") or False, bool):
        raise Refusal("stream must be true or false")
    limits = (asked.get("max_completion_tokens"), asked.get("max_tokens"), default_new_tokens)
    limit = next(given for given in limits if given is not None)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise Refusal("max_tokens must be a whole number, at least 1")
    turns = list(_turns(asked.get("messages"))) if path == CHAT else [("", _prompt(asked.get("prompt")))]
    options = asked.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    stops = tuple(_stops(asked.get("stop")))
    return Asked(turns, min(limit, most_new_tokens), asked.get("stream") is True, usage, stops)


def _document(body: Any) -> dict[str, Any]:
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except ValueError:
            raise Refusal("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal("the body is not a JSON object")
    return body


def _turns(messages: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise Refusal("messages must be a list that is not empty")
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in _ROLES:
            raise Refusal(f"the role of a message must be one of: {', '.join(_ROLES)}")
        yield _ROLES[role], _content(message.get("content"))


def _content(content: Any) -> str:
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            raise Refusal("only parts of type text are supported")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str) or not is_text(content):
        raise Refusal("the content of a message must be text")
    return content


def _stops(stop: Any) -> list[str]:
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(one, str) and one and is_text(one) for one in stops):
        raise Refusal("stop must be a text or a list of texts that are not empty")
    if len(stops) > _MOST_STOPS:
        raise Refusal(f"stop has more than {_MOST_STOPS} texts")
    return stops


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt or not is_text(prompt):
        raise Refusal("prompt must be one text that is not empty")
    return prompt


class Answer:
    """Formats one answer. `part` gives "" while a request without ``stream`` collects its text."""

    def __init__(self, path: str, asked: Asked, model: str, prompt_tokens: int) -> None:
        self._chat = path == CHAT
        self._asked = asked
        self._prompt_tokens = prompt_tokens
        self._text = ""
        self._first = True
        kind = "chat.completion" if self._chat else "text_completion"
        kind += ".chunk" if self._chat and asked.stream else ""
        name = f"{'chatcmpl' if self._chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._facts = {"id": name, "object": kind, "created": int(time.time()), "model": model}

    @property
    def content_type(self) -> str:
        return EVENTS if self._asked.stream else JSON

    def part(self, piece: str) -> str:
        if not self._asked.stream:
            self._text += piece
            return ""
        return self._event(piece, None)

    def last(self, piece: str, reason: str, tokens: int) -> str:
        """``reason``: stop or length. ``tokens``: how many were written."""
        usage = {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self._prompt_tokens + tokens,
        }
        if not self._asked.stream:
            content = {"role": "assistant", "content": self._text + piece} if self._chat else self._text + piece
            choice = {"index": 0, "message" if self._chat else "text": content, "logprobs": None}
            return json.dumps({**self._facts, "choices": [{**choice, "finish_reason": reason}], "usage": usage})
        events = self._event(piece, reason)
        if self._asked.usage:
            events += f"data: {json.dumps({**self._facts, 'choices': [], 'usage': usage})}\n\n"
        return events + "data: [DONE]\n\n"

    def _event(self, piece: str, reason: str | None) -> str:
        content: dict[str, Any] = {"text": piece}
        if self._chat:
            content = {"delta": {"role": "assistant", "content": piece} if self._first else {"content": piece}}
        self._first = False
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        return f"data: {json.dumps({**self._facts, 'choices': [choice]})}\n\n"
