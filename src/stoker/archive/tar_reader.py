"""A strict reader of tar archives, in one pass, with memory that does not depend on the archive.

Invariants: only files and folders are read, links and devices are refused; the first component of each name is dropped,
as TorchServe does; a header that is damaged or contradicts another is an error, never taken for the end.

Reads what today's tools write: the old format, ustar, PAX (``path`` and ``size`` of one member; nothing else in such a
header matters here) and GNU's long names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from stoker.archive.names import refuse, safe_parts
from stoker.errors import InvalidArchive

CHUNK_BYTES = 1 << 20
_BLOCK = 512
_READ_AHEAD = 1 << 16
_MAX_EXTENDED_HEADER = 1 << 20
_LARGEST_OCTAL = 0o77777777777  # the largest value of a header's size field
_FILES, _FOLDER, _OLD_FILE = (b"0", b"\0", b"7"), b"5", b"\0"
_PAX, _PAX_FOR_ALL, _LONG_NAME, _LONG_LINK = (b"x", b"X"), b"g", b"L", b"K"
_REFUSED = {b"1": "it is a hard link", b"2": "it is a symbolic link", b"S": "it is a sparse file"}


class ByteStream(Protocol):
    def read(self, size: int, /) -> bytes:
        """Returns up to ``size`` bytes; empty at the end."""
        ...


class TarMember(NamedTuple):
    name: str
    parts: tuple[str, ...]
    directory: bool
    executable: bool
    size: int


class _Header(NamedTuple):
    name: str
    kind: bytes
    size: int
    mode: int


def read_members(stream: ByteStream) -> Iterator[tuple[TarMember, Iterator[bytes]]]:
    """Yields each member with its content, readable until the next. Raises InvalidArchive, UnsafeArchive."""
    reader = _Reader(stream)
    while (header := reader.next_member()) is not None:
        member = _member(header)
        content = reader.content(member.name, member.size)
        yield member, content
        for _ in content:  # skip unread content
            pass
    while stream.read(CHUNK_BYTES):  # padding; reading it verifies the checksum
        pass


def read_names(stream: ByteStream) -> Iterator[str]:
    """Yields the members' names alone, unchecked. Raises InvalidArchive, UnsafeArchive."""
    reader = _Reader(stream)
    while (header := reader.next_member()) is not None:
        yield header.name
        for _ in reader.content(header.name, 0 if header.kind == _FOLDER else header.size):
            pass


# ------------------------------------------------------------------------------------------------ the stream


