"""The JSON value of the key `models`: values for models that are loaded at start.  PURE.

    {"MODEL": {"VERSION": {"minWorkers": 1, "maxWorkers": 2, "batchSize": 4, ...}}}

TorchServe reads seven keys there, and so does this module; it collects the names of others for a warning.  Numbers that
are not positive are ignored, as in TorchServe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.config import lenient_json
from stoker.config.model_keys import BY_NAME, ModelValues
from stoker.core.model import RUNTIMES

_NUMBERS = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout")
_RUNTIME = "runtimeType"
READ = (*_NUMBERS, _RUNTIME)
_OF_SNAPSHOTS = ("defaultVersion", "marName")
"""Keys in TorchServe's own examples that have a meaning only in snapshots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefaults(ModelValues):
    """``ignored``: names of members that are not read."""

    runtime: str | None = None
    ignored: tuple[str, ...] = ()


def parse_models(text: str) -> Mapping[str, Mapping[str, ModelDefaults]]:
    """Parses the value. Raises ValueError if the text is not JSON of the right shape, or a value is unusable."""
    if not text.strip():
        return {}
    models = lenient_json.members(lenient_json.parse(text, unique=(0, 1)), "the value")
    return {name: _of_model(name, versions) for name, versions in models.items()}


def _of_model(name: str, versions: Any) -> Mapping[str, ModelDefaults]:
    found = lenient_json.members(versions, f"model {name}")
    return {version: _of_version(members, f"version {version} of model {name}") for version, members in found.items()}


def _of_version(value: Any, what: str) -> ModelDefaults:
    members = {name: member for name, member in lenient_json.members(value, what).items() if member is not None}
    return ModelDefaults(
        **{BY_NAME[name].field: _number(name, members[name], what) for name in _NUMBERS if name in members},
        runtime=_runtime(members.get(_RUNTIME), what),
        ignored=tuple(name for name in members if name not in (*READ, *_OF_SNAPSHOTS)),
    )


def _number(name: str, value: Any, what: str) -> Any:
    try:
        found = lenient_json.whole(value)
        return BY_NAME[name].convert(found) if found > 0 else None
    except ValueError as error:
        raise ValueError(f"{name} of {what}: {error}") from None


def _runtime(value: Any, what: str) -> str | None:
    if value in (None, "", *RUNTIMES):
        return value or None
    raise ValueError(f"{_RUNTIME} of {what}: {lenient_json.shown(value)} is not one of: {', '.join(RUNTIMES)}")
