"""Parses metric lines that workers print, and formats those of the two metric logs.  PURE.

A worker's line: ``[METRICS]Name.Unit:value|#dims|#type:GAUGE|#hostname:host,epoch[,request ids]``; older handlers leave
the type out.  A log's line: ``date - Name.Unit:value|#dims|#hostname:host[,requestID:ids],timestamp:epoch``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from stoker.core.measures import HandlerSample
from stoker.core.text import escaped
from stoker.telemetry.declared import Declared
from stoker.telemetry.json_lines import dumps, head, members, number
from stoker.telemetry.lines import COLUMNS, timestamp

PREFIX = "[METRICS]"

_LINE = re.compile(
    r"\s*(?P<name>[^\s.:|][^:|]*)\.(?P<unit>[^\s.:|]+):(?P<value>[^|\s]+)(?:\|#(?P<dims>[^|]*))?"
    r"(?:\|#type:(?P<type>COUNTER|GAUGE|HISTOGRAM))?"
    r"(?:\|#hostname:(?P<host>[^,|]*)(?:,(?P<time>\d+)(?:,(?P<ids>.*))?)?)?"
)


def parse(line: str) -> HandlerSample | None:
    """Parses a line that starts with `PREFIX`. None: not a metric. A line without a type counts as a gauge."""
    match = _LINE.fullmatch(line.removeprefix(PREFIX))
    if match is None:
        return None
    try:
        value = float(match["value"])
    except ValueError:
        return None
    dims = (match["dims"] or "").split(",")
    dimensions = [(name, text) for name, _, text in (pair.partition(":") for pair in dims) if name]
    kind = (match["type"] or "GAUGE").lower()
    return HandlerSample(match["name"], kind, match["unit"], dimensions, value, match["ids"] or "")


Template = tuple[str, str]
"""The text before and after the value of a log line."""

RequestIds = str | Sequence[str]
Entry = tuple[float, Template, float, RequestIds]
"""Time of measurement, the rest of the line, the value, the requests."""


def template(declared: Declared, labels: tuple[str, ...], host: str) -> Template:
    """Prepares a line. ``labels`` end with the host name, which is not repeated among the dimensions."""
    dims = ",".join(f"{name}:{text}" for name, text in _dimensions(declared, labels))
    return f"{COLUMNS} - " + escaped(f"{declared.name}.{declared.unit}:"), escaped(f"|#{dims}|#hostname:{host}")


def json_template(declared: Declared, labels: tuple[str, ...], host: str) -> Template:
    before, after = template(declared, labels, host)
    facts = {
        "metric": declared.name,
        "unit": declared.unit,
        "dimensions": dict(_dimensions(declared, labels)),
        "hostname": host,
        "message": before.removeprefix(f"{COLUMNS} - "),
    }
    return members(facts)[:-1], dumps(after)[1:-1]


def _dimensions(declared: Declared, labels: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    return zip(declared.labels[:-1], labels[:-1], strict=True)


def log_text(entries: Iterable[Entry]) -> bytes:
    """Returns one line per entry, with the mark `COLUMNS`."""
    lines = []
    millisecond, date, end = -1, "", ""
    for at, (before, after), value, ids in entries:
        now = int(at * 1000)
        if now != millisecond:  # many lines share a timestamp
            millisecond, date, end = now, timestamp(at), f",timestamp:{now // 1000}\n"
        lines.append(f"{date}{before}{_text(value) if value else repr(value)}{after}{_named(ids)}{end}")
    return "".join(lines).encode("utf-8", "backslashreplace")


_text = functools.lru_cache(maxsize=4096)(repr)
"""Formats a value other than zero, of which both signs are equal: the times of quick handlers repeat."""


def log_json(entries: Iterable[Entry], name: str) -> bytes:
    """Formats `json_template`s; the text form is the message. ``name``: the logger."""
    lines = []
    for at, (before, after), value, ids in entries:
        named = _named(ids)
        end = f',timestamp:{int(at)}", "value": {number(value)}'
        if named:
            end += f', "request_id": {dumps(named.partition(":")[2])}'
        lines.append(f"{head(at, name)}{before}{value!r}{after}{dumps(named)[1:-1]}{end}}}\n")
    return "".join(lines).encode("utf-8", "backslashreplace")


def _named(ids: RequestIds) -> str:
    if not ids:
        return ""
    text = ids if isinstance(ids, str) else ",".join(ids)
    return f",requestID:{text if text.isprintable() else escaped(text)}"
