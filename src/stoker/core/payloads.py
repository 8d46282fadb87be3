"""Allocates memory for large payloads, and assembles payloads from pieces.  PURE.

`bytearray(size)` writes zeros to every page, and the kernel faults pages in 4 KiB at a time: for 50 MB that takes
longer than receiving them.  `allocated` writes nothing, and asks the kernel for pages of 2 MiB.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable
from typing import cast

from stoker.core.buffer import Buffer

PAGE_BYTES = 2 << 20
"""A huge page: memory that an incomplete payload may take beyond the bytes that arrived."""
_WORTH_IT_BYTES = 1 << 20
_TRUSTED_AFTER_BYTES = 128 << 10


class Assembly:
    """Assembles ``size`` bytes from pieces, each copied once.

    Does not trust a declared size: memory grows with the first `_TRUSTED_AFTER_BYTES`; only then is all allocated.
    """

    __slots__ = ("_body", "_filled", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._body = bytearray()
        self._filled = 0

    @property
    def filled(self) -> int:
        return self._filled

    @property
    def complete(self) -> bool:
        return self._filled == self.size

    def fill(self, data: Buffer, start: int = 0) -> int:
        """Copies what is missing out of ``data``, from ``start`` on; returns the position after it in ``data``."""
        body, filled = self._body, self._filled
        stop = min(start + self.size - filled, len(data))
        end = filled + stop - start
        piece = memoryview(data)[start:stop]
        if end <= _TRUSTED_AFTER_BYTES:
            body += piece
        else:
            if len(body) < self.size:
                self._body = allocated(self.size)
                self._body[:filled] = body
            memoryview(self._body)[filled:end] = piece
        self._filled = end
        return stop

    def take(self) -> bytearray:
        """Returns the bytes. Call it only when `complete`."""
        return self._body


def allocated(size: int) -> bytearray:
    """Returns ``size`` bytes of arbitrary content; the caller must overwrite all of them before anyone reads them."""
    if size < _WORTH_IT_BYTES:
        return bytearray(size)
    return _allocator()(size)


@functools.cache
def _allocator() -> Callable[[int], bytearray]:
    """Imports ctypes with the first large payload: most processes never see one."""
    try:
        import ctypes  # noqa: PLC0415 - see above

        new = ctypes.pythonapi.PyByteArray_FromStringAndSize
        address = ctypes.pythonapi.PyByteArray_AsString
        advise = ctypes.CDLL(None).madvise
        huge = mmap.MADV_HUGEPAGE
    except (ImportError, AttributeError, OSError):  # another interpreter, another system
        return bytearray
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
    address.restype, address.argtypes = ctypes.c_void_p, (ctypes.py_object,)
    advise.restype, advise.argtypes = ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)

    def unwritten(size: int) -> bytearray:
        found = cast(bytearray, new(None, size))
        start = address(found)
        pages = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        advise(pages, start + size - pages, huge)  # a hint: the result may be ignored
        return found

    return unwritten
