"""Suppresses what a worker prints when it fails to load in the same way as before.  PURE.

Compares each line with the corresponding one of the previous attempt, ignoring numbers.  Holds back lines that are
equal, because the log has them; from the first difference on, everything is logged.
"""

from __future__ import annotations

import re

_MAX_CHARACTERS = 64 << 10
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")


class Repeats:
    """One output stream of a slot's workers. For each worker call `begin`, `feed` for each line, then `loaded` or
    `failed`; all but `begin` return the lines to log now.

    ``again``: the last attempt failed with exactly the output of the one before.
    """

    def __init__(self) -> None:
        self._before: list[str] | None = None  # lines of the previous attempt, if that one failed
        self._now: list[str] | None = None  # None: not loading, or too long to remember
        self._characters = 0
        self._held: list[str] = []
        self._agrees = False
        self.again = False

    def begin(self) -> None:
        self._now = []
        self._characters = 0
        self._held = []
        self._agrees = self._before is not None
        self.again = False

    def feed(self, line: str) -> list[str]:
        if self._now is None:
            return [*self._release(), line]
        place, text = len(self._now), _NUMBERS.sub("#", line)
        self._remember(text)
        if self._agrees and self._before is not None and self._before[place : place + 1] == [text]:
            self._held.append(line)
            return []
        return [*self._release(), line]

    def loaded(self) -> list[str]:
        """Forgets the output, so that a later failure is logged in full."""
        self._before = self._now = None
        return self._release()

    def failed(self) -> list[str]:
        self.again = self._agrees and self._now is not None and self._now == self._before
        self._before, self._now = self._now, None
        if self.again:
            self._held = []
        return self._release()

    def _remember(self, text: str) -> None:
        assert self._now is not None
        self._now.append(text)
        self._characters += len(text)
        if self._characters > _MAX_CHARACTERS:
            self._now = None

    def _release(self) -> list[str]:
        held, self._held = self._held, []
        self._agrees = False
        return held
