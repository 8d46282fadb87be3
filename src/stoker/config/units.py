"""Converts text of a settings file into values, each unit in one place.  PURE.

A converter takes the text and returns the value, or raises `ValueError` with a phrase to follow 'KEY: ' in an error
message.  Times become seconds, sizes bytes; blanks around a value are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from stoker.core.text import shortened

_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")
_SIZE_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def boolean(text: str) -> bool:
    """Returns True for the word 'true' in any case, False for everything else, as in TorchServe."""
    return text.strip().lower() == "true"


def is_boolean_word(text: str) -> bool:
    return text.strip().lower() in ("true", "false")


def whole_number(text: str) -> int:
    word = text.strip()
    if not _WHOLE.fullmatch(word):
        raise ValueError(f"{shortened(text)!r} is not a whole number")
    return int(word)


def number(text: str) -> float:
    try:
        value = float(text.strip().replace("_", "?"))  # 1_000 is a spelling of Python's alone
    except ValueError:
        raise ValueError(f"{shortened(text)!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{shortened(text)!r} is not a finite number")
    return value


def milliseconds(text: str) -> float:
    try:
        return whole_number(text) / 1000.0
    except OverflowError:
        raise ValueError(f"{shortened(text)!r} is not a number of milliseconds in range") from None


def minutes(text: str) -> float:
    return number(text) * 60.0


def size(text: str) -> int:
    """Returns bytes: a whole number, or one with a unit of 1024 (`64k`, `10m`, `2g`)."""
    word = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = word[-1:] if word[-1:] in ("k", "m", "g", "t") else ""
    if not _WHOLE.fullmatch(word.removesuffix(unit)):
        raise ValueError(f"{shortened(text)!r} is not a number of bytes")
    return int(word.removesuffix(unit)) * _SIZE_UNITS[unit]


def string(text: str) -> str | None:
    return text.strip() or None


def one_of(*words: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"{shortened(text)!r} is not one of: {', '.join(words)}")
        return word

    return convert


def word(text: str) -> str:
    """Returns the text in lower case, without blanks."""
    return "".join(text.split()).lower()


def comma_list(text: str) -> tuple[str, ...]:
    return tuple(item for part in text.split(",") if (item := part.strip()))
