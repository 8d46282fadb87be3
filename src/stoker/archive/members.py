"""Lists the files of an archive with the readers that unpack archives safely, for callers that only inspect.

Writes and executes nothing, and reads contents only as far as requested.  What the server would refuse raises
`InvalidArchive`, at the member that shows it or after the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stoker.archive import gunzip, tar_reader, zip_reader
from stoker.archive.limits import Budget, UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH
from stoker.archive.names import NameTree, safe_parts
from stoker.errors import InvalidArchive

_PIECE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """``name``: path in the model's directory. ``packed``: packed size, None if unknown for a single member."""

    name: str
    size: int
    packed: int | None = None


Member = tuple[Entry, Iterator[bytes]]


def kind_of(path: Path) -> str:
    """Returns ``directory``, ``zip``, ``tar.gz`` or ``unknown``. Raises OSError."""
    if path.is_dir():
        return "directory"
    with path.open("rb") as file:
        head = file.read(4)
    return "zip" if zip_reader.is_zip(head) else "tar.gz" if gunzip.is_gzip(head) else "unknown"


def model_directory(folder: Path) -> Path:
    """Resolves SageMaker's layout: a directory that contains only one directory stands for that one. Raises OSError."""
    entries = list(folder.iterdir())
    inner = entries[0] if len(entries) == 1 and entries[0].is_dir() else None
    return inner if inner is not None and inner.name != Path(MANIFEST_PATH).parts[0] else folder


def members(path: Path, *, limits: UnpackLimits) -> Iterator[Member]:
    """Yields the members. Blocking. Read each content before the next member. Raises InvalidArchive, OSError."""
    kind = kind_of(path)
    if kind == "directory":
        yield from _of_directory(path, limits)
        return
    if kind == "unknown":
        raise InvalidArchive("The archive is neither a zip file nor a tar.gz file.")
    with path.open("rb") as file:
        budget = Budget(limits, path.stat().st_size)
        yield from _of_zip(file, limits, budget) if kind == "zip" else _of_tar(file, budget)


def _of_zip(file: BinaryIO, limits: UnpackLimits, budget: Budget) -> Iterator[Member]:
    names = NameTree()
    for member in zip_reader.list_members(file, max_entries=limits.entries):
        parts = safe_parts(member.name)
        names.add(parts, directory=member.directory)
        if not member.directory:
            content = (piece for piece, _ in zip_reader.read_chunks(file, member))
            yield Entry("/".join(parts), member.size, member.packed), content
    for member in zip_reader.read_members(file, max_entries=limits.entries):  # visible only over all members: overlaps
        budget.count_bytes(member.name, member.size, unpacked=member.size, packed=member.packed)


def _of_tar(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    names = NameTree()
    seen = 0

    def on_read(unpacked: int, packed: int) -> None:
        nonlocal seen
        budget.count_bytes("(archive)", unpacked - seen, unpacked=unpacked, packed=packed)
        seen = unpacked

    for member, content in tar_reader.read_members(gunzip.Gunzip(file, on_read)):
        budget.count_entry(member.name)
        if member.parts:
            names.add(member.parts, directory=member.directory)
        if not member.directory:
            yield Entry("/".join(member.parts), member.size), content


def _of_directory(folder: Path, limits: UnpackLimits) -> Iterator[Member]:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if number >= limits.entries:
            raise InvalidArchive(f"The directory has more than {limits.entries} entries.")
        if path.is_file():
            yield Entry(path.relative_to(folder).as_posix(), path.stat().st_size), _of_file(path)


def _of_file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def at_most(content: Iterator[bytes], limit: int) -> bytes:
    """Reads up to one byte over the limit, from which the caller knows that the content is too large."""
    data = bytearray()
    for piece in content:
        data += piece
        if len(data) > limit:
            break
    return bytes(data[: limit + 1])
