"""Decompresses a gzip file as a stream, and verifies its checksum at the end."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO

from stoker.errors import InvalidArchive

READ_BYTES = 1 << 16
_GZIP = zlib.MAX_WBITS | 16


def is_gzip(head: bytes) -> bool:
    return head[:2] == b"\x1f\x8b"


class Gunzip:
    """Decompresses one file. ``on_read`` is called after every piece with the totals (unpacked, packed)."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int, int], None]) -> None:
        self._file = file
        self._on_read = on_read
        self._inflater = zlib.decompressobj(_GZIP)
        self._todo = b""
        self.unpacked = 0
        self.packed = 0

    def read(self, size: int) -> bytes:
        """Returns up to ``size`` bytes; empty once the file has ended and its checksum was verified."""
        while True:
            if self._inflater.eof and not self._next_stream():
                return b""
            if data := self._inflate(size):
                self.unpacked += len(data)
                self._on_read(self.unpacked, self.packed)
                return data

    def _next_stream(self) -> bool:
        """Moves on to the next of several concatenated gzip streams; zeros after the last one are padding."""
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
        piece = self._file.read(READ_BYTES)
        self.packed += len(piece)
        return piece
