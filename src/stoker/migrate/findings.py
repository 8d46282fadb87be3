"""Findings, one per item, and the exit status that follows from all of them. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    """``SAME`` may have a remark."""

    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    CHANGED = "changed"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Finding:
    """``area``: group for display. ``item``: a key, a file, a model. ``text``: how it changes, or what to do.
    ``where``: its line, if any."""

    area: str
    item: str
    verdict: Verdict
    text: str = ""
    where: str = ""


class Remark(NamedTuple):
    """A finding about the archive that is being checked."""

    verdict: Verdict
    text: str
    where: str = ""


def changed(text: str, where: str = "") -> Remark:
    return Remark(Verdict.CHANGED, text, where)


def unsupported(text: str, where: str = "") -> Remark:
    return Remark(Verdict.UNSUPPORTED, text, where)


Remarks = Iterator[Remark]


def of_archive(area: str, file: str, remarks: Iterable[Remark]) -> list[Finding]:
    """Returns at least one finding: nothing found means that it is the same."""
    return [Finding(area, file, *remark) for remark in remarks] or [Finding(area, file, Verdict.SAME)]


def exit_code(findings: Iterable[Finding]) -> int:
    """Returns 0: all the same or changed; 1: something is unsupported; 2: something cannot be read."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.UNREADABLE in verdicts:
        return 2
    return 1 if Verdict.UNSUPPORTED in verdicts else 0
