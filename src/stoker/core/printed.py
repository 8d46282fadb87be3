r"""Prepares the output of processes for a log: splits it into lines, and keeps tracebacks together.  PURE.

Lines are untrusted: anything that could forge a log line (``\r``, escape sequences, ...) is escaped, and long lines
are split.
"""

from __future__ import annotations

import re
from enum import Enum

from stoker.core.text import escaped

MAX_LINE_BYTES = 8 << 10
_MAX_LINES = 1000  # of one traceback

_BEGIN = re.compile(r"(  \+ Exception Group )?Traceback \(most recent call last\):$")
_LINKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


class LineSplitter:
    """Turns bytes into complete lines of text that is safe to log."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *lines, rest = (self._rest + data).split(b"\n")
        whole = [text for line in lines for text in self._cut(line)]
        while len(rest) > self._max:
            whole.append(_safe(rest[: self._max]))
            rest = rest[self._max :]
        self._rest = rest
        return whole

    def end(self) -> list[str]:
        """Returns the last line if it had no line end."""
        rest, self._rest = self._rest, b""
        return self._cut(rest) if rest else []

    def _cut(self, line: bytes) -> list[str]:
        line = line.removesuffix(b"\r")
        if len(line) <= self._max:
            return [_safe(line)]
        return [_safe(line[start : start + self._max]) for start in range(0, len(line), self._max)]


def _safe(line: bytes) -> str:
    return escaped(line.decode("utf-8", "backslashreplace"))


class Tracebacks:
    """Turns lines into records: one for each line, but only one for a traceback and those linked to it. ``open``: a
    traceback has begun; only the next line, or `end`, tells whether it is complete."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._state = _State.FRAMES

    @property
    def open(self) -> bool:
        return bool(self._lines)

    def feed(self, line: str) -> list[str]:
        """Returns the records that are complete now; the lines of a record are joined by line ends."""
        if not self._lines and not line.endswith("):"):
            return [line]
        kind = _kind(line)
        follows = _NEXT[self._state].get(kind) if self._lines and len(self._lines) < _MAX_LINES else None
        if follows is not None:
            self._lines.append(line)
            self._state = follows
            return []
        complete = self.end()
        if kind not in (_Kind.BEGIN, _Kind.BEGIN_GROUP):
            return [*complete, line]
        self._lines = [line]
        self._state = _State.FRAMES if kind is _Kind.BEGIN else _State.GROUP
        return complete

    def end(self) -> list[str]:
        """Ends an open traceback, and returns its records."""
        lines, self._lines = self._lines, []
        blank = [lines.pop() for _ in range(len(lines) > 1 and not lines[-1])]
        return ["\n".join(lines), *blank] if lines else []


class _Kind(Enum):
    BEGIN = "Traceback (most recent call last):"
    BEGIN_GROUP = "the same of an exception group, which is indented"
    LINK = "words between two tracebacks"
    BLANK = "an empty line"
    INDENTED = "a frame, a note, or more of the exception's text"
    OTHER = "the exception and its text, or no part of a traceback"


class _State(Enum):
    FRAMES = "frames follow, then the exception"
    GROUP = "in an exception group"
    NAMED = "the exception was named"
    AFTER = "a blank line after that"
    LINKED = "words that announce another traceback"
    BEFORE = "a blank line after those"


_NEXT: dict[_State, dict[_Kind, _State]] = {
    _State.FRAMES: {_Kind.INDENTED: _State.FRAMES, _Kind.OTHER: _State.NAMED},
    _State.GROUP: {_Kind.INDENTED: _State.GROUP, _Kind.BLANK: _State.AFTER},
    _State.NAMED: {_Kind.INDENTED: _State.NAMED, _Kind.BLANK: _State.AFTER},
    _State.AFTER: {_Kind.LINK: _State.LINKED, _Kind.INDENTED: _State.NAMED},
    _State.LINKED: {_Kind.BLANK: _State.BEFORE},
    _State.BEFORE: {_Kind.BEGIN: _State.FRAMES, _Kind.BEGIN_GROUP: _State.GROUP},
}
"""Kinds of lines that continue a record, and the state that they lead to; any other line ends the record."""


def _kind(line: str) -> _Kind:
    match = _BEGIN.match(line)
    if match is not None:
        return _Kind.BEGIN_GROUP if match[1] else _Kind.BEGIN
    if line in _LINKS:
        return _Kind.LINK
    if not line:
        return _Kind.BLANK
    return _Kind.INDENTED if line[0] in " \t" else _Kind.OTHER


def indented(traceback: str) -> str:
    """Indents all lines of an exception's text but the first, so that `Tracebacks` can find its end."""
    lines = []
    state = None
    for line in traceback.splitlines():
        kind = _kind(line)
        if state is None:
            state = _State.GROUP if kind is _Kind.BEGIN_GROUP else _State.FRAMES
            lines.append(line)
            continue
        follows = _NEXT[state].get(kind)
        lines.append(line if follows is not None else f"    {line}".rstrip())
        state = follows or _State.NAMED
    return "\n".join(lines)
