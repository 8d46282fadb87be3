"""Reads from a log4j2 file of TorchServe what applies here: levels, and which logs stay off the console.

Names everything else in the log, once.  Files, patterns and sizes are those of `telemetry.logs`, so that tools that
read TorchServe's logs find what they expect.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

_OFF = logging.CRITICAL + 10
_LEVELS = {
    "OFF": _OFF,
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
    "TRACE": logging.DEBUG,
    "ALL": logging.DEBUG,
}
_ROOT = ""
_SERVER = "org.pytorch.serve"
_BULK = ("ACCESS_LOG", "TS_METRICS", "MODEL_METRICS")
_OURS = (_SERVER, "MODEL_LOG", *_BULK)
_LARGEST_FILE = 1 << 20
_PROPERTY = re.compile(r"-Dlog4j2?\.configurationFile=(?:file:(?://)?)?(\S+)")


class LogLevels(NamedTuple):
    """Lowest severity that is logged; access log and metric lines are INFO. ``hidden``: those of the three logs whose
    lines the console does not show."""

    server: int = logging.INFO
    model: int = logging.INFO
    access: int = logging.INFO
    ts_metrics: int = logging.INFO
    model_metrics: int = logging.INFO
    hidden: frozenset[str] = frozenset()


def named_in(vmargs: str) -> Path | None:
    """Returns the file that options of the JVM name."""
    found = _PROPERTY.search(vmargs)
    return Path(found[1]) if found else None


def read(path: Path, *, named_by: str = "--log-config") -> tuple[LogLevels, str]:
    """Returns the levels, and what was used as a message for the log. Never raises. ``named_by``: flag or setting."""
    try:
        tree = _tree(path)
        found, hidden = _loggers(tree), _hidden(tree)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return LogLevels(), f"{named_by} {path} has no effect: {error}"
    root = found.get(_ROOT, logging.INFO)
    server, model, access, ts_metrics, model_metrics = (found.get(name, root) for name in _OURS)
    levels = LogLevels(server, model, access, ts_metrics, model_metrics, hidden)
    return levels, f"{named_by} {path}: {_explained(levels, found)}"


def _tree(path: Path) -> ElementTree.Element:
    with path.open("rb") as stream:
        content = stream.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError("it is larger than 1 MiB")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("document types and entities are not read")
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ValueError("only log4j2's XML form is read")
    return ElementTree.fromstring(content)  # noqa: S314 - the operator's own file, without entities


def _loggers(tree: ElementTree.Element) -> dict[str, int]:
    """Returns the level by logger name, `_ROOT` for the root. Skips loggers with an unknown level."""
    found = {}
    for element in tree.iter():
        kind = _kind(element)
        if kind not in ("root", "asyncroot", "logger", "asynclogger"):
            continue
        attributes = {name.lower(): value for name, value in element.attrib.items()}
        level = _LEVELS.get(attributes.get("level", "error").strip().upper())
        if level is not None:
            found[_ROOT if kind.endswith("root") else attributes.get("name", "")] = level
    return found


def _hidden(tree: ElementTree.Element) -> frozenset[str]:
    """Returns loggers that are not additive and have no console among their appenders."""
    consoles = {each.get("name", "") for each in tree.iter() if _kind(each) == "console"}
    names = set()
    for logger in tree.iter():
        if logger.get("additivity", "true").strip().lower() != "false":
            continue
        appenders = {each.get("ref", "") for each in logger.iter() if _kind(each) == "appenderref"}
        if not appenders & consoles:
            names.add(logger.get("name", ""))
    return frozenset(names.intersection(_BULK))


def _kind(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2].lower()


def _explained(levels: LogLevels, found: Mapping[str, int]) -> str:
    names = ("server", "workers", "access log", "ts_metrics.log", "model_metrics.log")
    shown = ", ".join(f"{name} {_word(level)}" for name, level in zip(names, levels[:-1], strict=True))
    off = "".join(f"; {name} is not on the console (additivity)" for name in sorted(levels.hidden))
    others = sorted(set(found) - {_ROOT, *_OURS})
    unused = f", and the loggers {', '.join(others)}" if others else ""
    return f"its levels count ({shown}){off}; appenders, their files, patterns and sizes{unused} have no effect"


def _word(level: int) -> str:
    return next(word for word, number in _LEVELS.items() if number == level)
