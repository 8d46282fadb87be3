"""Reads the metrics file: which metrics exist, with type, unit and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from stoker.errors import StokerError

TYPES = ("counter", "gauge", "histogram")
HOSTNAME = "Hostname"
_LARGEST_FILE = 1 << 20


class BadMetricsFile(StokerError):
    """The metrics file cannot be used: {reason}"""


@dataclass(frozen=True, slots=True)
class Declared:
    """``labels`` in order, the host name last."""

    name: str
    type: str
    unit: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """``frontend``: section ts_metrics. ``model``: section model_metrics, with the label that the server adds."""

    frontend: Mapping[str, Declared] = field(default_factory=dict)
    model: Mapping[str, Declared] = field(default_factory=dict)


def read(path: Path | None) -> Declarations:
    """Reads the file; None: the packaged one. Raises BadMetricsFile, which shows no path but its last part."""
    if path is None:
        return parse(resources.files("stoker.telemetry").joinpath("metrics.yaml").read_bytes())
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise BadMetricsFile(reason=f"{path.name}: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise BadMetricsFile(reason=f"{path.name} is larger than {_LARGEST_FILE >> 20} MiB")
    return parse(content)


def parse(content: bytes) -> Declarations:
    try:
        found = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise BadMetricsFile(reason=f"it is not YAML: {str(error).splitlines()[0]}{line}") from None
    if not isinstance(found, Mapping):
        raise BadMetricsFile(reason="it has no sections")
    frontend = {each.name: each for each in _section(found, "ts_metrics")}
    model = {each.name: replace(each, labels=(*each.labels, HOSTNAME)) for each in _section(found, "model_metrics")}
    return Declarations(frontend=frontend, model=model)


def _section(found: Mapping[Any, Any], name: str) -> Iterator[Declared]:
    section = found.get(name) or {}
    if not isinstance(section, Mapping):
        raise BadMetricsFile(reason=f"section {name} is not a map of types")
    for kind, entries in section.items():
        if kind not in TYPES:
            raise BadMetricsFile(reason=f"section {name}: {kind!r} is not one of {', '.join(TYPES)}")
        if not isinstance(entries, list | None):
            raise BadMetricsFile(reason=f"section {name}: {kind} is not a list")
        for entry in entries or ():
            yield _declared(entry, kind, f"section {name}")


def _declared(entry: Any, kind: str, where: str) -> Declared:
    if not isinstance(entry, Mapping):
        raise BadMetricsFile(reason=f"{where}: {str(entry)[:80]!r} is not a metric")
    name, unit = entry.get("name"), entry.get("unit")
    if not name or not unit:
        raise BadMetricsFile(reason=f"{where}: a {kind} without a name or a unit")
    labels = entry.get("dimensions") or ()
    if not isinstance(labels, list | tuple):
        raise BadMetricsFile(reason=f"{where}: the dimensions of {name} are not a list")
    return Declared(str(name), kind, str(unit), tuple(map(str, labels)))
