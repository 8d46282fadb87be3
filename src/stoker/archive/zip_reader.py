"""A strict reader of zip files: what one program would see in an archive is what every program would see.

Invariants: the directory at the end and the header before each member must agree; members never overlap; only the two
methods that TorchServe reads (stored, deflated) are read; sizes and checksums are verified on the bytes themselves.
zip64 is understood, encryption and archives in several volumes are refused.  Nothing here writes.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from stoker.archive.names import refuse, safe_parts
from stoker.errors import InvalidArchive

CHUNK_BYTES = 1 << 20
STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA = struct.Struct("<2H")
_MAX_COMMENT = 0xFFFF
_UNSET16, _UNSET32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
_DOS_DIRECTORY = 0x10
_ZIP64_EXTRA = 1


class ZipMember(NamedTuple):
    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    directory: bool


class _Directory(NamedTuple):
    offset: int
    size: int
    entries: int


def is_zip(head: bytes) -> bool:
    return head[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def read_members(file: BinaryIO, *, max_entries: int) -> list[ZipMember]:
    """Returns all members, checked against each other but not read. Raises InvalidArchive, UnsafeArchive."""
    where = _find_directory(file)
    if where.entries > max_entries:
        raise refuse("(archive)", f"the archive has more than {max_entries} entries")
    members = list(_listed(file, where, max_entries))
    _check_no_overlap(members, where.offset)
    return members


def list_members(file: BinaryIO, *, max_entries: int) -> Iterator[ZipMember]:
    """Yields the members one by one, up to the first refused one, without the check for overlaps."""
    yield from _listed(file, _find_directory(file), max_entries)


def _listed(file: BinaryIO, where: _Directory, max_entries: int) -> Iterator[ZipMember]:
    at, end = where.offset, where.offset + where.size
    count = 0
    while at < end:
        file.seek(at)
        member, used = _read_central(file)
        at += used
        count += 1
        if at > end or count > where.entries:
            raise _broken()
        if count > max_entries:
            raise refuse(member.name, f"the archive has more than {max_entries} entries")
        yield member
    if count != where.entries:
        raise _broken()


def _broken() -> InvalidArchive:
    return InvalidArchive("The archive is not a valid zip file.")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _broken()
    return data


# -------------------------------------------------------------------------------------- the directory


def _find_directory(file: BinaryIO) -> _Directory:
    end_at, fields = _find_end(file)
    _, disk, first_disk, here, entries, size, offset, _ = fields
    found = _Directory(offset, size, entries)
    if locator := _find_locator(file, end_at):
        end_at, found = _read_end64(file, locator, found)
    elif disk or first_disk or here != entries:
        raise InvalidArchive("The archive is one volume of several.")
    if found.offset + found.size != end_at:
        raise _broken()
    return found


def _find_end(file: BinaryIO) -> tuple[int, tuple[bytes, int, int, int, int, int, int, int]]:
    file_size = file.seek(0, os.SEEK_END)
    tail_at = max(0, file_size - _END.size - _MAX_COMMENT)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if len(tail) - at >= _END.size:
            fields = _END.unpack_from(tail, at)
            if at + _END.size + fields[-1] == len(tail):  # the comment must end exactly at the end of the file
                return tail_at + at, fields
        at = tail.rfind(b"PK\x05\x06", 0, at)
    raise _broken()


def _find_locator(file: BinaryIO, end_at: int) -> int | None:
    """Returns where the zip64 end record starts, None for a plain zip file."""
    if end_at < _END64_LOCATOR.size:
        return None
    file.seek(end_at - _END64_LOCATOR.size)
    signature, _disk, offset, disks = _END64_LOCATOR.unpack(_read_exactly(file, _END64_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return None
    if disks > 1 or offset + _END64.size != end_at - _END64_LOCATOR.size:
        raise _broken()
    return int(offset)


def _read_end64(file: BinaryIO, at: int, plain: _Directory) -> tuple[int, _Directory]:
    file.seek(at)
    signature, _, _, _, disk, first_disk, here, entries, size, offset = _END64.unpack(_read_exactly(file, _END64.size))
    if signature != b"PK\x06\x06" or disk or first_disk or here != entries:
        raise _broken()
    agree = (
        plain.offset in (offset, _UNSET32) and plain.size in (size, _UNSET32) and plain.entries in (entries, _UNSET16)
    )
    if not agree:
        raise _broken()
    return at, _Directory(offset, size, entries)


def _read_central(file: BinaryIO) -> tuple[ZipMember, int]:
    fields = _CENTRAL.unpack(_read_exactly(file, _CENTRAL.size))
    signature, _, _, flags, method, _, _, crc, packed, size, name_len, extra_len, comment_len, disk, _, attr, offset = (
        fields
    )
    if signature != b"PK\x01\x02":
        raise _broken()
    raw_name = _read_exactly(file, name_len)
    extra = _read_exactly(file, extra_len)
    _read_exactly(file, comment_len)
    name = _decode(raw_name, flags)
    size, packed, offset, disk = _widen(name, extra, size, packed, offset=offset, disk=disk)
    mode = attr >> 16
    directory = name.endswith("/") or stat.S_ISDIR(mode) or bool(attr & _DOS_DIRECTORY)
    member = ZipMember(name, raw_name, flags, method, crc, packed, size, offset, mode, directory)
    _check_member(member, disk)
    return member, _CENTRAL.size + name_len + extra_len + comment_len


def _decode(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise refuse(raw.decode("ascii", "backslashreplace"), "the name is not valid text") from None


def _widen(
    name: str, extra: bytes, size: int, packed: int, *, offset: int = 0, disk: int = 0
) -> tuple[int, int, int, int]:
    """Replaces 32-bit placeholders with the values of the zip64 extra field, in the format's order."""
    wide = _zip64_field(name, extra)
    values = [size, packed, offset]
    for index, value in enumerate(values):
        if value == _UNSET32 and wide is not None:
            if len(wide) < 8:
                raise refuse(name, "its sizes are missing")
            values[index] = struct.unpack_from("<Q", wide)[0]
            wide = wide[8:]
    if disk == _UNSET16 and wide is not None and len(wide) >= 4:
        disk = struct.unpack_from("<L", wide)[0]
    return values[0], values[1], values[2], disk


