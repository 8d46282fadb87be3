"""JSON as TorchServe reads it in `models` and `model_snapshot`: by Gson, whose reader is lenient.  PURE.

Configuration is often written by programs that print what is almost JSON.  Accepts, besides the standard: names
and texts in single quotes or none, ``=`` and ``=>`` for ``:``, ``;`` for ``,``, left-out items of arrays (null),
comments (``//``, ``#``, ``/* */``), words in any case (``True``); but no comma after the last member of an object.

A number keeps its text (`Number`), and a text may be a number: the caller converts a value to the type it needs
(`whole`, `number`, `flag`, `text`), as Gson's primitives do.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from stoker.config.properties import join_surrogates
from stoker.core.text import shortened

_SPACE = " \t\r\n"
_WORD = re.compile(r"[^/\\;#={}\[\]:, \t\f\r\n]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NUMBER_IN_TEXT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_QUOTED_END = {"'": re.compile(r"['\\]"), '"': re.compile(r'["\\]')}
_LINE_REST = re.compile(r"[^\r\n]*")
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "f": "\f", "r": "\r", "\n": "\n", "'": "'", '"': '"', "\\": "\\", "/": "/"}
_WORDS = {"true": True, "false": False, "null": None}
_DEEPEST = 100
_LARGEST = 2**31 - 1


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def parse(source: str, *, unique: Container[int] = ()) -> Any:
    """Parses the text: objects become dicts, arrays lists, numbers `Number`.

    If a name occurs twice, the last value counts; at the depths ``unique`` (0: the outermost object) it is an error.

    Raises: ValueError: what is wrong, and where.
    """
    reader = _Reader(source, unique)
    value = reader.value(0)
    reader.end()
    return value


class _Reader:
    def __init__(self, source: str, unique: Container[int]) -> None:
        self._source = source
        self._unique = unique
        self._at = 1 if source.startswith("\ufeff") else 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self._wrong("nested too deeply")
        char = self._next()
        if char == "{":
            return self._object(depth)
        if char == "[":
            return self._array(depth)
        if char in ("'", '"'):
            return self._quoted(char)
        self._at -= 1
        return self._literal()

    def end(self) -> None:
        if self._source[self._at :].strip(_SPACE):
            raise self._wrong("there is more after the value")

    # -------------------------------------------------------------------------------------- containers

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        char = self._next()
        while char != "}":
            name = self._name(char)
            if name in members and depth in self._unique:
                raise self._wrong(f"{shown(name)} appears twice")
            self._colon()
            members[name] = self.value(depth + 1)
            if (char := self._next()) == "}":
                break
            if char not in (",", ";"):
                raise self._wrong("expected , or }", back=1)
            if (char := self._next()) == "}":
                raise self._wrong("expected a name", back=1)
        return members

    def _name(self, char: str) -> str:
        if char in ("'", '"'):
            return self._quoted(char)
        self._at -= 1
        return self._word("a name")

    def _colon(self) -> None:
        char = self._next()
        if char == "=" and self._source.startswith(">", self._at):
            self._at += 1
        elif char not in (":", "="):
            raise self._wrong("expected :", back=1)

    def _array(self, depth: int) -> list[Any]:
        """Parses an array. An item left out before a separator, or after the last one, is null."""
        items: list[Any] = []
        if (char := self._next()) == "]":
            return items
        while True:
            self._at -= 1
            items.append(None if char in (",", ";", "]") else self.value(depth + 1))
            if (char := self._next()) == "]":
                return items
            if char not in (",", ";"):
                raise self._wrong("expected , or ]", back=1)
            char = self._next()

    # ---------------------------------------------------------------------------------------- literals

    def _literal(self) -> Any:
        word = self._word("a value")
        if word.lower() in _WORDS and word.isascii():
            return _WORDS[word.lower()]
        return Number(word) if _NUMBER.fullmatch(word) else word

    def _word(self, what: str) -> str:
        match = _WORD.match(self._source, self._at)
        if match is None:
            raise self._wrong(f"expected {what}")
        self._at = match.end()
        return match[0]

    def _quoted(self, quote: str) -> str:
        begin, parts = self._at, []
        while True:
            match = _QUOTED_END[quote].search(self._source, self._at)
            if match is None:
                self._at = begin
                raise self._wrong("a text is not closed", back=1)
            parts.append(self._source[self._at : match.start()])
            self._at = match.end()
            if match[0] == quote:
                return join_surrogates("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self._source[self._at : self._at + 1]
        self._at += 1
        if char == "u":
            digits = self._source[self._at : self._at + 4]
            self._at += 4
            if re.fullmatch("[0-9a-fA-F]{4}", digits):
                return chr(int(digits, 16))
        elif char in _ESCAPES:
            return _ESCAPES[char]
        raise self._wrong("unknown escape", back=1)

    # ---------------------------------------------------------------------------------------- characters

    def _next(self) -> str:
        """Consumes and returns the next character that is neither blank nor part of a comment."""
        while True:
            while self._source[self._at : self._at + 1] in tuple(_SPACE):
                self._at += 1
            if self._source.startswith("/*", self._at):
                end = self._source.find("*/", self._at + 2)
                if end < 0:
                    raise self._wrong("a comment is not closed")
                self._at = end + 2
            elif self._source.startswith(("//", "#"), self._at):
                rest = _LINE_REST.match(self._source, self._at)
                self._at = rest.end() if rest else self._at
            elif self._at < len(self._source):
                self._at += 1
                return self._source[self._at - 1]
            else:
                raise self._wrong("unexpected end")

    def _wrong(self, what: str, *, back: int = 0) -> ValueError:
        at = max(0, self._at - back)
        near = self._source[at : at + 20].strip()
        return ValueError(f"not valid JSON: {what} at character {at + 1}" + (f" ({near!r})" if near else ""))


# ----------------------------------------------------------------------------------- values as one type


def whole(value: Any) -> int:
    """Returns an integer without its decimals. Raises ValueError unless it is a 32-bit number or text of one."""
    return int(number(value))


def number(value: Any) -> float:
    if not isinstance(value, str) or not _NUMBER_IN_TEXT.fullmatch(value.strip()):
        raise ValueError(f"{shown(value)} is not a number")
    parsed = float(value)
    if not -_LARGEST - 1 <= parsed <= _LARGEST:
        raise ValueError(f"{shown(value)} is out of range")
    return parsed


def flag(value: Any) -> bool:
    """Returns True for the word true in any case, like every switch of TorchServe."""
    return value if isinstance(value, bool) else text(value).lower() == "true"


def text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a text")
    return str(value)


def members(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    word = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return repr(shortened(word, 40))
