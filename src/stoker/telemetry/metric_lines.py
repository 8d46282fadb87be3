"""Metrics as lines: what workers print, and what the two metric logs hold.  PURE.

A worker's line: ``[METRICS]Name.Unit:value|#dims|#type:GAUGE|#hostname:host,epoch[,request ids]``; older handlers leave
the type out.  A log's line: ``date - Name.Unit:value|#dims|#hostname:host[,requestID:ids],timestamp:epoch``.
"""

from __future__ import annotations

import re

from stoker.core.measures import HandlerSample
from stoker.telemetry.declared import Declared
from stoker.telemetry.lines import escaped, timestamp

PREFIX = "[METRICS]"

_LINE = re.compile(
    r"\s*(?P<name>[^\s.:|][^:|]*)\.(?P<unit>[^\s.:|]+):(?P<value>[^|\s]+)(?:\|#(?P<dims>[^|]*))?"
    r"(?:\|#type:(?P<type>COUNTER|GAUGE|HISTOGRAM))?"
    r"(?:\|#hostname:(?P<host>[^,|]*)(?:,(?P<time>\d+)(?:,(?P<ids>.*))?)?)?"
)


def parse(line: str) -> HandlerSample | None:
    """``line`` begins with `PREFIX`. None: it is no metric. A line without a type counts as a gauge."""
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


def log_line(
    declared: Declared, labels: tuple[str, ...], value: float, *, host: str, at: float, request_ids: str = ""
) -> str:
    """``labels`` end with the host name, which is not repeated among the dimensions."""
    dims = ",".join(f"{name}:{text}" for name, text in zip(declared.labels[:-1], labels[:-1], strict=True))
    ids = f",requestID:{request_ids}" if request_ids else ""
    text = f"{declared.name}.{declared.unit}:{float(value)!r}|#{dims}|#hostname:{host}{ids},timestamp:{int(at)}"
    return f"{timestamp(at)} - {escaped(text)}\n"