def _zip64_field(name: str, extra: bytes) -> bytes | None:
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if at + length > len(extra):
            raise refuse(name, "its extra field is broken")
        if kind == _ZIP64_EXTRA:
            return extra[at : at + length]
        at += length
    return None


def _check_member(member: ZipMember, disk: int) -> None:
    safe_parts(member.name)
    if reason := _member_problem(member, disk):
        raise refuse(member.name, reason)


def _member_problem(member: ZipMember, disk: int) -> str | None:
    kind = stat.S_IFMT(member.mode)
    if member.flags & _ENCRYPTED:
        return "it is encrypted"
    if kind == stat.S_IFLNK:
        return "it is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is neither a file nor a folder"
    if member.directory and (member.size or kind == stat.S_IFREG):
        return "it is a folder and a file at once"
    if member.method not in (STORED, DEFLATED):
        return "its compression method is not supported"
    return "it is in another volume" if disk else None


def _check_no_overlap(members: list[ZipMember], directory_at: int) -> None:
    ordered = sorted(members, key=lambda member: member.offset)
    for index, member in enumerate(ordered):
        limit = ordered[index + 1].offset if index + 1 < len(ordered) else directory_at
        if member.offset + _LOCAL.size + len(member.raw_name) + member.packed > limit:
            raise refuse(member.name, "it overlaps another member")


# ---------------------------------------------------------------------------------------- the members


def read_chunks(file: BinaryIO, member: ZipMember) -> Iterator[tuple[bytes, int]]:
    """Yields pieces, each with the packed bytes read for the member so far. Raises UnsafeArchive."""
    start = _check_local(file, member)
    pieces = _stored(file, start, member) if member.method == STORED else _inflated(file, start, member)
    crc = size = 0
    for piece, packed in pieces:
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        if size > member.size:
            raise refuse(member.name, "it is larger than its header says")
        yield piece, packed
    if size != member.size:
        raise refuse(member.name, "it is smaller than its header says")
    if crc != member.crc:
        raise refuse(member.name, "its checksum is wrong")


def _check_local(file: BinaryIO, member: ZipMember) -> int:
    """Checks the local header and returns where the content starts."""
    file.seek(member.offset)
    header = file.read(_LOCAL.size)
    if len(header) != _LOCAL.size:
        raise refuse(member.name, "its header is missing")
    signature, _, flags, method, _, _, crc, packed, size, name_len, extra_len = _LOCAL.unpack(header)
    if signature != b"PK\x03\x04":
        raise refuse(member.name, "its header is missing")
    raw_name, extra = file.read(name_len), file.read(extra_len)
    size, packed, _, _ = _widen(member.name, extra, size, packed)
    same = (raw_name, method) == (member.raw_name, member.method) and not (flags ^ member.flags) & (_ENCRYPTED | _UTF8)
    sizes = (crc, packed, size)
    known = sizes == (member.crc, member.packed, member.size)
    later = bool(flags & _DESCRIPTOR) and not any(sizes)  # written as a stream: the sizes follow the content
    if not (same and (known or later)):
        raise refuse(member.name, "its header and the directory disagree")
    return member.offset + int(_LOCAL.size + name_len + extra_len)


def _packed_pieces(file: BinaryIO, start: int, member: ZipMember) -> Iterator[bytes]:
    # Seeks each time, because the consumer may read elsewhere in the file in between.
    at, end = start, start + member.packed
    while at < end:
        file.seek(at)
        piece = file.read(min(CHUNK_BYTES, end - at))
        if not piece:
            raise refuse(member.name, "it is cut off")
        at += len(piece)
        yield piece


def _stored(file: BinaryIO, start: int, member: ZipMember) -> Iterator[tuple[bytes, int]]:
    packed = 0
    for piece in _packed_pieces(file, start, member):
        packed += len(piece)
        yield piece, packed


def _inflated(file: BinaryIO, start: int, member: ZipMember) -> Iterator[tuple[bytes, int]]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = 0
    for piece in _packed_pieces(file, start, member):
        packed += len(piece)
        todo = piece
        while todo and not inflater.eof:
            try:
                data = inflater.decompress(todo, CHUNK_BYTES)
            except zlib.error:
                raise refuse(member.name, "its content is damaged") from None
            todo = inflater.unconsumed_tail
            if data:
                yield data, packed - len(todo)
        if inflater.eof and (inflater.unused_data or packed < member.packed):
            raise refuse(member.name, "something follows its content")
    if not inflater.eof:
        yield from _flushed(inflater, member, packed)


def _flushed(inflater: zlib._Decompress, member: ZipMember, packed: int) -> Iterator[tuple[bytes, int]]:
    """Returns what the decompressor still holds: at most one chunk may be pending once all input is consumed."""
    while not inflater.eof:
        try:
            data = inflater.decompress(b"", CHUNK_BYTES)
        except zlib.error:
            raise refuse(member.name, "its content is damaged") from None
        if not data:
            raise refuse(member.name, "it is cut off")
        yield data, packed
