"""Decides which member names an archive may use.  Pure: strings in, safe path components or `UnsafeArchive` out.

Invariants: a name that could leave the target on *any* operating system is refused, not repaired; two names that a file
system without case would store as one are refused; what an error shows of a name is printable and short.
"""

from __future__ import annotations

import re
import unicodedata

from stoker.core.text import shortened
from stoker.errors import UnsafeArchive

MAX_DEPTH = 64
MAX_NAME_BYTES = 1024
MAX_COMPONENT_BYTES = 255

_DRIVE = re.compile(r"[A-Za-z]:")


def shown(name: str) -> str:
    """Makes a member name safe for messages and logs: no control characters, bounded length."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in name)
    return shortened(text, 120)


def refuse(name: str, reason: str) -> UnsafeArchive:
    return UnsafeArchive(member=shown(name) or "''", reason=reason)


def safe_parts(name: str) -> tuple[str, ...]:
    """Returns the path components below the target, none for ``./``. Raises UnsafeArchive."""
    if reason := _text_problem(name):
        raise refuse(name, reason)
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if reason := _path_problem(parts):
        raise refuse(name, reason)
    return parts


def _text_problem(name: str) -> str | None:
    if not name:
        return "the name is empty"
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        return "the name has control characters"
    if "\\" in name:
        return "the name has a backslash"
    if name.startswith("/") or _DRIVE.match(name):
        return "the name is absolute"
    return _size_problem(name)


def _size_problem(name: str) -> str | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the name is not valid text"
    return "the name is too long" if size > MAX_NAME_BYTES else None


def _path_problem(parts: tuple[str, ...]) -> str | None:
    if ".." in parts:
        return "the name leaves the target"
    if len(parts) > MAX_DEPTH:
        return "the name is too deep"
    if any(len(part.encode()) > MAX_COMPONENT_BYTES for part in parts):
        return "the name is too long"
    return None


class NameTree:
    """Remembers the names used so far, as a case-insensitive, Unicode-normalizing file system would see them."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}

    def add(self, parts: tuple[str, ...], *, directory: bool) -> None:
        """Adds a name. Raises UnsafeArchive: it is taken, perhaps in another spelling."""
        for depth in range(1, len(parts)):
            self._add(parts[:depth], directory=True, member=parts)
        self._add(parts, directory=directory, member=parts)

    def _add(self, parts: tuple[str, ...], *, directory: bool, member: tuple[str, ...]) -> None:
        folded = tuple(_fold(part) for part in parts)
        known = self._kinds.get(folded)
        if known is None:
            self._kinds[folded] = (parts, directory)
            return
        if directory and known == (parts, True):
            return  # a folder may be listed twice
        same = known[0] == parts == member
        raise refuse("/".join(member), "the name is used twice" if same else "the name clashes with another one")


def _fold(part: str) -> str:
    return unicodedata.normalize("NFKC", part).casefold()
