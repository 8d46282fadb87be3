"""The JSON value of the key `model_snapshot`: which model versions a server had, and how they were served.  PURE.

    {"name": "FILE", "modelCount": 1, "created": 1700000000000,
     "models": {"MODEL": {"VERSION": {"defaultVersion": true, "marName": "FILE", "minWorkers": 1, ...}}}}

Members of our own stand at the end and only where there is something to say; TorchServe reads past them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DEFAULT_TIMEOUT_S = 120.0
_DEFAULT_DELAY_MS = 100.0
_DEFAULT_RUNTIME = "python"
_DOLLAR = "\\u0024"  # in a properties file, $$NAME$$ stands for a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotModel:
    """``mar_name``: the file in the model store. ``url``: what was registered, where that is another place of this
    machine. ``handler``: only if the registration named another than the archive."""

    name: str
    version: str
    default: bool
    mar_name: str
    min_workers: int = 1
    max_workers: int = 1
    batch_size: int = 1
    max_batch_delay_s: float = _DEFAULT_DELAY_MS / 1000
    response_timeout_s: float = _DEFAULT_TIMEOUT_S
    startup_timeout_s: float = _DEFAULT_TIMEOUT_S
    runtime: str = _DEFAULT_RUNTIME
    parallel_level: int = 0
    handler: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """``resume``: a start that names no file may take these models instead of those of `load_models`. False while the
    start that wrote it had nothing to resume: no models, or some that could not be loaded, and nobody changed that."""

    models: tuple[SnapshotModel, ...]
    resume: bool = True


def encode(snapshot: ModelSnapshot, *, file_name: str, created_ms: int) -> str:
    models: dict[str, dict[str, Any]] = {}
    for model in snapshot.models:
        models.setdefault(model.name, {})[model.version] = _members(model)
    head: dict[str, Any] = {"name": file_name, "modelCount": len(snapshot.models), "created": created_ms}
    tail: dict[str, Any] = {} if snapshot.resume else {"resume": False}
    text = json.dumps({**head, "models": models, **tail}, indent=2)
    return text.replace("$", _DOLLAR)


def _members(model: SnapshotModel) -> dict[str, Any]:
    members: dict[str, Any] = {
        "defaultVersion": model.default,
        "marName": model.mar_name,
        "minWorkers": model.min_workers,
        "maxWorkers": model.max_workers,
        "batchSize": model.batch_size,
        "maxBatchDelay": _whole(model.max_batch_delay_s * 1000),
        "responseTimeout": _whole(model.response_timeout_s),
        "startupTimeout": _whole(model.startup_timeout_s),
        "runtimeType": model.runtime,
    }
    if model.parallel_level > 0:
        members["parallelLevel"] = model.parallel_level
    extras = {"handler": model.handler, "modelUrl": model.url}
    return members | {name: value for name, value in extras.items() if value is not None}


def _whole(value: float) -> int | float:
    """TorchServe has whole numbers only; what is none is written as it is rather than wrong."""
    rounded = round(value)
    return rounded if math.isclose(value, rounded, abs_tol=1e-9) else value


# ---------------------------------------------------------------------------------------------- reading


def decode(text: str) -> ModelSnapshot:
    """Members that are missing have TorchServe's defaults; what is there must be right.

    Raises:
        ValueError: the text is no snapshot; half a sentence that fits behind 'KEY: '.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    whole = _object(parsed, "the value")
    models = _object(whole.get("models"), "models")
    return ModelSnapshot(tuple(_models(models)), resume=whole.get("resume") is not False)


def _models(models: Mapping[str, Any]) -> Iterator[SnapshotModel]:
    for name, versions in models.items():
        for version, members in _object(versions, f"model {name}").items():
            what = f"version {version} of model {name}"
            yield _model(name, version, _object(members, what), what)


def _model(name: str, version: str, members: Mapping[str, Any], what: str) -> SnapshotModel:
    fewest = int(_number(members, "minWorkers", 1, what, whole=True))
    mar_name = _text(members, "marName", what)
    if not mar_name:
        raise ValueError(f"{what} has no marName")
    return SnapshotModel(
        name=name,
        version=version,
        default=_flag(members, "defaultVersion", what),
        mar_name=mar_name,
        min_workers=fewest,
        max_workers=max(fewest, int(_number(members, "maxWorkers", fewest, what, whole=True))),
        batch_size=int(_number(members, "batchSize", 1, what, whole=True)),
        max_batch_delay_s=_number(members, "maxBatchDelay", _DEFAULT_DELAY_MS, what) / 1000,
        response_timeout_s=_number(members, "responseTimeout", _DEFAULT_TIMEOUT_S, what),
        startup_timeout_s=_number(members, "startupTimeout", _DEFAULT_TIMEOUT_S, what),
        runtime=_text(members, "runtimeType", what) or _DEFAULT_RUNTIME,
        parallel_level=int(_number(members, "parallelLevel", 0, what, whole=True)),
        handler=_text(members, "handler", what),
        url=_text(members, "modelUrl", what),
    )


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a JSON object")
    return value


def _flag(members: Mapping[str, Any], name: str, what: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} of {what} is neither true nor false")
    return value


def _text(members: Mapping[str, Any], name: str, what: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} of {what} is not a text")
    return value


def _number(members: Mapping[str, Any], name: str, default: float, what: str, *, whole: bool = False) -> float:
    value = members.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        raise ValueError(f"{name} of {what} is not a number from 0 on")
    if whole and value != int(value):
        raise ValueError(f"{name} of {what} is not a whole number")
    return value


def describe(models: Sequence[SnapshotModel]) -> str:
    """For a log line: the first few models by name and version."""
    shown = ", ".join(f"{model.name}/{model.version}" for model in models[:10])
    return f"{shown} and {len(models) - 10} more" if len(models) > 10 else shown or "none"
