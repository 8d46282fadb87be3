"""Lists what an archive holds, for the inspections of models and of workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stoker.archive.limits import UnpackLimits
from stoker.archive.manifest_json import MAX_MANIFEST_BYTES
from stoker.archive.members import Entry, at_most, kind_of, members
from stoker.archive.names import shown
from stoker.errors import ArchiveNotFound, ArchiveUnreadable, InvalidArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """``archive_bytes``: 0 for a directory. ``warnings``: what the server would refuse, and what has no effect."""

    file: str
    format: str
    archive_bytes: int
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


class Scanner:
    """Reads one archive, perhaps several times; collects ``entries`` and ``warnings``."""

    def __init__(self, path: Path, limits: UnpackLimits) -> None:
        self._path = path
        self._limits = limits
        self._kind = ""
        self.entries: list[Entry] = []
        self.warnings: list[str] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Finds out the format; `scan` is for inside the block. Raises ArchiveNotFound, ArchiveUnreadable."""
        if not self._path.exists():
            raise ArchiveNotFound(f"There is no file {self._path}.")
        try:
            self._kind = kind_of(self._path)
            if self._kind == "unknown":
                raise ArchiveUnreadable(f"{self._path} is not an archive: it is {_what_it_is(self._path)}.")
            yield
        except OSError as error:
            raise ArchiveUnreadable(f"Cannot read {self._path}: {error.strerror}") from error

    def scan(self, wanted: set[str]) -> dict[str, bytes]:
        """Lists the members and returns the contents of the ``wanted`` ones, up to one byte over the limit."""
        self.entries.clear()
        read: dict[str, bytes] = {}
        try:
            for entry, content in members(self._path, limits=self._limits):
                self.entries.append(entry)
                if entry.name in wanted:
                    read[entry.name] = at_most(content, MAX_MANIFEST_BYTES)
        except InvalidArchive as error:
            self.warnings.append(error.message)
        return read

    def warn_of_missing(self, named: Mapping[str, str | None]) -> None:
        """Warns about files, by the key of the manifest that names them, which the archive does not have."""
        there = {entry.name for entry in self.entries}
        for key, name in named.items():
            if name is not None and name not in there:
                self.warnings.append(f"The manifest names a file that is missing: {key}: {shown(name)}")

    def facts(self) -> dict[str, Any]:
        """Returns the fields of `Listing`."""
        return {
            "file": self._path.name,
            "format": self._kind,
            "archive_bytes": self._path.stat().st_size if self._path.is_file() else 0,
            "entries": tuple(self.entries),
            "warnings": tuple(dict.fromkeys(self.warnings)),
        }


def _what_it_is(path: Path) -> str:
    if not path.is_file():
        return "not a file"
    return "neither a zip file nor a tar.gz file" if path.stat().st_size else "empty"
