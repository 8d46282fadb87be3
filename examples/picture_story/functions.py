"""The function between the two models: makes a question for the language model of what the picture shows."""

from __future__ import annotations

import json
from typing import Any

MAX_NEW_TOKENS = 48


def ask(data: list[dict[str, Any]] | None, context: Any) -> list[dict[str, Any]] | None:
    """Called once without data when it is loaded; then with the output of the node before it under ``body``."""
    if data is None:
        return None
    return [{"prompt": question(json.loads(bytes(row["body"]))), "max_new_tokens": MAX_NEW_TOKENS} for row in data]


def question(classes: dict[str, float]) -> str:
    """``classes``: probabilities, the likeliest first."""
    thing = next(iter(classes)).replace("_", " ")
    article = "an" if thing[:1].lower() in "aeiou" else "a"
    return f"What is {article} {thing}? Answer in one short sentence."
