"""What a log4j2 file of TorchServe says that holds here, too: levels.  Everything else in it is named, once.

Files, patterns and sizes are those of `telemetry.logs`: tools that read TorchServe's logs find what they look for.
"""

from __future__ import annotations

import logging
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
_OURS = (_SERVER, "MODEL_LOG", "ACCESS_LOG", "TS_METRICS", "MODEL_METRICS")
_LARGEST_FILE = 1 << 20


class LogLevels(NamedTuple):
    """Least severity that is logged. Lines of the access log and of the metric logs are INFO."""

    server: int = logging.INFO
    model: int = logging.INFO
    access: int = logging.INFO
    ts_metrics: int = logging.INFO
    model_metrics: int = logging.INFO


def read(path: Path) -> tuple[LogLevels, str]:
    """The levels, and a sentence for the log about what of the file counts. Never raises: logging is no reason not to
    start."""
    try:
        found = _loggers(_tree(path))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        return LogLevels(), f"--log-config {path} has no effect: {error}"
    levels = LogLevels(*(found.get(name, found.get(_ROOT, logging.INFO)) for name in _OURS))
    return levels, f"--log-config {path}: {_explained(levels, found)}"


def _tree(path: Path) -> ElementTree.Element:
    with path.open("rb") as stream:
        content = stream.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError("it is larger than 1 MiB")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("document types and entities are not read")
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ValueError("only log4j2's XML form is read")
    return ElementTree.fromstring(content)  # noqa: S314 - the operator's own file, and without entities


def _loggers(tree: ElementTree.Element) -> dict[str, int]:
    """Level by logger name, `_ROOT` for the root. Loggers with a level that is no word of log4j are left out."""
    found = {}
    for element in tree.iter():
        kind = element.tag.rpartition("}")[2].lower()
        if kind not in ("root", "asyncroot", "logger", "asynclogger"):
            continue
        attributes = {name.lower(): value for name, value in element.attrib.items()}
        level = _LEVELS.get(attributes.get("level", "error").strip().upper())
        if level is not None:
            found[_ROOT if kind.endswith("root") else attributes.get("name", "")] = level
    return found


def _explained(levels: LogLevels, found: Mapping[str, int]) -> str:
    names = ("server", "workers", "access log", "ts_metrics.log", "model_metrics.log")
    told = ", ".join(f"{name} {_word(level)}" for name, level in zip(names, levels, strict=True))
    others = sorted(set(found) - {_ROOT, *_OURS})
    unused = f", and the loggers {', '.join(others)}" if others else ""
    return f"its levels count ({told}); appenders, their files, patterns and sizes{unused} have no effect"


def _word(level: int) -> str:
    return next(word for word, number in _LEVELS.items() if number == level)
