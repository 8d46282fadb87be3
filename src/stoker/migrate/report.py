"""Formats findings as text for people and as an object for scripts. PURE. Every word is safe for a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from stoker.core.text import printable
from stoker.migrate.findings import Finding, Verdict, exit_code

_WIDTH = 110
_ORDER = (Verdict.UNREADABLE, Verdict.UNSUPPORTED, Verdict.CHANGED, Verdict.SAME)


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Groups by area; each starts with what needs work and ends with unchanged items in one paragraph."""
    for area in dict.fromkeys(finding.area for finding in findings):
        yield f"{printable(area)}"
        own = [finding for finding in findings if finding.area == area]
        for verdict in _ORDER:
            for finding in own:
                if finding.verdict is verdict and finding.text:
                    yield from _entry(finding)
        plain = dict.fromkeys(printable(finding.item) for finding in own if not finding.text)
        if plain:
            yield from _wrapped("same", ", ".join(plain))
        yield ""
    yield summary(findings)


def summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in reversed(_ORDER) if counts[verdict]) + "."


def as_object(path: str, findings: Sequence[Finding]) -> dict[str, Any]:
    counts = Counter(finding.verdict for finding in findings)
    return {
        "path": path,
        "exit": exit_code(findings),
        "counts": {verdict.value: counts[verdict] for verdict in reversed(_ORDER)},
        "findings": [{**asdict(finding), "verdict": finding.verdict.value} for finding in findings],
    }


def _entry(finding: Finding) -> Iterator[str]:
    where = f" ({printable(finding.where)})" if finding.where else ""
    yield from _wrapped(finding.verdict.value, f"{printable(finding.item)}{where}: {printable(finding.text)}")


def _wrapped(label: str, text: str) -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=f"  {label:<12}",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )
