"""The JSON value of the key `model_snapshot`: which models and workflows a server had, and how they were served.  PURE.

    {"name": "FILE", "modelCount": 1, "created": 1700000000000,
     "models": {"MODEL": {"VERSION": {"defaultVersion": true, "marName": "FILE", "minWorkers": 1, ...}}},
     "workflows": {"WORKFLOW": {"warName": "FILE", ...}}}

The models of a workflow's nodes are not among the models: the workflow brings them.

Members that only stoker knows come last, and only where they say something; TorchServe ignores them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from stoker.config import lenient_json
from stoker.config.model_keys import check_workers
from stoker.core.model import RUNTIMES

_DEFAULT_TIMEOUT_S = 120.0
_DEFAULT_RUNTIME = "python"
_DOLLAR = "\\u0024"  # in a properties file, $$NAME$$ stands for a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotModel:
    """``mar_name``: the file in the model store. ``url``: what was registered, where that is another place of this
    machine. ``handler``: only if the registration named another than the archive."""

    name: str
    version: str
    default: bool = False
    mar_name: str
    min_workers: int = 1
    max_workers: int = 1
    batch_size: int = 1
    max_batch_delay_s: float = 0.1
    response_timeout_s: float = _DEFAULT_TIMEOUT_S
    startup_timeout_s: float = _DEFAULT_TIMEOUT_S
    runtime: str = _DEFAULT_RUNTIME
    parallel_level: int = 0
    handler: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWorkflow:
    """``war_name``: the file in the workflow store. ``url``: as `SnapshotModel.url`. Timeouts None: those of the
    settings."""

    name: str
    war_name: str
    response_timeout_s: float | None = None
    startup_timeout_s: float | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """``resume``: a start that names no file may take these models instead of those of `load_models`. False while the
    start that wrote it had nothing to resume: no models, or some that could not be loaded, and no change since.
    ``ignored``: members that are not read."""

    models: tuple[SnapshotModel, ...]
    resume: bool = True
    ignored: tuple[str, ...] = ()
    workflows: tuple[SnapshotWorkflow, ...] = ()


class _Member(NamedTuple):
    """A member of an object, the field that holds its value, and how each becomes the other. ``optional``: left out
    where the field has its default. ``required``: neither missing nor empty."""

    name: str
    field: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    optional: bool = False
    required: bool = False


def encode(snapshot: ModelSnapshot, *, file_name: str, created_ms: int) -> str:
    models: dict[str, dict[str, Any]] = {}
    for model in snapshot.models:
        models.setdefault(model.name, {})[model.version] = _written(model, _OF_MODELS)
    head: dict[str, Any] = {"name": file_name, "modelCount": len(snapshot.models), "created": created_ms}
    tail: dict[str, Any] = {} if snapshot.resume else {"resume": False}
    if snapshot.workflows:
        tail["workflows"] = {workflow.name: _written(workflow, _OF_WORKFLOWS) for workflow in snapshot.workflows}
    text = json.dumps({**head, "models": models, **tail}, indent=2)
    return text.replace("$", _DOLLAR)


def _written(item: SnapshotModel | SnapshotWorkflow, members: Sequence[_Member]) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(item)}
    values = [(member, getattr(item, member.field)) for member in members]
    return {
        member.name: member.write(value)
        for member, value in values
        if not member.optional or value != defaults[member.field]
    }


def _whole(value: float) -> int | float:
    """Converts to a whole number, as TorchServe writes; keeps a number that is not whole."""
    rounded = round(value)
    return rounded if math.isclose(value, rounded, abs_tol=1e-9) else value


# ---------------------------------------------------------------------------------------------- reading


def decode(text: str) -> ModelSnapshot:
    """Reads a snapshot as leniently as TorchServe does. Missing members have its defaults; others must be right.

    Raises: ValueError: the text is not a snapshot; the message is a phrase to follow 'KEY: '.
    """
    whole = lenient_json.members(lenient_json.parse(text, unique=(1, 2)), "the value")
    models = lenient_json.members(whole.get("models"), "models")
    workflows = lenient_json.members(whole.get("workflows", {}), "workflows")
    ignored: list[str] = []
    return ModelSnapshot(
        tuple(_model(name, version, members, ignored) for name, version, members in _versions(models)),
        resume="resume" not in whole or lenient_json.flag(whole["resume"]),
        ignored=tuple(ignored),
        workflows=tuple(
            SnapshotWorkflow(name=name, **_read(members, _OF_WORKFLOWS, f"workflow {name}"))
            for name, members in workflows.items()
        ),
    )


def _versions(models: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, versions in models.items():
        for version, members in lenient_json.members(versions, f"model {name}").items():
            yield name, version, members


def _model(name: str, version: str, members: Any, ignored: list[str]) -> SnapshotModel:
    what = f"version {version} of model {name}"
    values = _read(members, _OF_MODELS, what)
    fewest = values.setdefault("min_workers", 1)
    values["max_workers"] = max(fewest, values.get("max_workers", fewest))
    known = {member.name for member in _OF_MODELS}
    ignored += [f"{given} of {what}" for given in members if given not in known]
    return SnapshotModel(name=name, version=version, **values)


def _read(given: Any, members: Sequence[_Member], what: str) -> dict[str, Any]:
    """Reads the members of one object by field."""
    values: dict[str, Any] = {}
    for member in members:
        value = lenient_json.members(given, what).get(member.name)
        if value is not None:
            try:
                values[member.field] = member.read(value)
            except ValueError as error:
                raise ValueError(f"{member.name} of {what}: {error}") from None
        if member.required and not values.get(member.field):
            raise ValueError(f"{what} has no {member.name}")
    return values


def _not_negative(value: Any) -> float:
    found = lenient_json.number(value)
    if found < 0:
        raise ValueError(f"{lenient_json.shown(value)} is less than 0")
    return found


def _count(value: Any) -> int:
    return int(_not_negative(value))


def _worker_count(value: Any) -> int:
    check_workers(count := _count(value))
    return count


def _runtime(value: Any) -> str:
    word = lenient_json.text(value) or _DEFAULT_RUNTIME
    if word not in RUNTIMES:
        raise ValueError(f"{lenient_json.shown(value)} is not one of: {', '.join(RUNTIMES)}")
    return word


_TIMEOUTS = (
    _Member("responseTimeout", "response_timeout_s", _not_negative, _whole),
    _Member("startupTimeout", "startup_timeout_s", _not_negative, _whole),
)
_OF_MODELS = (
    _Member("defaultVersion", "default", lenient_json.flag),
    _Member("marName", "mar_name", lenient_json.text, required=True),
    _Member("minWorkers", "min_workers", _worker_count),
    _Member("maxWorkers", "max_workers", _count),
    _Member("batchSize", "batch_size", _count),
    _Member(
        "maxBatchDelay", "max_batch_delay_s", lambda value: _not_negative(value) / 1000, lambda s: _whole(s * 1000)
    ),
    *_TIMEOUTS,
    _Member("runtimeType", "runtime", _runtime),
    _Member("parallelLevel", "parallel_level", _count, optional=True),
    _Member("handler", "handler", lenient_json.text, optional=True),
    _Member("modelUrl", "url", lenient_json.text, optional=True),
)
_OF_WORKFLOWS = (
    _Member("warName", "war_name", lenient_json.text, required=True),
    *(timeout._replace(optional=True) for timeout in _TIMEOUTS),
    _Member("workflowUrl", "url", lenient_json.text, optional=True),
)


def describe(snapshot: ModelSnapshot) -> str:
    """Names the first few models and versions, and workflows, for a log line."""
    names = [f"{model.name}/{model.version}" for model in snapshot.models]
    names += [f"workflow {workflow.name}" for workflow in snapshot.workflows]
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "none"
