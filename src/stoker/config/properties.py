"""Reads and writes the syntax of Java's `.properties` files, as `java.util.Properties` reads and stores it.  PURE.

Converts text to entries with line numbers, and back, without knowing what a key means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stoker.errors import ConfigurationError

_BLANK = " \t\f"
_LINE_END = re.compile(r"\r\n|\n|\r")
_ESCAPE = re.compile(r"\\(?:u(?P<hex>.{0,4})|(?P<char>.)|$)", re.DOTALL)
_LETTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_KEY = re.compile(r"(?:\\.|[^\\=: \t\f])*", re.DOTALL)
_SEPARATOR = re.compile(r"[ \t\f]*[=:]?[ \t\f]*")
_SPACE = "\\ "
_ESCAPES = {char: f"\\{char}" for char in ":=#!\\"} | {char: f"\\{letter}" for letter, char in _LETTERS.items()}
_VARIABLE = re.compile(r"\$\$([^$]+)\$\$")


class Entry(NamedTuple):
    key: str
    value: str
    line: int


def parse(text: str, *, file: str) -> list[Entry]:
    """Returns all entries in order, repeated keys included. Raises ConfigurationError: a malformed escape."""
    return [_entry(logical, line, file) for line, logical in _logical_lines(text)]


def expand(value: str, environment: Mapping[str, str]) -> str:
    """Replaces each ``$$NAME$$``. Raises ValueError with TorchServe's message if NAME is not set."""

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise ValueError(f"Invalid Environment Variable {name}")
        return environment[name]

    return _VARIABLE.sub(variable, value)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields (first line number, text without comments, indentation and continuations)."""
    first, collected = 0, ""
    for number, natural in enumerate(_LINE_END.split(text), start=1):
        line = natural.lstrip(_BLANK)
        if not collected:
            if not line or line[0] in "#!":
                continue
            first = number
        collected += line
        if _continues(line):
            collected = collected[:-1]
        elif collected:
            yield first, collected
            collected = ""
    if collected:
        yield first, collected


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _entry(logical: str, line: int, file: str) -> Entry:
    key = _KEY.match(logical)
    assert key is not None  # both expressions match the empty string too
    separator = _SEPARATOR.match(logical, key.end())
    assert separator is not None
    return Entry(_unescape(key[0], line, file), _unescape(logical[separator.end() :], line, file), line)


def _unescape(text: str, line: int, file: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match["hex"]
        if code is None:
            return _LETTERS.get(match["char"] or "", match["char"] or "")
        if not re.fullmatch(r"[0-9a-fA-F]{4}", code):
            raise ConfigurationError(f"Invalid configuration: {file}, line {line}: malformed \\uxxxx escape")
        return chr(int(code, 16))

    return join_surrogates(_ESCAPE.sub(character, text))


def join_surrogates(text: str) -> str:
    """Joins characters beyond U+FFFF, which Java writes as two escapes; a lone half becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def line(key: str, value: str) -> str:
    """Returns an entry as one ASCII line that `parse`, and Java, can read."""
    text = _escaped(value)
    return f"{_escaped(key).replace(' ', _SPACE)}={_SPACE + text[1:] if text.startswith(' ') else text}\n"


def comment(text: str) -> str:
    return f"#{' '.join(text.split())}\n".encode("ascii", "replace").decode()


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(char) or (char if " " <= char <= "~" else _unicode(char)) for char in text)


def _unicode(char: str) -> str:
    """Escapes as Java does: characters beyond U+FFFF become two escapes."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02X}{low:02X}" for high, low in zip(units[::2], units[1::2], strict=True))
