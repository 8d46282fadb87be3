"""What a process of Ray's printed last that says why it ended.  PURE.

Law: no path, because clients see it.
"""

from __future__ import annotations

import re

from stoker.core.text import escaped, shortened

_MOST_CHARACTERS = 300
_STAMP = re.compile(r"^(?:\[(?P<stamp>[^\]]*)\]\s*)?(?:\(\w+\)\s*)?(?:[\w/.]+\.(?:cc|h|py):\d+:?\s*)?")
_GRAVE_STAMP = re.compile(r" [EFC] \d+")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?\w*(?:Error|Exception|Exit): ")
_NOISE = re.compile(r"^(?:\s|\*\*\*|Traceback |[/~]\S*\(|@ 0x|$)")
_PATH = re.compile(r"(?<![\w:/.])~?/[^\s:,;)\]'\"]+")


class LastWords:
    """Prefers an exception or an error of Ray's log to whatever came after it."""

    def __init__(self) -> None:
        self._line = self._grave = ""

    def heard(self, line: str) -> None:
        found = _STAMP.match(line)
        assert found is not None, "it matches an empty beginning"
        text = line[found.end() :]
        if _NOISE.match(text):
            return
        self._line = text
        if _EXCEPTION.match(text) or _GRAVE_STAMP.search(found["stamp"] or ""):
            self._grave = text

    def __str__(self) -> str:
        """Returns one line, without a full stop; empty: it printed nothing that says anything."""
        line = " ".join(_PATH.sub("[path]", self._grave or self._line).split())
        return shortened(escaped(line).rstrip("."), _MOST_CHARACTERS)
