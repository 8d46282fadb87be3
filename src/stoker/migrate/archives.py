"""Reads the few files of an archive that describe how to serve it, with the readers that unpack archives safely.

Invariants: writes and executes nothing, and reads a bounded amount, whatever the archive claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stoker.archive.limits import UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH, Manifest
from stoker.archive.members import at_most, members, model_directory

MODEL_SUFFIXES = (".mar", ".model", ".tar.gz")
WORKFLOW_SUFFIX = ".war"

_LIMITS = UnpackLimits()
_LARGEST_FILE = 1 << 20
_LARGEST_IN_ALL = 32 << 20
_TEXTS = (".py", ".yaml", ".yml", ".txt", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """``names``: every file. ``texts``: contents of small source, YAML, JSON and text files."""

    names: frozenset[str]
    texts: Mapping[str, bytes]

    @property
    def manifest(self) -> Manifest:
        """Parses the manifest. Raises InvalidArchive."""
        data = self.texts.get(MANIFEST_PATH)
        return Manifest(found=False) if data is None else Manifest.parse(data)


def read(path: Path) -> Contents:
    """Reads an archive. Blocking. Raises InvalidArchive: the server would refuse it; OSError."""
    names: set[str] = set()
    texts: dict[str, bytes] = {}
    room = _LARGEST_IN_ALL
    for entry, content in members(model_directory(path) if path.is_dir() else path, limits=_LIMITS):
        name = entry.name
        names.add(name)
        if name.endswith(_TEXTS) and room > 0:
            data = at_most(content, _LARGEST_FILE)
            room -= len(data)
            if len(data) <= _LARGEST_FILE:
                texts[name] = data
    return Contents(names=frozenset(names), texts=texts)
