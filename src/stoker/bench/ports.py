"""Finds free TCP ports on loopback, for servers that must be given theirs.

Between the choice of a port and its use another program may take it.  Ports come from outside the range in which the
kernel chooses, and from a block that one process has for itself.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import islice

from stoker.bench.contender import LOOPBACK

_FIRST, _BLOCK, _BLOCKS = 12_000, 100, 200  # below 32768, where Linux begins to choose


class PortBlock:
    """Ports that no other block on this machine has.

    The name of an abstract Unix socket is what claims them: it has the scope of the ports, the network namespace, and
    ends with its process.
    """

    def __init__(self) -> None:
        self._claim: int | None = None  # a descriptor
        self._first = 0
        self._handed_out = 0

    def take(self, count: int) -> list[int]:
        """Returns different free ports, each again only when all had their turn. Raises OSError: fewer are free."""
        if self._claim is None:
            self._claim_block()
        found = list(islice(filter(_is_free, self._one_round()), count))
        if len(found) < count:
            raise OSError(f"fewer than {count} ports are free from {self._first} on")
        return found

    def release(self) -> None:
        """Lets others have the block."""
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None
            self._handed_out = 0

    def _one_round(self) -> Iterator[int]:
        for _ in range(_BLOCK):
            self._handed_out += 1
            yield self._first + self._handed_out % _BLOCK

    def _claim_block(self) -> None:
        for offset in range(_BLOCKS):
            first = _FIRST + (os.getpid() + offset) % _BLOCKS * _BLOCK
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0stoker-ports-{first}")
            except OSError:
                claim.close()
                continue
            self._claim, self._first = claim.detach(), first
            return
        raise OSError("all blocks of ports are claimed")


def _is_free(port: int) -> bool:
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError:
        return False
    return True


_own = PortBlock()


def free_ports(count: int) -> list[int]:
    """Returns different free ports that no other process gets from here while this one lives."""
    return _own.take(count)
