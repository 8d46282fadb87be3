"""Reads the few files of an archive that say how it wants to be served, by the readers that unpack archives safely.

Law: nothing is written, nothing is executed, and what is read is bounded, whatever the archive claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stoker.archive import tar_reader, zip_reader
from stoker.archive.limits import Budget, UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH, Manifest
from stoker.archive.names import NameTree, safe_parts
from stoker.errors import InvalidArchive

MODEL_SUFFIXES = (".mar", ".model", ".tar.gz")
WORKFLOW_SUFFIX = ".war"

_LIMITS = UnpackLimits()
_LARGEST_FILE = 1 << 20
_LARGEST_IN_ALL = 32 << 20
_TEXTS = (".py", ".yaml", ".yml", ".txt", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """``names``: every file. ``texts``: what the small ones among source, YAML, JSON and text files hold."""

    names: frozenset[str]
    texts: Mapping[str, bytes]

    @property
    def manifest(self) -> Manifest:
        """Raises InvalidArchive."""
        data = self.texts.get(MANIFEST_PATH)
        return Manifest(found=False) if data is None else Manifest.parse(data)


def read(path: Path) -> Contents:
    """Blocking.

    Raises:
        InvalidArchive: the server would refuse it.  OSError: it cannot be read.
    """
    names: set[str] = set()
    texts: dict[str, bytes] = {}
    room = _LARGEST_IN_ALL
    for name, content in _members(path):
        names.add(name)
        if name.endswith(_TEXTS) and room > 0:
            data = _at_most(content, _LARGEST_FILE)
            room -= len(data)
            if len(data) <= _LARGEST_FILE:
                texts[name] = data
    return Contents(names=frozenset(names), texts=texts)


def _members(path: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    if path.is_dir():
        yield from _of_directory(_model_directory(path))
        return
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if zip_reader.is_zip(head):
            yield from _of_zip(file, path.stat().st_size)
        elif tar_reader.is_gzip(head):
            yield from _of_tar(file, path.stat().st_size)
        else:
            raise InvalidArchive("The archive is neither a zip file nor a tar.gz file.")


def _model_directory(folder: Path) -> Path:
    """A directory that holds nothing but one directory stands for that one (SageMaker's layout)."""
    entries = list(folder.iterdir())
    inner = entries[0] if len(entries) == 1 and entries[0].is_dir() else None
    return inner if inner is not None and inner.name != Path(MANIFEST_PATH).parts[0] else folder


def _of_directory(folder: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= _LIMITS.entries:
            raise InvalidArchive(f"The directory has more than {_LIMITS.entries} entries.")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), _of_file(path)


def _of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield file.read(_LARGEST_FILE + 1)


def _of_zip(file: BinaryIO, size: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Sizes are those that the directory states: what is read is held to them, the rest is not inflated."""
    budget, names = Budget(_LIMITS, size), NameTree()
    for member in zip_reader.read_members(file, max_entries=_LIMITS.entries):
        parts = safe_parts(member.name)
        names.add(parts, directory=member.directory)
        budget.count_bytes(member.name, member.size, unpacked=member.size, packed=member.packed)
        if not member.directory:
            yield "/".join(parts), (piece for piece, _ in zip_reader.read_chunks(file, member))


def _of_tar(file: BinaryIO, size: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    budget, names, seen = Budget(_LIMITS, size), NameTree(), 0

    def on_read(unpacked: int, packed: int) -> None:
        nonlocal seen
        budget.count_bytes("(archive)", unpacked - seen, unpacked=unpacked, packed=packed)
        seen = unpacked

    for member, content in tar_reader.read_members(tar_reader.Gunzip(file, on_read)):
        budget.count_entry(member.name)
        if member.parts:
            names.add(member.parts, directory=member.directory)
        if not member.directory:
            yield "/".join(member.parts), content


def _at_most(content: Iterator[bytes], limit: int) -> bytes:
    """Up to one byte over the limit."""
    data = bytearray()
    for piece in content:
        data += piece
        if len(data) > limit:
            break
    return bytes(data[: limit + 1])
