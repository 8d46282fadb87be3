"""The progress marker: eight bytes shared with the server that say which batch the handler was called for.

The server reads them after this process died, so they must be right at every instant.
"""

from __future__ import annotations

import mmap
import os
import struct

_MARKER = struct.Struct("<Q")
_store = _MARKER.pack_into


class Progress:
    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self._memory = memory

    @classmethod
    def from_fd(cls, fd: int) -> Progress:
        """Maps the memfd that the server passed on, and closes the descriptor."""
        memory = mmap.mmap(fd, _MARKER.size)
        os.close(fd)
        return cls(memory)

    def begin(self, batch_id: int) -> None:
        """Stores the batch's id. Call it just before the handler."""
        _store(self._memory, 0, batch_id)
