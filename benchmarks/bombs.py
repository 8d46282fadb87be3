"""Makes messages of 1 MB that would unpack to 1 GB."""

from __future__ import annotations

import zlib

MIB = 1 << 20
UNPACKED_MIB = 1024
_GZIP = 31


def bomb() -> bytes:
    """Returns gzip of `UNPACKED_MIB` zeros in MiB: blocks that need nothing of each other, so one is packed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    head, block = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return head + block * (UNPACKED_MIB - 1) + packer.flush()
