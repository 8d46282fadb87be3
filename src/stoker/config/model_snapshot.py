"""The JSON value of the key `model_snapshot`: which models and workflows a server had, and how they were served.  PURE.

    {"name": "FILE", "modelCount": 1, "created": 1700000000000,
     "models": {"MODEL": {"VERSION": {"defaultVersion": true, "marName": "FILE", "minWorkers": 1, ...}}},
     "workflows": {"WORKFLOW": {"warName": "FILE", ...}}}

The models of a workflow's nodes are not among the models: the workflow brings them.

Members of our own stand at the end and only where there is something to say; TorchServe reads past them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from stoker.config import lenient_json
from stoker.config.model_keys import check_workers
from stoker.core.model import RUNTIMES

T = TypeVar("T")
_DEFAULT_TIMEOUT_S = 120.0
_DEFAULT_DELAY_MS = 100.0
_DEFAULT_RUNTIME = "python"
_DOLLAR = "\\u0024"  # in a properties file, $$NAME$$ stands for a variable
_MEMBERS = (
    "defaultVersion",
    "marName",
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "responseTimeout",
    "startupTimeout",
    "runtimeType",
    "parallelLevel",
    "handler",
    "modelUrl",
)


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
    start that wrote it had nothing to resume: no models, or some that could not be loaded, and nobody changed that.
    ``ignored``: members that are not read."""

    models: tuple[SnapshotModel, ...]
    resume: bool = True
    ignored: tuple[str, ...] = ()
    workflows: tuple[SnapshotWorkflow, ...] = ()


def encode(snapshot: ModelSnapshot, *, file_name: str, created_ms: int) -> str:
    models: dict[str, dict[str, Any]] = {}
    for model in snapshot.models:
        models.setdefault(model.name, {})[model.version] = _members(model)
    head: dict[str, Any] = {"name": file_name, "modelCount": len(snapshot.models), "created": created_ms}
    tail: dict[str, Any] = {} if snapshot.resume else {"resume": False}
    if snapshot.workflows:
        tail["workflows"] = {workflow.name: _workflow_members(workflow) for workflow in snapshot.workflows}
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


def _workflow_members(workflow: SnapshotWorkflow) -> dict[str, Any]:
    extras = {
        "responseTimeout": None if workflow.response_timeout_s is None else _whole(workflow.response_timeout_s),
        "startupTimeout": None if workflow.startup_timeout_s is None else _whole(workflow.startup_timeout_s),
        "workflowUrl": workflow.url,
    }
    return {"warName": workflow.war_name, **{name: value for name, value in extras.items() if value is not None}}


def _whole(value: float) -> int | float:
    """TorchServe has whole numbers only; what is none is written as it is rather than wrong."""
    rounded = round(value)
    return rounded if math.isclose(value, rounded, abs_tol=1e-9) else value


# ---------------------------------------------------------------------------------------------- reading


def decode(text: str) -> ModelSnapshot:
    """Members that are missing have TorchServe's defaults; what is there must be right, and is read as leniently as
    TorchServe reads it.

    Raises:
        ValueError: the text is no snapshot; half a sentence that fits behind 'KEY: '.
    """
    whole = lenient_json.members(lenient_json.parse(text, unique=(1, 2)), "the value")
    models = lenient_json.members(whole.get("models"), "models")
    found = [_Version(members, name, version) for name, version, members in _versions(models)]
    workflows = lenient_json.members(whole.get("workflows", {}), "workflows")
    return ModelSnapshot(
        tuple(version.model() for version in found),
        resume="resume" not in whole or lenient_json.flag(whole["resume"]),
        ignored=tuple(name for version in found for name in version.ignored()),
        workflows=tuple(_workflow(name, members) for name, members in workflows.items()),
    )


def _versions(models: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for name, versions in models.items():
        for version, members in lenient_json.members(versions, f"model {name}").items():
            yield name, version, members


class _Members:
    """The members of one object, each read as the kind it must have. ``what``: the object."""

    def __init__(self, members: Any, what: str) -> None:
        self._what = what
        self._members = lenient_json.members(members, what)

    def read(self, name: str, convert: Callable[[Any], T], default: Any = None) -> Any:
        value = self._members.get(name)
        if value is None:
            return default
        try:
            return convert(value)
        except ValueError as error:
            raise ValueError(f"{name} of {self._what}: {error}") from None

    def needed_text(self, name: str) -> str:
        text: str | None = self.read(name, lenient_json.text)
        if not text:
            raise ValueError(f"{self._what} has no {name}")
        return text


def _workflow(name: str, members: Any) -> SnapshotWorkflow:
    found = _Members(members, f"workflow {name}")
    return SnapshotWorkflow(
        name=name,
        war_name=found.needed_text("warName"),
        response_timeout_s=found.read("responseTimeout", _not_negative),
        startup_timeout_s=found.read("startupTimeout", _not_negative),
        url=found.read("workflowUrl", lenient_json.text),
    )


class _Version(_Members):
    def __init__(self, members: Any, name: str, version: str) -> None:
        super().__init__(members, f"version {version} of model {name}")
        self._name, self._version = name, version

    def model(self) -> SnapshotModel:
        mar_name = self.needed_text("marName")
        fewest = self.read("minWorkers", _worker_count, 1)
        return SnapshotModel(
            name=self._name,
            version=self._version,
            default=self.read("defaultVersion", lenient_json.flag, False),
            mar_name=mar_name,
            min_workers=fewest,
            max_workers=max(fewest, self.read("maxWorkers", _count, fewest)),
            batch_size=self.read("batchSize", _count, 1),
            max_batch_delay_s=self.read("maxBatchDelay", _not_negative, _DEFAULT_DELAY_MS) / 1000,
            response_timeout_s=self.read("responseTimeout", _not_negative, _DEFAULT_TIMEOUT_S),
            startup_timeout_s=self.read("startupTimeout", _not_negative, _DEFAULT_TIMEOUT_S),
            runtime=self.read("runtimeType", _runtime, _DEFAULT_RUNTIME),
            parallel_level=self.read("parallelLevel", _count, 0),
            handler=self.read("handler", lenient_json.text),
            url=self.read("modelUrl", lenient_json.text),
        )

    def ignored(self) -> Iterator[str]:
        return (f"{name} of {self._what}" for name in self._members if name not in _MEMBERS)


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
        raise ValueError(f"{lenient_json.shown(value)} is none of: {', '.join(RUNTIMES)}")
    return word


def describe(snapshot: ModelSnapshot) -> str:
    """For a log line: the first few models by name and version, and workflows."""
    names = [f"{model.name}/{model.version}" for model in snapshot.models]
    names += [f"workflow {workflow.name}" for workflow in snapshot.workflows]
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown or "none"
