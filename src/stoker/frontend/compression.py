"""Decompresses requests and compresses answers, within bounds. PURE."""

from __future__ import annotations

import zlib

from stoker.core.buffer import Buffer
from stoker.errors import MessageTooLarge, StokerError

_PIECE = 64 << 10
_SMALL, SMALL_INFLATED = 4 << 10, 64 << 10
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_NONE = ("", "identity")


class BadCompression(StokerError):
    """The data is damaged or continues after its end."""


class UnknownEncoding(BadCompression):
    """The data is compressed with an unsupported method."""


def inflate(compressed: Buffer, encoding: str, limit: int) -> bytes:
    """Decompresses piecewise, up to ``limit`` bytes. ``encoding``: gzip or deflate.

    Raises: UnknownEncoding, MessageTooLarge, BadCompression
    """
    if encoding in _NONE:
        raise BadCompression("The message is marked as compressed, but grpc-encoding names no compression.")
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise UnknownEncoding
    decompressor, out, view = zlib.decompressobj(bits), bytearray(), memoryview(compressed)
    try:
        for start in range(0, len(view), _PIECE):
            if decompressor.eof:
                raise BadCompression
            data: Buffer = view[start : start + _PIECE]
            more = True
            while more and not decompressor.eof:
                piece = decompressor.decompress(data, _PIECE)
                out += piece
                if len(out) > limit:
                    raise MessageTooLarge(size=len(out), limit=limit)
                data = decompressor.unconsumed_tail
                more = bool(data) or len(piece) == _PIECE
    except zlib.error:
        raise BadCompression from None
    if not decompressor.eof or decompressor.unused_data:
        raise BadCompression
    return bytes(out)


def inflate_small(compressed: Buffer, encoding: str, limit: int) -> bytes | None:
    """Decompresses like `inflate`, if that takes less than a millisecond; None: it needs a thread."""
    if len(compressed) > _SMALL:
        return None
    try:
        return inflate(compressed, encoding, min(limit, SMALL_INFLATED))
    except MessageTooLarge:
        if limit <= SMALL_INFLATED:
            raise
        return None


def deflate(message: bytes, encoding: str) -> bytes:
    """Compresses fast rather than small, because the answer waits for it."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return compressor.compress(message) + compressor.flush()
