"""The JSON value of the key `models`: values for models that are loaded at start.  PURE.

    {"MODEL": {"VERSION": {"minWorkers": 1, "batchSize": 4, "deviceIds": [0, 1], ...}}}

Every key of model-config.yaml may stand here (`model_keys`), and `runtimeType`.  Numbers that are not positive are
ignored, as in TorchServe; members that nobody knows are kept by name, so that they can be warned of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.config.model_keys import BY_NAME, MODEL_KEYS, ModelRow, ModelValues

KNOWN_MEMBERS = frozenset({*BY_NAME, "runtimeType", "defaultVersion", "marName"})
"""The last two stand in snapshots, and TorchServe reads them nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefaults(ModelValues):
    """``unknown``: members that mean nothing."""

    runtime: str | None = None
    unknown: tuple[str, ...] = ()


def parse_models(text: str) -> Mapping[str, Mapping[str, ModelDefaults]]:
    """Raises ValueError when the text is not JSON of the right shape."""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    return {
        name: {version: of(values) for version, values in _object(versions, name).items()}
        for name, versions in _object(parsed, "the value").items()
    }


def of(value: Any) -> ModelDefaults:
    """From the parsed object of one version. Raises ValueError."""
    given = _object(value, "a version")
    runtime = given.get("runtimeType")
    values = {key.field: _value(key, given[key.name]) for key in MODEL_KEYS if given.get(key.name) is not None}
    return ModelDefaults(
        **values,
        runtime=runtime if isinstance(runtime, str) and runtime else None,
        unknown=tuple(name for name in given if name not in KNOWN_MEMBERS),
    )


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _value(key: ModelRow, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
        return None
    try:
        return key.convert(value)
    except ValueError as error:
        raise ValueError(f"{key.name} is {error}") from None
