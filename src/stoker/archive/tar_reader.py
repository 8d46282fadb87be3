"""A strict reader of ``.tar.gz`` files, in one pass, with memory that does not depend on the archive.

Laws: only files and folders, nothing that links or stands for a device; the first component of each name is dropped, as
TorchServe does; a damaged header is an error, not the end; the gzip checksum is verified to the last byte.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from stoker.archive.names import refuse, safe_parts
from stoker.errors import InvalidArchive

CHUNK_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_GZIP = zlib.MAX_WBITS | 16
_MAX_EXTENDED_HEADER = 1 << 20
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class TarMember(NamedTuple):
    name: str
    parts: tuple[str, ...]
    directory: bool
    executable: bool
    size: int


def is_gzip(head: bytes) -> bool:
    return head[:2] == b"\x1f\x8b"


class Gunzip:
    """A gzip file as a stream of its content. ``on_read`` hears of every piece: (unpacked in all, packed in all)."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int, int], None]) -> None:
        self._file = file
        self._on_read = on_read
        self._inflater = zlib.decompressobj(_GZIP)
        self._todo = b""
        self.unpacked = 0
        self.packed = 0

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end of the file, whose checksum was right then."""
        while True:
            if self._inflater.eof and not self._next_stream():
                return b""
            if data := self._inflate(size):
                self.unpacked += len(data)
                self._on_read(self.unpacked, self.packed)
                return data

    def _next_stream(self) -> bool:
        """gzip files may be joined; zeros after the last one are padding."""
        rest = (self._inflater.unused_data + self._todo).lstrip(b"\0") or self._fill().lstrip(b"\0")
        while not rest and (more := self._fill()):
            rest = more.lstrip(b"\0")
        if rest:
            self._inflater, self._todo = zlib.decompressobj(_GZIP), rest
        return bool(rest)

    def _inflate(self, size: int) -> bytes:
        piece = self._todo or self._fill()
        try:
            data = self._inflater.decompress(piece, size)
        except zlib.error:
            raise InvalidArchive("The archive is damaged: its gzip data is not valid.") from None
        self._todo = self._inflater.unconsumed_tail
        if not data and not piece and not self._inflater.eof:
            raise InvalidArchive("The archive is cut off.")
        return data

    def _fill(self) -> bytes:
        piece = self._file.read(_READ_BYTES)
        self.packed += len(piece)
        return piece


class _StrictTarInfo(tarfile.TarInfo):
    """Looks at each header block before tarfile acts on it (extended headers are read into memory as a whole)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        try:
            info = super().frombuf(buf, encoding, errors)
        except (tarfile.EOFHeaderError, tarfile.EmptyHeaderError):  # type: ignore[attr-defined]  # missing in typeshed
            raise  # the proper end of an archive
        except tarfile.HeaderError:
            raise InvalidArchive("The archive is damaged: a tar header is not valid.") from None
        if info.type in _EXTENDED and info.size > _MAX_EXTENDED_HEADER:
            raise refuse(info.name, "its extended header is too large")
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise refuse(info.name, "it is a sparse file")
        if info.size < 0:
            raise refuse(info.name, "its size is negative")
        return info


def read_members(stream: Gunzip) -> Iterator[tuple[TarMember, Iterator[bytes]]]:
    """Each member with its content, which must be consumed before the next member is asked for."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictTarInfo, errorlevel=2) as tar:  # type: ignore[call-overload]  # Gunzip only reads
            for info in tar:
                member = _member(info)
                tar.members = []  # tarfile would remember every header  # type: ignore[attr-defined]
                yield member, _content(tar, info, member)
        while stream.read(CHUNK_BYTES):  # padding; reading it verifies the checksum
            pass
    except tarfile.TarError:
        raise InvalidArchive("The archive is not a valid tar.gz file.") from None


def _member(info: tarfile.TarInfo) -> TarMember:
    if reason := _kind_problem(info):
        raise refuse(info.name, reason)
    safe_parts(info.name)
    _, slash, rest = info.name.partition("/")
    if not slash and info.isdir():
        rest = "."  # the top folder itself
    elif not slash:
        rest = info.name
    executable = bool(info.mode & 0o100)
    return TarMember(info.name, safe_parts(rest or "."), info.isdir(), executable, info.size)


def _kind_problem(info: tarfile.TarInfo) -> str | None:
    if info.issym():
        return "it is a symbolic link"
    if info.islnk():
        return "it is a hard link"
    if info.issparse():
        return "it is a sparse file"
    if not (info.isreg() or info.isdir()):
        return "it is neither a file nor a folder"
    return None


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, member: TarMember) -> Iterator[bytes]:
    file = None if member.directory else tar.extractfile(info)
    if file is None:
        return
    left = info.size
    with file:
        while left and (piece := file.read(min(CHUNK_BYTES, left))):
            left -= len(piece)
            yield piece
    if left:
        raise refuse(info.name, "it is cut off")
