"""Checks that a stream has the announced size and hash.  PURE."""

from __future__ import annotations

import hashlib

from stoker.archive.tar_reader import ByteStream
from stoker.errors import FilesNotFetched


class Verified:
    """Reads ``size`` bytes of ``source`` and no more. Do not use them before `finish` has returned."""

    def __init__(self, source: ByteStream, *, size: int, digest: str) -> None:
        self._source = source
        self._left = size
        self._digest = digest
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        """Raises FilesNotFetched: the stream ended early."""
        if not self._left:
            return b""
        piece = self._received(min(size, self._left))
        if not piece:
            raise FilesNotFetched("The connection ended before all of the model's files had arrived.")
        self._left -= len(piece)
        self._hash.update(piece)
        return piece

    def finish(self) -> None:
        """Raises FilesNotFetched: the size or the hash differs from what was announced."""
        if self._left or self._received(1) or self._hash.hexdigest() != self._digest:
            raise FilesNotFetched("The files that arrived at the node are not the model's, or changed on the way.")

    def _received(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError:
            return b""  # a broken connection counts as an early end
