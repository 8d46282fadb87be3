"""Settings in a snapshot: those of the running server, as properties for another start.  PURE.

Leaves out defaults and secrets; paths are absolute, so that they mean the same place wherever the file is read.
"""

from __future__ import annotations

from pathlib import Path

from stoker.config.load import Loaded
from stoker.config.rows import Origin
from stoker.config.settings import ROWS

_LEFT_OUT = ("model_snapshot", "load_models", "load_workflows", "version", "tsConfigFile")
"""The snapshot itself holds the models; the rest only labels a file."""


def properties_of(loaded: Loaded) -> dict[str, str]:
    """Returns texts by property name, sorted."""
    return {key: _text(key, loaded) for key in sorted(loaded.given) if _belongs(key)}


def _belongs(key: str) -> bool:
    row = ROWS[key]
    return not row.secret and row.origin is not Origin.ENVIRONMENT and key not in _LEFT_OUT


def _text(key: str, loaded: Loaded) -> str:
    text = loaded.given[key].text
    value = ROWS[key].parse(text)
    paths = value if isinstance(value, tuple) else (value,)
    return ",".join(map(str, paths)) if paths and all(isinstance(path, Path) for path in paths) else text
