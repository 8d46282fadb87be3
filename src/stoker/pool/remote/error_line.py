"""Picks the line of a process's output that best explains why the process ended.  PURE.

Invariant: the line contains no path, because clients see it.
"""

from __future__ import annotations

import re

from stoker.core.text import escaped, shortened

_MOST_CHARACTERS = 300
_STAMP = re.compile(r"^(?:\[(?P<stamp>[^\]]*)\]\s*)?(?:\(\w+\)\s*)?(?:[\w/.]+\.(?:cc|h|py):\d+:?\s*)?")
_ERROR_STAMP = re.compile(r" [EFC] \d+")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?\w*(?:Error|Exception|Exit): ")
_NOISE = re.compile(r"^(?:\s|\*\*\*|Traceback |[/~]\S*\(|@ 0x|$)")
_PATH = re.compile(r"(?<![\w:/.])~?/[^\s:,;)\]'\"]+")


class ErrorLine:
    """Prefers the last exception, or error of Ray's log, to the last line."""

    def __init__(self) -> None:
        self._last = self._error = ""

    def add(self, line: str) -> None:
        found = _STAMP.match(line)
        assert found is not None, "it matches an empty beginning"
        text = line[found.end() :]
        if _NOISE.match(text):
            return
        self._last = text
        if _EXCEPTION.match(text) or _ERROR_STAMP.search(found["stamp"] or ""):
            self._error = text

    def __str__(self) -> str:
        """Returns the line without its full stop; empty: there is no such line."""
        line = " ".join(_PATH.sub("[path]", self._error or self._last).split())
        return shortened(escaped(line).rstrip("."), _MOST_CHARACTERS)
