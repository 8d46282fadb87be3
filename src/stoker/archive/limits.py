"""Limits what unpacking an archive may cost.

Counts everything while it is written and trusts no size in a header.  A compressed archive may grow by ``ratio``, per
member and in total; the first ``free_bytes`` are exempt, because small text files compress well.
"""

from __future__ import annotations

from dataclasses import dataclass

from stoker.archive.names import refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackLimits:
    entries: int = 100_000
    total_bytes: int = 256 << 30
    ratio: int = 200
    free_bytes: int = 64 << 20


class Budget:
    """Counts one archive. ``archive_bytes``: size of the archive file."""

    def __init__(self, limits: UnpackLimits, archive_bytes: int) -> None:
        self._limits = limits
        self._archive_bytes = archive_bytes
        self._entries = 0
        self._total = 0

    def count_entry(self, member: str) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise refuse(member, f"the archive has more than {self._limits.entries} entries")

    def count_bytes(self, member: str, nbytes: int, *, unpacked: int, packed: int) -> None:
        """Counts ``nbytes`` more unpacked bytes; ``unpacked`` and ``packed`` are this member's totals so far."""
        limits = self._limits
        self._total += nbytes
        if self._total > limits.total_bytes:
            raise refuse(member, f"the archive unpacks to more than {limits.total_bytes} bytes")
        if self._exceeds_ratio(unpacked, packed) or self._exceeds_ratio(self._total, self._archive_bytes):
            raise refuse(member, f"it unpacks to more than {limits.ratio} times its size")

    def _exceeds_ratio(self, unpacked: int, packed: int) -> bool:
        return unpacked > self._limits.free_bytes and unpacked > self._limits.ratio * packed
