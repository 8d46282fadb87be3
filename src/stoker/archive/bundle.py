"""Packs a model's directory into one stream of bytes, for nodes that lack its files. Its SHA-256 identifies the files.

The stream is a plain tar, which `unpack.unpack_stream` reads back. File names must be safe, as in an archive. Symbolic
links are followed: within the directory always, out of it only if root, this user or the owner of the directory made
the link. ``__pycache__`` and dangling links are left out. Blocking.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from stoker.archive.contents import UNWANTED_DIRECTORIES
from stoker.archive.file_source import open_regular
from stoker.archive.limits import UnpackLimits
from stoker.archive.local import trusted
from stoker.archive.names import NameTree, refuse, safe_parts
from stoker.archive.threads import Stop
from stoker.errors import InvalidArchive

_BLOCK = 512
_PIECE_BYTES = 1 << 18
_END = bytes(2 * _BLOCK)


class FilesChanged(InvalidArchive):
    """The model's files changed while they were read."""


class SupportsWrite(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder. ``name``: its path below the directory. ``state``: changes when the file is written to."""

    name: str
    path: Path
    size: int
    directory: bool
    executable: bool
    state: tuple[int, int, int]

    def header(self, top: str) -> bytes:
        info = tarfile.TarInfo(f"{top}/{self.name}")
        info.type = tarfile.DIRTYPE if self.directory else tarfile.REGTYPE
        info.size, info.mode = self.size, 0o755 if self.directory or self.executable else 0o644
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A directory as a stream of ``size`` bytes. ``name``: of the directory it unpacks to. ``hash``: SHA-256 of the
    stream, in hexadecimal."""

    name: str
    members: tuple[Member, ...]
    hash: str
    size: int

    def write_to(self, file: SupportsWrite) -> None:
        """Writes the stream. It no longer matches ``hash`` if a file has changed since.

        Raises: FilesChanged, UnsafeArchive, and what ``file`` raises.
        """
        for piece in _pieces(self.name, self.members):
            file.write(piece)


def members_of(folder: Path, *, limits: UnpackLimits = UnpackLimits()) -> tuple[Member, ...]:  # noqa: B008 - frozen
    """Lists a directory, sorted by name. Raises UnsafeArchive, InvalidArchive, OSError."""
    folder = folder.resolve()
    found: list[Member] = []
    names, total = NameTree(), 0
    for member in _walk(folder, folder, prefix="", ancestors=()):
        if len(found) >= limits.entries:
            raise InvalidArchive(f"The directory has more than {limits.entries} entries.")
        total += member.size
        if total > limits.total_bytes:
            raise InvalidArchive(f"The directory has more than {limits.total_bytes} bytes.")
        names.add(safe_parts(member.name), directory=member.directory)
        found.append(member)
    return tuple(found)


def seal(name: str, members: tuple[Member, ...], *, stop: Stop | None = None) -> Bundle:
    """Makes a bundle: reads all files once, for the hash. Raises FilesChanged, UnsafeArchive, Stopped."""
    if len(safe_parts(name)) != 1:
        raise refuse(name, "a model's directory needs a name")
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(name, members):
        if stop is not None:
            stop.check()
        digest.update(piece)
        size += len(piece)
    return Bundle(name, members, digest.hexdigest(), size)


def _walk(folder: Path, top: Path, *, prefix: str, ancestors: tuple[tuple[int, int], ...]) -> Iterator[Member]:
    found = folder.stat()
    here = (found.st_dev, found.st_ino)
    if here in ancestors:
        raise refuse(prefix.rstrip("/"), "it is a link to a folder that contains it")
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        member = _member(entry, prefix + entry.name, top)
        if member is not None:
            yield member
            if member.directory:
                yield from _walk(member.path, top, prefix=f"{member.name}/", ancestors=(*ancestors, here))


def _member(entry: os.DirEntry[str], name: str, top: Path) -> Member | None:
    path = Path(entry.path)
    if entry.is_symlink():
        if not path.exists():
            return None
        if not path.resolve().is_relative_to(top) and not trusted(path, top):
            raise refuse(name, "it is a link out of the model's directory, made by another user")
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return None if entry.name in UNWANTED_DIRECTORIES else Member(name, path, 0, True, False, (0, 0, 0))
    if not stat.S_ISREG(found.st_mode):
        raise refuse(name, "it is neither a file nor a folder")
    state = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return Member(name, path, found.st_size, False, bool(found.st_mode & 0o100), state)


def _pieces(top: str, members: tuple[Member, ...]) -> Iterator[bytes]:
    for member in members:
        yield member.header(top)
        if member.size:
            yield from _content(member)
            yield bytes(-member.size % _BLOCK)
    yield _END


def _content(member: Member) -> Iterator[bytes]:
    left = member.size
    with _opened(member) as file:
        while left:
            piece = file.read(min(_PIECE_BYTES, left))
            if not piece:
                raise FilesChanged
            left -= len(piece)
            yield piece


def _opened(member: Member) -> BinaryIO:
    try:
        return open_regular(member.path)
    except PermissionError:
        raise refuse(member.name, "it cannot be read") from None
    except OSError:
        raise FilesChanged from None
