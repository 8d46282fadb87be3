"""The JSON value of the key `models`: values for models that are loaded at start.  PURE.

    {"MODEL": {"VERSION": {"minWorkers": 1, "batchSize": 4, "maxBatchDelay": 50, ...}}}

Values that are not positive are ignored, as in TorchServe; so are members it does not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefaults:
    """``None`` means 'not given'. Times are seconds."""

    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay_s: float | None = None
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    runtime: str | None = None


def parse_models(text: str) -> Mapping[str, Mapping[str, ModelDefaults]]:
    """Raises ValueError when the text is not JSON of the right shape."""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    return {
        name: {version: _defaults(values) for version, values in _object(versions, name).items()}
        for name, versions in _object(parsed, "the value").items()
    }


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _defaults(value: Any) -> ModelDefaults:
    given = _object(value, "a version")
    runtime = given.get("runtimeType")
    return ModelDefaults(
        min_workers=_positive(given, "minWorkers"),
        max_workers=_positive(given, "maxWorkers"),
        batch_size=_positive(given, "batchSize"),
        max_batch_delay_s=_scaled(_positive(given, "maxBatchDelay"), 1000.0),
        response_timeout_s=_scaled(_positive(given, "responseTimeout"), 1.0),
        startup_timeout_s=_scaled(_positive(given, "startupTimeout"), 1.0),
        runtime=runtime if isinstance(runtime, str) and runtime else None,
    )


def _positive(given: dict[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not float(value).is_integer():
        raise ValueError(f"{name} is not a whole number")
    return int(value) if value > 0 else None


def _scaled(value: int | None, divisor: float) -> float | None:
    return None if value is None else value / divisor