class _Reader:
    """Reads the stream in large blocks, because small reads are slow."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._ahead = memoryview(b"")
        self._at_start = True

    def next_member(self) -> _Header | None:
        """Returns the next member with its extended headers applied; None at the end."""
        pax: dict[str, bytes] | None = None
        long_name: str | None = None
        extended = False
        while (header := self._next_header()) is not None:
            if header.kind in _PAX:
                if pax is not None:
                    raise refuse(header.name, "two extended headers describe one member")
                pax = _pax_records(header.name, self._extended(header))
            elif header.kind == _PAX_FOR_ALL:
                _check_for_all(header.name, _pax_records(header.name, self._extended(header)))
            elif header.kind == _LONG_NAME:
                long_name = _text(self._extended(header))
            elif header.kind == _LONG_LINK:
                self._extended(header)
            else:
                return _applied(header, pax or {}, long_name)
            extended = True
        if extended:
            raise InvalidArchive("The archive is cut off.")
        return None

    def content(self, name: str, size: int) -> Iterator[bytes]:
        left, padding = size, -size % _BLOCK
        while left:
            piece = self._read(min(CHUNK_BYTES, left))
            if not piece:
                raise refuse(name, "it is cut off")
            left -= len(piece)
            yield piece
        self._exactly(padding)

    def _next_header(self) -> _Header | None:
        block = self._read(_BLOCK)
        if not block:
            if self._at_start:
                raise InvalidArchive("The archive is not a valid tar.gz file.")
            return None  # some tools write no end mark
        self._at_start = False
        block += self._exactly(_BLOCK - len(block))
        return _parsed(block) if block.strip(b"\0") else None

    def _extended(self, header: _Header) -> bytes:
        if header.size > _MAX_EXTENDED_HEADER:
            raise refuse(header.name, "its extended header is too large")
        return self._exactly(header.size + -header.size % _BLOCK)[: header.size]

    def _read(self, size: int) -> bytes:
        """Returns up to ``size`` bytes; empty at the end."""
        if not self._ahead:
            if size >= _READ_AHEAD:
                return self._stream.read(size)
            self._ahead = memoryview(self._stream.read(_READ_AHEAD))
        piece, self._ahead = bytes(self._ahead[:size]), self._ahead[size:]
        return piece

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._read(size - len(data))
            if not piece:
                raise InvalidArchive("The archive is cut off.")
            data += piece
        return data


# ------------------------------------------------------------------------------------------- headers.  Pure.


def _damaged() -> InvalidArchive:
    return InvalidArchive("The archive is damaged: a tar header is not valid.")


def _parsed(block: bytes) -> _Header:
    _check_sum(block)
    name, kind = _text(block[:100]), block[156:157]
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    if kind == _OLD_FILE and name.endswith("/"):
        kind = _FOLDER
    return _Header(name, kind, size=_number(block[124:136]), mode=_number(block[100:108]))


def _check_sum(block: bytes) -> None:
    stored = _number(block[148:156])
    counted = block[:148] + b" " * 8 + block[156:]
    total = sum(counted)
    if stored != total and stored != total - 256 * sum(byte > 127 for byte in counted):  # old tools count signed bytes
        raise _damaged()


def _number(field: bytes) -> int:
    """Parses octal digits, or a binary number if the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise _damaged()
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")  # bytes that are not text are refused as a name


def _pax_records(name: str, data: bytes) -> dict[str, bytes]:
    """Parses records ``LENGTH KEY=VALUE\\n`` up to the end."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        digits, blank, _ = data[at : at + 8].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not (length and at + length <= len(data) and equals and record.endswith(b"\n")):
            raise refuse(name, "its extended header is not valid")
        records[_text(key)] = value
        at += length
    if any(key.startswith("GNU.sparse.") for key in records):
        raise refuse(name, "it is a sparse file")
    return records


def _check_for_all(name: str, records: dict[str, bytes]) -> None:
    if not records.keys().isdisjoint(("path", "size", "linkpath")):
        raise refuse(name, "it names or measures all members at once")


def _applied(header: _Header, pax: dict[str, bytes], long_name: str | None) -> _Header:
    name, size = header.name if long_name is None else long_name, header.size
    if "path" in pax:
        name = pax["path"].decode("utf-8", "surrogateescape")
    if "size" in pax:
        digits = pax["size"]
        if not digits.isdigit() or len(digits) > 20:
            raise refuse(name, "its extended header is not valid")
        size = int(digits)
        if size != header.size and size <= _LARGEST_OCTAL:
            raise refuse(name, "its headers disagree on its size")
    return header._replace(name=name, size=size)


def _member(header: _Header) -> TarMember:
    directory = header.kind == _FOLDER
    if not directory and header.kind not in _FILES:
        raise refuse(header.name, _REFUSED.get(header.kind, "it is neither a file nor a folder"))
    if not directory and header.name.endswith("/"):
        raise refuse(header.name, "it is a folder and a file at once")
    safe_parts(header.name)
    name = header.name.rstrip("/") if directory else header.name
    _, slash, rest = name.partition("/")
    if not slash:
        rest = "." if directory else name  # the top folder itself, or a file beside it
    size = 0 if directory else header.size
    return TarMember(name, safe_parts(rest or "."), directory, bool(header.mode & 0o100), size)
